/** A set shared out into parts, each ready to be loaded: filled up with dummies, canaries with it. */
import { ProtocolError } from '../../common/protocol-error.ts';
import { DIGEST_BYTES, ELEMENT_BYTES, dummyElements, sharedDummyElements } from '../element.ts';
import { PieceLog } from '../piece-log.ts';
import { CANARIES } from './canaries.ts';
import type { VoleGreeting } from './psi-messages.ts';
import type { ElementSource, VolePsiMachine } from './psi-params.ts';

/** Elements shared out at once, and dummies drawn at once. */
const PIECE_ITEMS = 65_536;

/** A part of a set. */
export interface Part {
  /** Its own elements, then the canaries, then dummies. */
  readonly pieces: readonly Uint8Array[];
  /** The number in the set of each own element. */
  readonly numbers: Uint32Array;
}

/** Owns spills: `close` it. */
export interface PartedSet {
  part(index: number): Promise<Part>;
  close(): Promise<void>;
}

/**
 * Shares a set out; with one part it stays in memory, with more it is spilled.
 *
 * Secret: everything.
 * @param partItems - elements of each part, canaries included.
 * @throws ProtocolError `encoding-failed` where a part exceeds its bound (never in practice),
 *   `length-wrong` where the source does not give the elements it announced
 */
export async function partSet(
  machine: VolePsiMachine,
  greeting: VoleGreeting,
  source: ElementSource,
  parts: number,
  partItems: number,
): Promise<PartedSet> {
  const logs = Array.from(
    { length: parts },
    () => new PartLog(parts === 1 ? undefined : new PieceLog(machine.openSpill)),
  );
  const close = async (): Promise<void> => {
    for (const log of logs) await log.close();
  };
  try {
    const count = await shareAll(machine, greeting.keyOf('parts', 0), source, logs);
    if (count !== source.count) {
      throw new ProtocolError('length-wrong', 'a set is not as large as it was said to be');
    }
    const ownMax = partItems - CANARIES;
    if (logs.some(({ count: own }) => own > ownMax)) {
      throw new ProtocolError('encoding-failed', 'a part exceeds its bound');
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async part(index) {
      const log = logs[index];
      if (log === undefined) throw new ProtocolError('parameter-invalid', 'there is no such part');
      const pieces = [...(await log.read())];
      pieces.push(sharedDummyElements(greeting.keyOf('canaries', index), 0, CANARIES));
      let missing = partItems - CANARIES - log.count;
      for (; missing > 0; missing -= PIECE_ITEMS) {
        const count = Math.min(missing, PIECE_ITEMS);
        pieces.push(dummyElements(machine.randomBytes(count * DIGEST_BYTES), count));
      }
      return { pieces, numbers: log.allNumbers() };
    },
    close,
  };
}

/** Shares the whole source out into the logs; answers how many elements it gave. */
async function shareAll(
  machine: VolePsiMachine,
  key: Uint8Array,
  source: ElementSource,
  logs: readonly PartLog[],
): Promise<number> {
  const pieceBytes = PIECE_ITEMS * ELEMENT_BYTES;
  let count = 0;
  for await (const whole of source.pieces()) {
    for (let at = 0; at < whole.length; at += pieceBytes) {
      const piece = whole.subarray(at, at + pieceBytes);
      const items = piece.length / ELEMENT_BYTES;
      if (logs.length === 1) {
        const numbers = new Uint32Array(items);
        for (let i = 0; i < items; i++) numbers[i] = count + i;
        await logs[0]?.add(piece, numbers);
      } else {
        const shares = machine.primitives.okvs.shareOut(key, piece, ELEMENT_BYTES, logs.length);
        for (const [index, log] of logs.entries()) {
          const [from, to] = [shares.starts[index] ?? 0, shares.starts[index + 1] ?? 0];
          const elements = shares.elements.subarray(from * ELEMENT_BYTES, to * ELEMENT_BYTES);
          const numbers = shares.numbers.slice(from, to);
          for (let i = 0; i < numbers.length; i++) numbers[i] = (numbers[i] ?? 0) + count;
          await log.add(elements, numbers);
        }
      }
      count += items;
    }
  }
  return count;
}

/** What fell to one part: its elements in memory or in a log, their numbers at hand. */
class PartLog {
  readonly #kept: Uint8Array[] = [];
  readonly #log: PieceLog | undefined;
  readonly #numbers: Uint32Array[] = [];
  #count = 0;

  constructor(log: PieceLog | undefined) {
    this.#log = log;
  }

  get count(): number {
    return this.#count;
  }

  async add(elements: Uint8Array, numbers: Uint32Array): Promise<void> {
    if (this.#log === undefined) this.#kept.push(elements);
    else await this.#log.add(elements);
    this.#numbers.push(numbers);
    this.#count += numbers.length;
  }

  async read(): Promise<readonly Uint8Array[]> {
    if (this.#log === undefined) return this.#kept;
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#log.read()) pieces.push(piece);
    return pieces;
  }

  allNumbers(): Uint32Array {
    const all = new Uint32Array(this.#count);
    let at = 0;
    for (const numbers of this.#numbers) {
      all.set(numbers, at);
      at += numbers.length;
    }
    return all;
  }

  async close(): Promise<void> {
    await this.#log?.close();
  }
}
