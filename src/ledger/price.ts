/** What a run costs by the contract's price terms: integers only, in millionths of the currency. */
import type { Contract } from '../contracts/contract.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';

/** Milli-units in a compute unit, which is one second of one core. */
const MILLI = 1_000n;

/**
 * Runs times their price plus compute units times theirs; a fraction of a millionth is dropped, so
 * that nobody is charged more than was agreed.
 * @param monthRuns - which run of the contract's calendar month this is: the runs posted and held
 *   when it is settled, itself included. Runs that end at the same time may count each other; tiers
 *   never get dearer, so nobody loses by it.
 */
export function chargeMicros(
  price: Contract['price'],
  units: Readonly<Partial<Record<Dimension, Units>>>,
  monthRuns = 1n,
): bigint {
  const runs = units.runs ?? 0n;
  const computeMilli = units['compute-milli-units'] ?? 0n;
  assertInvariant(runs >= 0n && computeMilli >= 0n, 'units are never negative');
  const { perRunMicros, perComputeUnitMicros } = termsAt(price, monthRuns);
  return runs * BigInt(perRunMicros) + (computeMilli * BigInt(perComputeUnitMicros)) / MILLI;
}

function termsAt(
  price: Contract['price'],
  monthRuns: bigint,
): Pick<Contract['price'], 'perRunMicros' | 'perComputeUnitMicros'> {
  const reached = price.tiers?.filter((tier) => BigInt(tier.fromRun) <= monthRuns);
  return reached?.at(-1) ?? price;
}
