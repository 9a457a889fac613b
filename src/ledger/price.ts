/** What a run costs by the contract's price terms: integers only, in millionths of the currency. */
import type { Contract } from '../contracts/contract.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';

/** Milli-units in a compute unit, which is one second of one core. */
const MILLI = 1_000n;

/**
 * Runs times their price plus compute units times theirs; a fraction of a millionth is dropped, so
 * that nobody is charged more than was agreed.
 */
export function chargeMicros(
  price: Contract['price'],
  units: Readonly<Partial<Record<Dimension, Units>>>,
): bigint {
  const runs = units.runs ?? 0n;
  const computeMilli = units['compute-milli-units'] ?? 0n;
  assertInvariant(runs >= 0n && computeMilli >= 0n, 'units are never negative');
  return (
    runs * BigInt(price.perRunMicros) + (computeMilli * BigInt(price.perComputeUnitMicros)) / MILLI
  );
}
