/**
 * Sizes of the LPN engine: how much noise, in how many blocks, over which code. Every number follows
 * from the size of the correlation, so both sides have the same without a message. The README gives
 * the argument and the table.
 */
import { ProtocolError } from '../../common/protocol-error.ts';
import { VOLE_SIZE_MAX } from './correlation.ts';

/**
 * An expand-convolute code: each output adds `taps` entries of a convoluted vector, the first
 * `regularTaps` of them one from each of as many equal segments, the others from anywhere.
 * @see Raghuraman, Rindal, Tanguy: Expand-Convolute Codes for Pseudorandom Correlation Generators
 *   from LPN, CRYPTO 2023 (IACR ePrint 2023/882)
 */
export interface LpnCode {
  readonly name: string;
  readonly taps: number;
  readonly regularTaps: number;
  /**
   * Share of the code's length that the lightest word one finds is taken to touch: the README has
   * what is found. Not its minimum distance, which is 0.11 for random codes of rate 1/2.
   */
  readonly foundDistance: number;
}

/** 21 taps over a convolution of 24: the cautious choice of its authors, and the default here. */
export const CODE_21X24: LpnCode = {
  name: 'ec-21x24',
  taps: 21,
  regularTaps: 11,
  foundDistance: 0.15,
};

/** Bits that a linear test by a word one finds must cost. */
const SECURITY_BITS = 128;
/** Below it, attacks on the regular shape of the noise would have to be argued one by one. */
const BLOCKS_MIN = 256;
/** Blocks of at least 2^6: short blocks give quadratic equations enough to solve for the noise. */
const DEPTH_MIN = 6;

/** One entry of noise in each of `blocks` blocks of 2^`depth`. */
export interface LpnShape {
  readonly size: number;
  readonly blocks: number;
  readonly depth: number;
  /** blocks · 2^depth, at least twice the size. */
  readonly length: number;
}

/**
 * Noise blocks without which a linear test by a word that one finds would see the noise with an
 * advantage over 2^−128. The values of the noise are uniform in GF(2^128), so a test that touches a
 * share δ of the code's length misses one block with probability 1 − δ (and not 1 − 2δ, which holds
 * for noise of ones).
 */
export function noiseBlocksMin(code: LpnCode): number {
  const needed = Math.ceil(-SECURITY_BITS / Math.log2(1 - code.foundDistance));
  return Math.max(BLOCKS_MIN, needed);
}

/** @throws ProtocolError `parameter-invalid` for a size outside 1..`VOLE_SIZE_MAX` */
export function lpnShape(size: number, code: LpnCode): LpnShape {
  if (!Number.isInteger(size) || size < 1 || size > VOLE_SIZE_MAX) {
    throw new ProtocolError('parameter-invalid', `a VOLE has 1 to ${VOLE_SIZE_MAX} elements`);
  }
  const blocksMin = noiseBlocksMin(code);
  const depth = Math.max(DEPTH_MIN, Math.floor(Math.log2((2 * size) / blocksMin)));
  // A multiple of eight, so that bits of all blocks fill bytes.
  const blocks = Math.ceil(Math.max(blocksMin, Math.ceil((2 * size) / 2 ** depth)) / 8) * 8;
  return { size, blocks, depth, length: blocks * 2 ** depth };
}
