/**
 * How much noise a contract's terms put on each vector of an answer. From the contract alone, so
 * that gateway, domains and `explain` say the same.
 *
 * A unit counts in at most C cells, with at most R rows in each, values within bound B: adding or
 * taking it away changes counts by at most √C·R in Euclidean norm, sums by √C·R·B, sums of squares
 * by √C·R·B². The budget is split evenly over the vectors.
 */
import type { NoiseTerms } from '../contracts/noise.ts';
import { InputError } from '../errors.ts';
import { floorSqrt } from './sampler.ts';
import { shareVariance, type NoisedVector } from './zcdp.ts';

/** Deviations at which a share is cut: beyond lies less than 10^−55 of it, far below any δ on offer. */
const TAIL_DEVIATIONS = 16n;

/** Noise on one vector. */
export interface VectorNoise {
  /** Names the vector in every derivation: `rows`, `sum/delay`. */
  readonly label: string;
  /** Variance that each domain adds to every cell. */
  readonly variance: bigint;
  /** No share is larger than this, either way. */
  readonly tail: bigint;
}

export interface ColumnNoise {
  readonly nonNull: VectorNoise;
  readonly sum: VectorNoise;
  readonly squares: VectorNoise | undefined;
}

export interface NoisePlan {
  readonly terms: NoiseTerms;
  readonly rows: VectorNoise;
  /** In the order of the measured columns. */
  readonly columns: readonly ColumnNoise[];
}

/** A measured column, clamped to its bounds in units of 10^−scale. */
export interface NoisedColumn {
  readonly column: string;
  readonly minimum: string;
  readonly maximum: string;
  readonly squares: boolean;
}

/**
 * @param further - vectors besides that take their part of the budget, noised as `rows` is.
 * @throws InputError `parameter-invalid` where the budget is too small to be split, or the noise
 *   would be larger than any on offer.
 */
export function noisePlan(
  terms: NoiseTerms,
  columns: readonly NoisedColumn[],
  cells: number,
  further = 0,
): NoisePlan {
  const vectors = 1 + further + columns.reduce((sum, { squares }) => sum + (squares ? 3 : 2), 0);
  const each = BigInt(terms.microRhoPerRun) / BigInt(vectors);
  if (each < 1n) {
    throw new InputError('parameter-invalid', 'The budget of a run is too small to be split.', {
      rule: 'microRhoPerRun',
      remedy: `At least ${vectors}, or fewer measured columns.`,
    });
  }
  const rowsMost = BigInt(terms.cellsPerUnit) * BigInt(terms.rowsPerCell) ** 2n;
  const noiseOn = (label: string, bound: bigint): VectorNoise => {
    const vector: NoisedVector = { squaredSensitivity: rowsMost * bound * bound, cells };
    const variance = shareVariance(vector, each, terms.honestDomains);
    return { label, variance, tail: TAIL_DEVIATIONS * (floorSqrt(variance) + 1n) };
  };
  return {
    terms,
    rows: noiseOn('rows', 1n),
    columns: columns.map(({ column, minimum, maximum, squares }) => {
      const bound = largest(BigInt(minimum), BigInt(maximum));
      return {
        nonNull: noiseOn(`non-null/${column}`, 1n),
        sum: noiseOn(`sum/${column}`, bound),
        squares: squares ? noiseOn(`squares/${column}`, bound * bound) : undefined,
      };
    }),
  };
}

/** The standard deviation of what all domains of a run add to one cell, in the vector's units. */
export function deviationOf(noise: VectorNoise, parties: number): number {
  return Math.sqrt(Number(noise.variance) * parties);
}

function largest(minimum: bigint, maximum: bigint): bigint {
  const [low, high] = [minimum < 0n ? -minimum : minimum, maximum < 0n ? -maximum : maximum];
  const bound = low > high ? low : high;
  return bound > 0n ? bound : 1n;
}
