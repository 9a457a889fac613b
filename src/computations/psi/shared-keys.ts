/** The keys that an intersection reveals: kept in the order of their rows when these were read. */
import { assertInvariant, PolicyError } from '../../errors.ts';
import type { PartyId } from '../../system/ids.ts';
import { keyEnd, keyValues } from '../../../protocols/psi/key-batch.ts';
import type { PieceLog } from '../../../protocols/psi/piece-log.ts';
import { REVEALED_KEYS_MAX } from './shape.ts';

/**
 * The shared keys in canonical form.
 * @param log - pieces of whole keys of so many `columns`.
 * @param shared - which of the keys, ascending; absent where there are more than may be revealed.
 * @throws PolicyError `plan-outside-contract`
 */
export async function sharedKeys(
  self: PartyId,
  columns: number,
  log: PieceLog,
  shared: Uint32Array | undefined,
): Promise<readonly (readonly string[])[]> {
  if (shared === undefined) throw tooMany(self);
  const keys: { readonly text: string; readonly values: readonly string[] }[] = [];
  let number = 0;
  for await (const piece of log.read()) {
    for (let at = 0; at < piece.length && keys.length < shared.length; number++) {
      const end = keyEnd(piece, at, columns);
      if (number === shared[keys.length]) {
        const values = keyValues(piece.subarray(at, end));
        keys.push({ text: JSON.stringify(values), values });
      }
      at = end;
    }
  }
  assertInvariant(keys.length === shared.length, 'a shared key is one of those that were read');
  return keys.toSorted((a, b) => (a.text < b.text ? -1 : 1)).map(({ values }) => values);
}

function tooMany(party: PartyId): PolicyError {
  return new PolicyError('plan-outside-contract', 'More keys are shared than one run may reveal.', {
    party,
    rule: `at most ${REVEALED_KEYS_MAX} revealed keys`,
    remedy: 'Ask for the number of shared keys instead.',
    dependedOnRows: true,
  });
}
