/**
 * This domain's noise on a match. The number is noised before anyone sees it: the sender fills its
 * noise slots with so many shared dummies that they raise the number by half the slots and its
 * discrete Gaussian share, exactly. The receiver, which sees that, adds its own share before it
 * judges and releases. Shares are cut at their tail, beyond which there is less than 10^−55 of them.
 */
import type { WordStream } from '../../disclosure/noise-stream.ts';
import type { VectorNoise } from '../../disclosure/noise-plan.ts';
import { discreteGaussian } from '../../disclosure/sampler.ts';
import { InvariantError } from '../../errors.ts';
import type { DomainRole } from '../computation.ts';
import { noiseSlotsOf, type MatchShape } from './shape.ts';

/** How many of its noise slots this domain fills with shared dummies. */
export function sharedDummiesOf(role: DomainRole, shape: MatchShape): number {
  if (shape.noise === undefined) return 0;
  const slots = noiseSlotsOf(shape.noise);
  if (role.self === shape.receiver) return slots;
  return slots / 2 + share(role, shape.noise.rows);
}

/** The receiver's number as it may be judged and released: without the dummies, with its share. */
export function noisedNumber(role: DomainRole, shape: MatchShape, shared: number): number {
  if (shape.noise === undefined) return shared;
  return shared - noiseSlotsOf(shape.noise) / 2 + share(role, shape.noise.rows);
}

/** This domain's share of the noise on the sum. */
export function sumNoise(role: DomainRole, shape: MatchShape): bigint {
  const vector = shape.noise?.columns[0]?.sum;
  return vector === undefined ? 0n : BigInt(share(role, vector));
}

function share(role: DomainRole, vector: VectorNoise): number {
  if (role.noiseOf === undefined) {
    throw new InvariantError('internal', 'a contract with noise runs without its source');
  }
  const stream: WordStream = role.noiseOf(vector.label);
  const tail = Number(vector.tail);
  return Math.max(-tail, Math.min(tail, discreteGaussian(stream, vector.variance)));
}
