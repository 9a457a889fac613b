/** Parameters of the sealed sum. The README argues their security and their noise. */
import type { BgvParameters } from '../common/bgv.ts';
import { ProtocolError } from '../common/protocol-error.ts';

export const DEGREE = 4096;
/** 2^60 − 16383: the largest 60-bit prime congruent to 1 mod 8192. */
export const DATA_MODULUS = 1_152_921_504_606_830_593n;
/**
 * The four largest 36-bit primes congruent to 1 mod 8192. A value travels as its residues mod the
 * first k of them, so that the opened sum is Σ mod their product and shows no carries of limbs.
 */
export const PLAIN_MODULI = [
  68_719_403_009n,
  68_719_230_977n,
  68_719_206_401n,
  68_719_190_017n,
] as const;
export const RESIDUES_MAX = PLAIN_MODULI.length;

/** Slots of each ciphertext that carry the keyed check of the others. */
export const CHECK_SLOTS = 2;
export const PAYLOAD_SLOTS = DEGREE - CHECK_SLOTS;
/** Ciphertexts a frame: 1 MiB of residues. */
export const CIPHERTEXTS_PER_FRAME = 16;
export const CELLS_PER_FRAME = CIPHERTEXTS_PER_FRAME * PAYLOAD_SLOTS;
/** Ciphertexts of one vector and residue: 2^24 cells and a few. */
export const CIPHERTEXTS_MAX = 4_224;
export const VECTORS_MAX = 64;
/** Addends for which the noise argument of the README was made. */
export const ADDENDS_MAX = 256;

/**
 * The parameters under the plain modulus of residue `index`.
 * @throws ProtocolError `parameter-invalid`
 */
export function sealedSumParameters(index: number): BgvParameters {
  const plainModulus = PLAIN_MODULI[index];
  if (plainModulus === undefined)
    throw new ProtocolError('parameter-invalid', `residue ${index} of ${RESIDUES_MAX}`);
  return { degree: DEGREE, moduli: [DATA_MODULUS], plainModulus, securityBits: 192 };
}

export function ciphertextCount(cells: number): number {
  return Math.ceil(cells / PAYLOAD_SLOTS);
}

export function frameCount(cells: number): number {
  return Math.ceil(ciphertextCount(cells) / CIPHERTEXTS_PER_FRAME);
}
