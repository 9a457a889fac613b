/** Noise as a contract agrees on it: how much, over what a person can contribute, and what it implies. */
import { z } from 'zod';

export const MICRO_RHO_MAX = 100_000_000;

export const NoiseTermsSchema = z.strictObject({
  /** Discrete Gaussian noise on every cell, before the threshold; ρ-zCDP. */
  mechanism: z.literal('discrete-gaussian'),
  /** What one run may cost each privacy unit, in millionths of ρ. */
  microRhoPerRun: z.int().min(1).max(MICRO_RHO_MAX),
  /** δ = 10^−deltaExponent, for the ε that the budget implies: how people read ρ. */
  deltaExponent: z.int().min(4).max(30),
  /** Cells a privacy unit counts in, at each holder; its further cells are left out. */
  cellsPerUnit: z.int().min(1).max(10_000),
  /** Rows of a unit that count in one cell, at each holder; its further rows are left out. */
  rowsPerCell: z.int().min(1).max(1_000_000),
  /** Of the holders in a run, how many are assumed not to tell the others their noise. */
  honestDomains: z.int().min(1).max(256),
});
export type NoiseTerms = z.infer<typeof NoiseTermsSchema>;

/** What a run descriptor says of noise: the contract's terms, or none. */
export const DescriptorNoiseSchema = z.union([z.literal('none'), NoiseTermsSchema]);

/** @see DescriptorNoiseSchema */
export function noiseOf(contract: {
  readonly disclosure: { readonly noise?: NoiseTerms | undefined };
}): z.infer<typeof DescriptorNoiseSchema> {
  return contract.disclosure.noise ?? 'none';
}
