/** The keys that an intersection reveals, read from the source a second time. */
import { createHash } from 'node:crypto';
import { PolicyError } from '../../errors.ts';
import type { PartyId } from '../../system/ids.ts';
import { DIGEST_BYTES } from '../../../protocols/psi/element.ts';
import {
  canonicalValue,
  digestKeys,
  type KeyColumn,
  type KeyTally,
} from '../../../protocols/psi/join-key.ts';
import type { PieceLog } from '../../../protocols/psi/piece-log.ts';
import type { DomainRole } from '../computation.ts';
import { keyColumnsOf, REVEALED_KEYS_MAX, type MatchShape } from './shape.ts';

/** Rows read from the source at a time. */
export const READ_ROWS = 4096;
/** Join keys are digested on the thread that reads them. */
export const KEY_HASH = {
  sha256: (message: Uint8Array): Uint8Array => createHash('sha256').update(message).digest(),
};

/** The run whose keys are revealed. */
export interface RevealedMatching {
  readonly role: DomainRole;
  readonly shape: MatchShape;
  /** Digests of the own keys in the order of their rows. */
  readonly log: PieceLog;
  /** What they were digested with. */
  readonly keyContext: Uint8Array;
}

/**
 * The shared keys in canonical form, read a second time and known again by their digests: should
 * the source give its rows in another order now, no key that is not shared is revealed.
 * @param rowsShared - absent where there are more than may be revealed.
 * @throws PolicyError `plan-outside-contract`
 */
export async function sharedKeys(
  { role, shape, log, keyContext }: RevealedMatching,
  rowsShared: Uint32Array | undefined,
): Promise<readonly (readonly string[])[]> {
  if (rowsShared === undefined) throw tooMany(role.self);
  const wanted = await digestsAt(log, rowsShared);
  const { names, forms } = keyColumnsOf(shape.plan, role.self);
  const keys: string[][] = [];
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  for await (const rows of role.source.streamColumns(names, READ_ROWS, role.channel.signal)) {
    const withKey: number[] = [];
    const piece = digestKeys(KEY_HASH, keyContext, forms, rows, tally, (index) =>
      withKey.push(index),
    );
    withKey.forEach((index, place) => {
      const name = nameOf(piece, place);
      const left = wanted.get(name) ?? 0;
      if (left === 0) return;
      wanted.set(name, left - 1);
      keys.push(canonicalRow(forms, rows[index] ?? []));
    });
  }
  return keys.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** How often each digest stands at one of the places. */
async function digestsAt(log: PieceLog, places: Uint32Array): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let first = 0;
  let next = 0;
  for await (const piece of log.read()) {
    const end = first + piece.length / DIGEST_BYTES;
    for (; (places[next] ?? end) < end; next++) {
      const name = nameOf(piece, (places[next] ?? 0) - first);
      found.set(name, (found.get(name) ?? 0) + 1);
    }
    first = end;
  }
  return found;
}

function nameOf(piece: Uint8Array, place: number): string {
  const digest = piece.subarray(place * DIGEST_BYTES, (place + 1) * DIGEST_BYTES);
  return Buffer.from(digest.buffer, digest.byteOffset, DIGEST_BYTES).toString('base64');
}

function canonicalRow(forms: readonly KeyColumn[], row: readonly (string | null)[]): string[] {
  return forms.map((form, index) => {
    const value = canonicalValue(form, row[index] ?? null);
    return typeof value === 'string' ? value : '';
  });
}

function tooMany(party: PartyId): PolicyError {
  return new PolicyError('plan-outside-contract', 'More keys are shared than one run may reveal.', {
    party,
    rule: `at most ${REVEALED_KEYS_MAX} revealed keys`,
    remedy: 'Ask for the number of shared keys instead.',
    dependedOnRows: true,
  });
}
