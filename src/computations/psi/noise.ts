/**
 * This domain's noise on a match, for each group where there are any. The number is noised before
 * anyone sees it: the sender fills its noise slots with so many shared dummies that they raise the
 * number by half the slots and its discrete Gaussian share, exactly. The receiver, which sees that,
 * adds its own share before it judges and releases. Shares are cut at their tail, beyond which there
 * is less than 10^−55 of them.
 */
import type { VectorNoise } from '../../disclosure/noise-plan.ts';
import { noiseShares } from '../../disclosure/noise-vector.ts';
import { InvariantError } from '../../errors.ts';
import type { DomainRole } from '../computation.ts';
import { cellSlotsOf, type MatchShape } from './shape.ts';

/** How many noise slots of each group this domain fills with shared dummies. */
export async function sharedDummiesOf(
  role: DomainRole,
  shape: MatchShape,
): Promise<readonly number[]> {
  if (shape.noise === undefined) return [];
  const slots = cellSlotsOf(shape.noise);
  if (role.self === shape.receiver) return Array<number>(shape.cells).fill(slots);
  const shares = await sharesOf(role, shape, shape.noise.rows);
  return [...shares].map((share) => slots / 2 + share);
}

/** The receiver's numbers as they may be judged and released: without dummies, with its shares. */
export async function noisedNumbers(
  role: DomainRole,
  shape: MatchShape,
  shared: ArrayLike<number>,
): Promise<Float64Array> {
  const numbers = Float64Array.from(shared);
  if (shape.noise === undefined) return numbers;
  const slots = cellSlotsOf(shape.noise);
  const shares = await sharesOf(role, shape, shape.noise.rows);
  return numbers.map((number, cell) => number - slots / 2 + (shares[cell] ?? 0));
}

/** This domain's share of the noise on each sum. */
export async function sumNoise(role: DomainRole, shape: MatchShape): Promise<readonly bigint[]> {
  const vector = shape.noise?.columns[0]?.sum;
  if (vector === undefined) return Array<bigint>(shape.cells).fill(0n);
  return [...(await sharesOf(role, shape, vector))].map(BigInt);
}

/**
 * What the receiver adds to its items in each group before the sender sees how many there are: its
 * share, moved up so that it is never negative.
 */
export async function sizeNoise(role: DomainRole, shape: MatchShape): Promise<Float64Array> {
  if (shape.noise === undefined) return new Float64Array(shape.cells);
  const vector: VectorNoise = { ...shape.noise.rows, label: 'group-sizes' };
  const shares = await sharesOf(role, shape, vector);
  return shares.map((share) => share + Number(vector.tail));
}

function sharesOf(
  role: DomainRole,
  { cells }: MatchShape,
  noise: VectorNoise,
): Promise<Float64Array> {
  if (role.noiseOf === undefined) {
    throw new InvariantError('internal', 'a contract with noise runs without its source');
  }
  return noiseShares(noise, role.noiseOf(noise.label), cells);
}
