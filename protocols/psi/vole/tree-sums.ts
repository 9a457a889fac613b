/**
 * How the receiver gets trees without one leaf each: on every level it takes, by oblivious transfer,
 * the sum of the nodes on the side its way does not go. What it misses of the leaf it gets as sum
 * with the shared value of the noise.
 * @see Boyle, Couteau, Gilboa, Ishai, Kohl, Rindal, Scholl: Efficient Two-Round OT Extension and
 *   Silent Non-Interactive Secure Computation, CCS 2019, §4 (puncturable PRF)
 */
import { xorInto } from '../../common/bytes.ts';

const BLOCK_BYTES = 16;

/**
 * One bit a level and tree, from the root: 1 where the place lies left, so that the right sum is
 * taken. Padded with zeros to `rows` bits.
 */
export function sideChoices(places: Uint32Array, depth: number, rows: number): Uint8Array {
  const choices = new Uint8Array(rows / 8);
  places.forEach((place, tree) => {
    for (let level = 0; level < depth; level++) {
      const index = tree * depth + level;
      const isLeft = 1 - ((place >>> (depth - 1 - level)) & 1);
      choices[index >> 3] = (choices[index >> 3] ?? 0) | (isLeft << (index & 7));
    }
  });
  return choices;
}

/** The sums of both sides (32 bytes a level) under the pads of their transfers. */
export function maskSums(levels: Uint8Array, pads: readonly [Uint8Array, Uint8Array]): Uint8Array {
  const masked = levels.slice();
  for (let at = 0; at < masked.length; at += 2 * BLOCK_BYTES) {
    const row = at / 2;
    xorInto(masked.subarray(at, at + BLOCK_BYTES), pads[0].subarray(row, row + BLOCK_BYTES));
    const right = masked.subarray(at + BLOCK_BYTES, at + 2 * BLOCK_BYTES);
    xorInto(right, pads[1].subarray(row, row + BLOCK_BYTES));
  }
  return masked;
}

/** The sums of the chosen sides, 16 bytes a level. */
export function openSums(masked: Uint8Array, choices: Uint8Array, pads: Uint8Array): Uint8Array {
  const sums = new Uint8Array(masked.length / 2);
  for (let at = 0; at < sums.length; at += BLOCK_BYTES) {
    const index = at / BLOCK_BYTES;
    const from = 2 * at + BLOCK_BYTES * (((choices[index >> 3] ?? 0) >> (index & 7)) & 1);
    const sum = sums.subarray(at, at + BLOCK_BYTES);
    sum.set(masked.subarray(from, from + BLOCK_BYTES));
    xorInto(sum, pads.subarray(at, at + BLOCK_BYTES));
  }
  return sums;
}
