/** Parameters of secret weights: products need room for their noise and for what floods it. */
import type { BgvParameters } from '../common/bgv.ts';
import { ProtocolError } from '../common/protocol-error.ts';

export const WEIGHTS_DEGREE = 8192;
/** 60 + 60 + 60 + 20 bits for data, 18 that the library reserves for keys: 218 in all. */
const MODULI = [
  1_152_921_504_606_683_137n,
  1_152_921_504_606_748_673n,
  1_152_921_504_606_830_593n,
  1_032_193n,
  163_841n,
] as const;
/** The four largest 36-bit primes congruent to 1 mod 16384. */
export const WEIGHTS_PLAIN_MODULI = [
  68_719_230_977n,
  68_718_428_161n,
  68_718_346_241n,
  68_717_740_033n,
] as const;
/** E spans t^4, nearly 2^144; see the README for what it must exceed. */
export const FLOOD_DIGITS = 4;
/** What each cell is multiplied in: as it is, and for each tag by a secret factor of its output. */
export const WEIGHTS_TAGS = 2;
export const WEIGHTS_PARTS = 1 + WEIGHTS_TAGS;
/** Values a ciphertext: the parts lie one after another in its slots. */
export const WEIGHTS_PART_SLOTS = Math.floor(WEIGHTS_DEGREE / WEIGHTS_PARTS);
/**
 * Ciphertexts of one run, 512 KiB each: they travel in one request, and come back in one result
 * that is kept as one document.
 */
export const WEIGHTS_CIPHERTEXTS_MAX = 8;

/** What is weighed: `outputs` sums, each over `perOutput` cells of its own. */
export interface WeightsShape {
  readonly outputs: number;
  readonly perOutput: number;
  /** |weight| at most: the SDK refuses others. */
  readonly weightMax: bigint;
  /** |cell| of one holder at most: clamped. */
  readonly cellMax: bigint;
  /** At most. */
  readonly holders: number;
}

const HOLDERS_MAX = 256;

/** @throws ProtocolError `parameter-invalid` */
export function weightsParameters(residue: number): BgvParameters {
  const plainModulus = WEIGHTS_PLAIN_MODULI[residue];
  if (plainModulus === undefined)
    throw new ProtocolError('parameter-invalid', `no residue ${residue}`);
  return { degree: WEIGHTS_DEGREE, moduli: MODULI, plainModulus, securityBits: 128 };
}

/** Ciphertexts of one residue; an output may lie over several. */
export function weightsCiphertextCount(shape: WeightsShape): number {
  return Math.ceil((shape.outputs * shape.perOutput) / WEIGHTS_PART_SLOTS);
}

/** |Σ w·x| over all holders, at most. */
export function weightedSumMax(shape: WeightsShape): bigint {
  return BigInt(shape.holders) * BigInt(shape.perOutput) * shape.weightMax * shape.cellMax;
}

/**
 * Residues that hold every possible weighted sum, signed.
 * @throws ProtocolError `headroom-exceeded`, `parameter-invalid`
 */
export function weightsResidueCount(shape: WeightsShape): number {
  const { outputs, perOutput, weightMax, cellMax, holders } = shape;
  const isPossible =
    [outputs, perOutput, holders].every((count) => Number.isInteger(count) && count >= 1) &&
    weightsCiphertextCount(shape) <= WEIGHTS_CIPHERTEXTS_MAX &&
    holders >= 2 &&
    holders <= HOLDERS_MAX &&
    weightMax >= 1n &&
    cellMax >= 1n;
  if (!isPossible) throw new ProtocolError('parameter-invalid', 'impossible shape of weights');
  let product = 1n;
  for (const [index, plainModulus] of WEIGHTS_PLAIN_MODULI.entries()) {
    product *= plainModulus;
    if (2n * weightedSumMax(shape) < product) return index + 1;
  }
  throw new ProtocolError('headroom-exceeded', 'weighted sums do not fit the plain moduli');
}

/** Every ciphertext of the run in the order in which they travel. @throws as `weightsResidueCount` */
export function weightsPlaces(shape: WeightsShape): readonly WeightsPlace[] {
  const perResidue = weightsCiphertextCount(shape);
  return Array.from({ length: weightsResidueCount(shape) * perResidue }, (_, at) => ({
    shape,
    residue: Math.floor(at / perResidue),
    index: at % perResidue,
  }));
}

/** One ciphertext of the run: which residue, and which of its ciphertexts. */
export interface WeightsPlace {
  readonly shape: WeightsShape;
  readonly residue: number;
  readonly index: number;
}

/** @throws ProtocolError `parameter-invalid` */
export function checkPlace({ shape, residue, index }: WeightsPlace): void {
  if (
    residue < 0 ||
    residue >= weightsResidueCount(shape) ||
    index < 0 ||
    index >= weightsCiphertextCount(shape)
  )
    throw new ProtocolError('parameter-invalid', 'no such ciphertext of weights');
}

/** Which values, counted output by output, a place carries: `start..end`. */
export function valuesAt({ shape, index }: WeightsPlace): {
  readonly start: number;
  readonly end: number;
} {
  const start = index * WEIGHTS_PART_SLOTS;
  return { start, end: Math.min(start + WEIGHTS_PART_SLOTS, shape.outputs * shape.perOutput) };
}
