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
/** Slots at the end of each ciphertext whose sum the recipient knows beforehand. */
export const WEIGHTS_CHECK_SLOTS = 2;
export const WEIGHTS_PAYLOAD_SLOTS = WEIGHTS_DEGREE - WEIGHTS_CHECK_SLOTS;

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

const OUTPUTS_MAX = 65_536;
const HOLDERS_MAX = 256;

/** @throws ProtocolError `parameter-invalid` */
export function weightsParameters(residue: number): BgvParameters {
  const plainModulus = WEIGHTS_PLAIN_MODULI[residue];
  if (plainModulus === undefined)
    throw new ProtocolError('parameter-invalid', `no residue ${residue}`);
  return { degree: WEIGHTS_DEGREE, moduli: MODULI, plainModulus, securityBits: 128 };
}

/** Whole outputs a ciphertext: masks of an output cancel within one. */
export function outputsPerCiphertext(shape: WeightsShape): number {
  return Math.floor(WEIGHTS_PAYLOAD_SLOTS / shape.perOutput);
}

export function weightsCiphertextCount(shape: WeightsShape): number {
  return Math.ceil(shape.outputs / outputsPerCiphertext(shape));
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
    outputs <= OUTPUTS_MAX &&
    perOutput <= WEIGHTS_PAYLOAD_SLOTS &&
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
