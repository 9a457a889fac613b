/**
 * Discrete Laplace and discrete Gaussian noise, sampled exactly: no probability is ever rounded to
 * a double. Doubles only decide early where a comparison cannot go either way; within the margin of
 * their error integers of any size decide.
 *
 * Source: Canonne, Kamath, Steinke, *The Discrete Gaussian for Differential Privacy*, NeurIPS 2020,
 * algorithms 1 to 3. Time depends on the samples; nobody outside the domain can measure it.
 */
import { assertInvariant, InputError } from '../errors.ts';
import type { WordStream } from './noise-stream.ts';

/** A scale above this could give a sample that a double does not hold exactly. */
export const SCALE_MAX = 2 ** 44;
const WORD = 2 ** 32;
const WORD_BITS = 32n;
/** Error of the doubles below is under 2^−38; what lies nearer to an edge is decided by integers. */
const MARGIN = 2 ** -34;
/** Chance of one more turn is below 1/e each: this many do not happen. */
const TURNS_MAX = 1024;

/** n/d, not negative, and the nearest double or one close to it. */
interface Ratio {
  readonly near: number;
  exact(): readonly [n: bigint, d: bigint];
}

/** Random words, and how near to an edge a double may not decide. */
interface Coin {
  readonly stream: WordStream;
  readonly margin: number;
}

/**
 * Draws X with P(X = x) ∝ exp(−|x| / scale).
 * @param scale - integer, 1 to SCALE_MAX: sensitivity / ε, rounded up.
 * @param margin - 1 lets integers decide always: slower, and the oracle in tests.
 */
export function discreteLaplace(stream: WordStream, scale: number, margin = MARGIN): number {
  refuseScale(scale);
  return laplace({ stream, margin }, scale);
}

/**
 * Draws X with P(X = x) ∝ exp(−x² / 2σ²).
 * @param variance - σ², integer, 1 to SCALE_MAX².
 */
export function discreteGaussian(
  stream: WordStream,
  variance: bigint,
  margin: number = MARGIN,
): number {
  return gaussianSampler(variance, margin)(stream);
}

/** As `discreteGaussian`, for many samples of one variance. */
export function gaussianSampler(
  variance: bigint,
  margin: number = MARGIN,
): (stream: WordStream) => number {
  if (variance < 1n) throw outOfRange();
  const t = floorSqrt(variance) + 1n;
  refuseScale(Number(t));
  const [scale, sigma2] = [Number(t), Number(variance)];
  const d = 2n * variance * t * t;
  return (stream) => {
    const coin = { stream, margin };
    for (let turn = 0; turn < TURNS_MAX; turn += 1) {
      const y = laplace(coin, scale);
      const distance = Math.abs(y) - sigma2 / scale;
      const gamma = {
        near: (distance * distance) / (2 * sigma2),
        exact: (): readonly [bigint, bigint] => {
          const n = BigInt(Math.abs(y)) * t - variance;
          return [n * n, d];
        },
      };
      if (bernoulliExp(coin, gamma)) return y;
    }
    throw tooManyTurns();
  };
}

function laplace(coin: Coin, scale: number): number {
  for (let turn = 0; turn < TURNS_MAX; turn += 1) {
    const u = below(coin, scale);
    const share = {
      near: u / scale,
      exact: (): readonly [bigint, bigint] => [BigInt(u), BigInt(scale)],
    };
    if (!bernoulliExp(coin, share)) continue;
    let v = 0;
    while (bernoulliExpOne(coin)) {
      v += 1;
      if (v > TURNS_MAX) throw tooManyTurns();
    }
    const x = u + v * scale;
    const isNegative = (coin.stream.next() & 1) === 1;
    // Zero has one sign only, else it would be drawn twice as often.
    if (isNegative && x === 0) continue;
    assertInvariant(Number.isSafeInteger(x), 'a noise sample fits a double');
    return isNegative ? -x : x;
  }
  throw tooManyTurns();
}

/** True with probability exp(−γ). */
function bernoulliExp(coin: Coin, gamma: Ratio): boolean {
  let whole = Math.floor(gamma.near);
  let fraction: Ratio = gamma;
  const rest = gamma.near - whole;
  if (rest < coin.margin || rest > 1 - coin.margin) {
    const [n, d] = gamma.exact();
    whole = Number(n / d);
    const left = n % d;
    fraction = { near: Number((left << 53n) / d) / 2 ** 53, exact: () => [left, d] };
  } else if (whole > 0) {
    const units = BigInt(whole);
    fraction = {
      near: rest,
      exact: () => {
        const [n, d] = gamma.exact();
        return [n - units * d, d];
      },
    };
  }
  for (let one = 0; one < whole; one += 1) if (!bernoulliExpOne(coin)) return false;
  return bernoulliExpFraction(coin, fraction);
}

const ONE: Ratio = { near: 1, exact: () => [1n, 1n] };

function bernoulliExpOne(coin: Coin): boolean {
  return bernoulliExpFraction(coin, ONE);
}

/** Algorithm 1 for γ ≤ 1: the number of successes of Bernoulli(γ/1), Bernoulli(γ/2) … is even. */
function bernoulliExpFraction(coin: Coin, gamma: Ratio): boolean {
  for (let k = 1; k < TURNS_MAX; k += 1) {
    if (!bernoulli(coin, gamma, k)) return k % 2 === 1;
  }
  throw tooManyTurns();
}

/** True with probability γ/k. */
function bernoulli(coin: Coin, gamma: Ratio, k: number): boolean {
  const edge = gamma.near / k;
  const u = coin.stream.next();
  if ((u + 1) / WORD < edge - coin.margin) return true;
  if (u / WORD > edge + coin.margin) return false;
  const [n, d] = gamma.exact();
  return isBelow(coin, BigInt(u), WORD_BITS, n, d * BigInt(k));
}

/** Whether a uniform number that begins with the `bits` of `prefix` is below n/d; draws on as needed. */
function isBelow(coin: Coin, prefix: bigint, bits: bigint, n: bigint, d: bigint): boolean {
  let [drawn, drawnBits] = [prefix, bits];
  for (let turn = 0; turn < TURNS_MAX; turn += 1) {
    const target = n << drawnBits;
    if ((drawn + 1n) * d <= target) return true;
    if (drawn * d >= target) return false;
    drawn = (drawn << WORD_BITS) | BigInt(coin.stream.next());
    drawnBits += WORD_BITS;
  }
  throw tooManyTurns();
}

/** Uniform in 0 … limit − 1, by rejection. */
function below(coin: Coin, limit: number): number {
  if (limit <= WORD) {
    const cut = WORD - (WORD % limit);
    for (let turn = 0; turn < TURNS_MAX; turn += 1) {
      const word = coin.stream.next();
      if (word < cut) return word % limit;
    }
    throw tooManyTurns();
  }
  const range = 2 ** 52;
  const cut = range - (range % limit);
  for (let turn = 0; turn < TURNS_MAX; turn += 1) {
    const value = (coin.stream.next() % 2 ** 20) * WORD + coin.stream.next();
    if (value < cut) return value % limit;
  }
  throw tooManyTurns();
}

/** ⌊√n⌋ by Newton's method. */
export function floorSqrt(n: bigint): bigint {
  if (n < 2n) return n;
  let root = 1n << (BigInt(n.toString(2).length + 1) / 2n);
  for (;;) {
    const next = (root + n / root) / 2n;
    if (next >= root) return root;
    root = next;
  }
}

function refuseScale(scale: number): void {
  if (!Number.isSafeInteger(scale) || scale < 1 || scale > SCALE_MAX) throw outOfRange();
}

function outOfRange(): InputError {
  return new InputError('parameter-invalid', 'The noise would be of a scale that is not offered.', {
    rule: `scale 1 to ${SCALE_MAX}`,
    remedy: 'Tighter bounds, fewer cells a unit, or a larger budget.',
  });
}

/** Below 2^−1000: the stream is broken, and going on with it would be wrong. */
function tooManyTurns(): Error {
  return new Error('a noise stream that does not end');
}
