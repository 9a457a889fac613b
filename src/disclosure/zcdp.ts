/**
 * Accounting in zero-concentrated differential privacy: losses add up, in whole millionths of ρ,
 * always rounded up. Sensitivities are those of one privacy unit, added or taken away.
 *
 * Sources: Bun, Steinke, TCC 2016 (composition); Canonne, Kamath, Steinke, NeurIPS 2020 (discrete
 * Gaussian, conversion); Kairouz, Liu, Steinke, ICML 2021 (sums of discrete Gaussians).
 */
import { InputError } from '../errors.ts';
import { floorSqrt, SCALE_MAX } from './sampler.ts';

export const MICRO = 1_000_000n;
/**
 * The smallest variance of one share. A sum of discrete Gaussians is not quite one itself; from here
 * on the difference (τ below) is under 10^−30 of a run's budget.
 */
export const SHARE_VARIANCE_MIN = 8n;
/** What shares are made larger by, so that the finite-sum term and roundings stay inside the budget. */
const SHARE_HEADROOM = 2n ** 20n;

/** One vector of a noised answer. */
export interface NoisedVector {
  /** Square of the largest change, in Euclidean norm, that one unit can make. */
  readonly squaredSensitivity: bigint;
  /** Coordinates. */
  readonly cells: number;
}

/**
 * The variance that each domain adds to every cell of a vector, so that the noise of `honest`
 * domains alone keeps the loss at or under `microRho`.
 * @param microRho - of this vector, at least 1.
 * @throws InputError `parameter-invalid` where no scale on offer is enough.
 */
export function shareVariance(vector: NoisedVector, microRho: bigint, honest: number): bigint {
  const shares = 2n * microRho * BigInt(honest);
  const exact = ceilDivide(vector.squaredSensitivity * MICRO, shares);
  const larger = exact + ceilDivide(exact, SHARE_HEADROOM) + 1n;
  const variance = larger < SHARE_VARIANCE_MIN ? SHARE_VARIANCE_MIN : larger;
  if (floorSqrt(variance) + 1n <= BigInt(SCALE_MAX)) return variance;
  throw new InputError(
    'parameter-invalid',
    'The noise would be larger than the gateway can hold.',
    {
      rule: `deviation at most 2^44 units`,
      remedy: 'Tighter bounds, fewer cells or rows a unit, or a larger budget a run.',
    },
  );
}

/**
 * The loss of releasing a vector to which `honest` domains each added discrete Gaussian noise of
 * `variance`: with ε = Δ/(√h·σ) + τ·√d, ρ = ε²/2.
 * @see Kairouz, Liu, Steinke 2021, theorem 1, equations 3 and 4
 */
export function microRhoOf(vector: NoisedVector, variance: bigint, honest: number): bigint {
  const sigma2 = Number(variance);
  let tau = 0;
  for (let k = 1; k < honest; k += 1) tau += Math.exp((-2 * Math.PI ** 2 * sigma2 * k) / (k + 1));
  const epsilon =
    Math.sqrt(Number(vector.squaredSensitivity) / (honest * sigma2)) +
    10 * tau * Math.sqrt(vector.cells);
  // A double's error is far below the headroom of the shares; one part in 10^12 covers it upwards.
  return BigInt(Math.ceil(((epsilon * epsilon) / 2) * 1e6 * (1 + 1e-12)));
}

/**
 * The ε that ρ-zCDP implies at δ: the infimum over α of
 * ρα + (ln(1/δ) + (α − 1)·ln(1 − 1/α) − ln α) / (α − 1), any α > 1 of which is a valid bound.
 * @param delta - above 0, below 1.
 * @see Canonne, Kamath, Steinke 2020, proposition 12 and corollary 13
 */
export function impliedEpsilon(microRho: bigint, delta: number): number {
  const rho = Number(microRho) / 1e6;
  if (rho === 0) return 0;
  const bound = (logGap: number): number => {
    const gap = Math.exp(logGap);
    const alpha = 1 + gap;
    return (
      rho * alpha + (Math.log(1 / delta) + gap * Math.log(gap / alpha) - Math.log(alpha)) / gap
    );
  };
  let [low, high] = [Math.log(1e-9), Math.log(1e12)];
  for (let step = 0; step < 200; step += 1) {
    const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
    if (bound(a) < bound(b)) high = b;
    else low = a;
  }
  return Math.max(0, bound((low + high) / 2));
}

export function ceilDivide(n: bigint, d: bigint): bigint {
  return (n + d - 1n) / d;
}
