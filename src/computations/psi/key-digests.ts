/** Rows become digests of join keys: encoded on the thread that reads them, digested on the pool's. */
import { inOrder } from '../../../protocols/psi/flow.ts';
import { encodeKeys, type KeyBatch, type KeyTally } from '../../../protocols/psi/key-batch.ts';
import type { KeyColumn } from '../../../protocols/psi/join-key.ts';
import type { DigestArgument } from '../../../workers/psi.ts';
import type { Pool } from '../../pool/pool.ts';

/** Rows read from a source at a time. */
export const READ_ROWS = 4096;
/** Batches under way: as one is digested, the next one is read and a third one waits. */
const BATCHES_MAX = 3;
/** Fewer keys are digested sooner than they get to a thread. */
const SMALL_KEYS = 256;

/** Digests of a batch, which is used up. @see digestKeys */
export type DigestKeys = (context: Uint8Array, batch: KeyBatch) => Promise<Uint8Array>;

/** On whichever thread is free. */
export function poolDigests(pool: Pool, signal?: AbortSignal): DigestKeys {
  return (context, { keys, ends }) => {
    const argument: DigestArgument = { context, keys, ends };
    const owned = [keys.buffer, ends.buffer].filter((buffer) => buffer instanceof ArrayBuffer);
    return pool.run('psi', 'digestTask', argument, {
      transfer: owned,
      small: ends.length <= SMALL_KEYS,
      ...(signal === undefined ? {} : { signal }),
    });
  };
}

/** What keys are made of, and how. */
export interface KeyReading {
  readonly forms: readonly KeyColumn[];
  /** What they are digested with: of the run alone, or of a kept filter. */
  readonly context: Uint8Array;
  /** Counts the rows. */
  readonly tally: KeyTally;
  readonly digest: DigestKeys;
  /** Told each row that has a key, in order. */
  readonly onKey?: (row: readonly (string | null)[]) => void;
  /** Keeps the keys, one behind the other, in the order of their rows. */
  readonly keep?: (keys: Uint8Array) => Promise<void>;
}

/** Digests of the keys, in the order of the rows that have one. */
export function keyDigests(
  rows: AsyncIterable<readonly (readonly (string | null)[])[]>,
  reading: KeyReading,
): AsyncGenerator<Uint8Array> {
  const { context, digest } = reading;
  return inOrder(batches(rows, reading), BATCHES_MAX, (batch) => digest(context, batch));
}

async function* batches(
  source: AsyncIterable<readonly (readonly (string | null)[])[]>,
  { forms, tally, onKey, keep }: KeyReading,
): AsyncGenerator<KeyBatch> {
  for await (const rows of source) {
    const onIndex = onKey === undefined ? undefined : (i: number): void => onKey(rows[i] ?? []);
    for (const batch of encodeKeys(forms, rows, tally, onIndex)) {
      await keep?.(batch.keys);
      yield batch;
    }
  }
}
