/** Pearson's statistic of drawn integers against exact probabilities, and its upper tail. */

export interface Fit {
  readonly statistic: number;
  readonly degrees: number;
  /** Chance of a fit this bad or worse from the true distribution. */
  readonly tail: number;
}

/**
 * Values whose expected number is under ten are gathered in one bin.
 * @param mass - probability of each value up to a constant factor.
 */
export function chiSquare(
  samples: readonly number[],
  mass: (value: number) => number,
  reach: number,
): Fit {
  let whole = 0;
  for (let value = -reach; value <= reach; value += 1) whole += mass(value);
  const seen = new Map<number, number>();
  for (const sample of samples) seen.set(sample, (seen.get(sample) ?? 0) + 1);
  let [statistic, bins, restSeen, restExpected] = [0, 0, samples.length, samples.length];
  for (let value = -reach; value <= reach; value += 1) {
    const expected = (mass(value) / whole) * samples.length;
    if (expected < 10) continue;
    const count = seen.get(value) ?? 0;
    statistic += (count - expected) ** 2 / expected;
    bins += 1;
    restSeen -= count;
    restExpected -= expected;
  }
  if (restExpected > 1) {
    statistic += (restSeen - restExpected) ** 2 / restExpected;
    bins += 1;
  }
  const degrees = bins - 1;
  return { statistic, degrees, tail: upperTail(statistic, degrees) };
}

/** Wilson and Hilferty's normal approximation: good to a few percent of the tail for ten bins and more. */
function upperTail(statistic: number, degrees: number): number {
  const k = 2 / (9 * degrees);
  const z = ((statistic / degrees) ** (1 / 3) - (1 - k)) / Math.sqrt(k);
  return normalTail(z);
}

/** 1 − Φ(z). Abramowitz and Stegun 7.1.26, absolute error below 10^−7. */
function normalTail(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series =
    ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const half = (series * Math.exp(-x * x)) / 2;
  return z > 0 ? half : 1 - half;
}
