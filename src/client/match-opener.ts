/**
 * Opens the result of a match that the holders sealed, on the recipient's own machine: the shared
 * keys, or the two halves of a sum. What the gateway handed over is taken as hostile until verified.
 */
import type { Contract } from '../contracts/contract.ts';
import type { Release } from '../computations/computation.ts';
import { matchShapeOf, type MatchShape } from '../computations/psi/shape.ts';
import { openStatement, type AskedPlace, type Statement } from '../computations/psi/statement.ts';
import { SEALED_KEYS_COLUMN, SEALED_SUM_COLUMN } from '../computations/psi/wire.ts';
import { roundedRelease } from '../computations/rounded-release.ts';
import { AbortError } from '../errors.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { openSum } from '../../protocols/psi/sum.ts';

/** Whether a release is one that `openMatch` opens. */
export function isSealedMatch(release: Pick<Release, 'columns'>): boolean {
  const [column] = release.columns;
  return column === SEALED_KEYS_COLUMN || column === SEALED_SUM_COLUMN;
}

/**
 * The table: shared keys, or number and sum.
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
  const texts = release.rows.map(([text]) => text);
  const open = (index: number, party: MatchShape['sender']): Promise<Statement> => {
    const text = texts[index];
    if (typeof text !== 'string') throw malformed();
    return openStatement(text, place, party, contract, recipient);
  };
  if (release.columns[0] === SEALED_KEYS_COLUMN) return (await open(0, shape.receiver)).release;
  if (shape.plan.sum === undefined) throw malformed();
  const [received, sent] = [await open(0, shape.receiver), await open(1, shape.sender)];
  // Halves of two runs would add up to a number like any other.
  if (received.descriptorHash !== sent.descriptorHash) throw malformed();
  const columns = ['shared', shape.plan.sum.as];
  const [row] = received.release.rows;
  // Withheld: the receiver keeps its half, and the sender's alone says nothing.
  if (row === undefined)
    return { columns, rows: [[null, null]], suppressedCells: 2, releasedCells: 0 };
  const shared = row[0];
  if (typeof shared !== 'number') throw malformed();
  const sum = openSum(residueOf(sent.release.rows[0]?.[0]), residueOf(row[1]));
  const text = decimalOf(sum, shape.sumBounds?.scale ?? 0);
  const opened = { columns, rows: [[shared, text]], suppressedCells: 0, releasedCells: 2 };
  return roundedRelease(opened, contract);
}

function residueOf(cell: string | number | null | undefined): bigint {
  if (typeof cell !== 'string' || !/^\d{1,20}$/.test(cell)) throw malformed();
  return BigInt(cell);
}

/** Units of 10^−scale as a decimal. */
function decimalOf(units: bigint, scale: number): string {
  if (scale === 0) return units.toString();
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const text = `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return units < 0n ? `-${text}` : text;
}

function malformed(): AbortError {
  return new AbortError('transcript-mismatch', 'The result of the match is malformed.');
}
