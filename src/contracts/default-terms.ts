/** Terms of a draft where its analyst states no others: modest, to be changed before signing. */
import type { Contract } from './contract.ts';
import type { NoiseTerms } from './noise.ts';

/** `rowsTotal` follows from the datasets: every run may read all of them. */
export const DEFAULT_LIMITS = {
  runsTotal: 1000,
  runsPerDay: 100,
  runsPerMonth: 1000,
  computeMilliUnitsTotal: 10_000_000,
  microRhoTotal: 0,
} as const satisfies Partial<Contract['limits']>;

export const DEFAULT_TIME_ZONE = 'Asia/Shanghai';
export const DEFAULT_VALID_DAYS = 365;
export const DEFAULT_RETENTION_S: number = 30 * 86_400;

export const DEFAULT_PRICE = {
  currency: 'CNY',
  perRunMicros: 1_000_000,
  perComputeUnitMicros: 100_000,
} as const satisfies Contract['price'];

/** Where a dataset needs noise: ε of about 0.8 at δ = 10^−9 a run, if two other domains are honest. */
export const DEFAULT_NOISE = {
  mechanism: 'discrete-gaussian',
  microRhoPerRun: 10_000,
  deltaExponent: 9,
  cellsPerUnit: 4,
  rowsPerCell: 1,
  honestDomains: 2,
} as const satisfies NoiseTerms;

/** Noise of a sum among so many holders: those besides one that is curious itself, two at most, keep theirs. */
export function defaultNoise(parties: number): NoiseTerms {
  return { ...DEFAULT_NOISE, honestDomains: Math.max(1, Math.min(2, parties - 1)) };
}

/** With fewer than three, one contributor could subtract itself and read the other. */
export function defaultContributors(parties: number): number {
  return Math.min(3, parties);
}

/** In a match a key is a unit and counts once, and each holder knows its own noise. */
export const DEFAULT_MATCH_NOISE = {
  ...DEFAULT_NOISE,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 1,
} as const satisfies NoiseTerms;

export const DEFAULT_NOISED_RUNS = 20;
