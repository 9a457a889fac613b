/** A sum over a join out of what its two holders told the recipient. */
import type { Statement } from '../computations/psi/statement.ts';
import { AbortError } from '../errors.ts';
import { openSum } from '../../protocols/psi/sum.ts';

type Cell = Statement['release']['rows'][number][number] | undefined;

/**
 * The sum as a decimal.
 * @param scale - the halves are of units of 10^−scale.
 * @throws AbortError `transcript-mismatch`
 */
export function sumOfHalves(sent: Cell, received: Cell, scale: number): string {
  return decimalOf(openSum(residueOf(sent), residueOf(received)), scale);
}

/** @returns what is thrown where a holder's statement is not of the run's shape. */
export function malformedMatch(): AbortError {
  return new AbortError('transcript-mismatch', 'The result of the match is malformed.');
}

function residueOf(cell: Cell): bigint {
  if (typeof cell !== 'string' || !/^\d{1,20}$/.test(cell)) throw malformedMatch();
  return BigInt(cell);
}

/** Units of 10^−scale as a decimal. */
function decimalOf(units: bigint, scale: number): string {
  if (scale === 0) return units.toString();
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const text = `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return units < 0n ? `-${text}` : text;
}
