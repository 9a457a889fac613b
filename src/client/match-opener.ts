/**
 * Opens the result of a match that the holders sealed, on the recipient's own machine: the shared
 * keys, numbers by groups, or the two halves of a sum. What the gateway handed over is taken as hostile until verified.
 */
import type { Contract } from '../contracts/contract.ts';
import type { Release } from '../computations/computation.ts';
import { matchShapeOf, type MatchShape } from '../computations/psi/shape.ts';
import { openStatement, type AskedPlace, type Statement } from '../computations/psi/statement.ts';
import {
  SEALED_GROUPS_COLUMN,
  SEALED_KEYS_COLUMN,
  SEALED_SUM_COLUMN,
} from '../computations/psi/wire.ts';
import { roundedRelease } from '../computations/rounded-release.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { openGroups } from './group-opener.ts';
import { malformedMatch, sumOfHalves } from './match-halves.ts';

/**
 * The table: shared keys, or number and sum, by groups where the plan has them.
 * @param recipient - the recipient's X25519 keys, raw. Secret: they stay in this process.
 * @throws AbortError `decryption-failed`, `transcript-mismatch`; IdentityError `signature-invalid`
 */
export async function openMatch(
  release: Release,
  place: AskedPlace,
  contract: Contract,
  recipient: KeyPair,
): Promise<Release> {
  const shape = matchShapeOf(contract, {});
  // The plan says what it is: the gateway could give one answer the name of another.
  if (release.columns.join() !== sealedColumnOf(shape)) throw malformedMatch();
  const texts = release.rows.map(([text]) => text);
  const open = (index: number, party: MatchShape['sender']): Promise<Statement> => {
    const text = texts[index];
    if (typeof text !== 'string') throw malformedMatch();
    return openStatement(text, place, party, contract, recipient);
  };
  const { groups, plan } = shape;
  if (plan.ask === 'intersection') return (await open(0, shape.receiver)).release;
  if (groups !== undefined && plan.sum === undefined) {
    const { rows } = (await open(0, shape.receiver)).release;
    return roundedRelease(openGroups(shape, groups, rows, undefined), contract);
  }
  if (plan.sum === undefined) throw malformedMatch();
  const [received, sent] = [await open(0, shape.receiver), await open(1, shape.sender)];
  // Halves of two runs would add up to a number like any other.
  if (received.descriptorHash !== sent.descriptorHash) throw malformedMatch();
  if (groups !== undefined) {
    const table = openGroups(shape, groups, received.release.rows, sent.release.rows);
    return roundedRelease(table, contract);
  }
  const columns = ['shared', plan.sum.as];
  const [row] = received.release.rows;
  // Withheld: the receiver keeps its half, and the sender's alone says nothing.
  if (row === undefined)
    return { columns, rows: [[null, null]], suppressedCells: 2, releasedCells: 0 };
  const shared = row[0];
  if (typeof shared !== 'number') throw malformedMatch();
  const text = sumOfHalves(sent.release.rows[0]?.[0], row[1], shape.sumBounds?.scale ?? 0);
  const opened = { columns, rows: [[shared, text]], suppressedCells: 0, releasedCells: 2 };
  return roundedRelease(opened, contract);
}

/** Under which name the gateway passes such a result on. */
function sealedColumnOf({ plan, groups }: MatchShape): string {
  if (plan.ask === 'intersection') return SEALED_KEYS_COLUMN;
  return groups === undefined ? SEALED_SUM_COLUMN : SEALED_GROUPS_COLUMN;
}
