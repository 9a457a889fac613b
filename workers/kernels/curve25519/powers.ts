// The exponentiations of GF(2^255 − 19), on two unrelated elements at a time: their multiplications
// interleave, so that one's latency hides behind the other's. AssemblyScript, see ../curve25519.ts.
import { ELEMENT_BYTES, multiply, square, storeLane } from './field';

/** Two elements, one behind the other. */
export const PAIR_BYTES: usize = 2 * ELEMENT_BYTES;

const T0: usize = memory.data(384, 16);
const T1: usize = memory.data(384, 16);
const T2: usize = memory.data(384, 16);

export function multiplyPair(target: usize, left: usize, right: usize): void {
  multiply(target, left, right);
  multiply(target + ELEMENT_BYTES, left + ELEMENT_BYTES, right + ELEMENT_BYTES);
}

export function squarePair(target: usize, pair: usize): void {
  square(target, pair);
  square(target + ELEMENT_BYTES, pair + ELEMENT_BYTES);
}

/** target = pair^((p − 5) / 8), the exponent 2^252 − 3; 252 squarings, 11 multiplications. */
export function power58Pair(target: usize, pair: usize): void {
  squarePair(T0, pair); // 2
  squareTimes(T1, T0, 2); // 8
  multiplyPair(T1, pair, T1); // 9
  multiplyPair(T0, T0, T1); // 11
  squarePair(T0, T0); // 22
  multiplyPair(T0, T1, T0); // 2^5 − 1
  squareTimes(T1, T0, 5);
  multiplyPair(T0, T1, T0); // 2^10 − 1
  squareTimes(T1, T0, 10);
  multiplyPair(T1, T1, T0); // 2^20 − 1
  squareTimes(T2, T1, 20);
  multiplyPair(T1, T2, T1); // 2^40 − 1
  squareTimes(T1, T1, 10);
  multiplyPair(T0, T1, T0); // 2^50 − 1
  squareTimes(T1, T0, 50);
  multiplyPair(T1, T1, T0); // 2^100 − 1
  squareTimes(T2, T1, 100);
  multiplyPair(T1, T2, T1); // 2^200 − 1
  squareTimes(T1, T1, 50);
  multiplyPair(T0, T1, T0); // 2^250 − 1
  squareTimes(T0, T0, 2);
  multiplyPair(target, T0, pair); // 2^252 − 3
}

const BYTES: usize = memory.data(32, 16);

/** Lowest bytes of the fourth roots of unity, √−1 being 2^((p − 1) / 4). Squares give one of the first two. */
export const QUARTER_ONE: u32 = 0x01;
export const QUARTER_MINUS_ONE: u32 = 0xec;
export const QUARTER_ROOT: u32 = 0xb0;
export const QUARTER_MINUS_ROOT: u32 = 0x3d;

/**
 * Which fourth root of unity a lane holds, by its lowest byte; 0 where the lane is zero. For z with
 * s = z^((p − 5) / 8) the value z^((p − 1) / 4) to be told here is s² · z.
 */
export function quarterOf(element: usize, lane: usize): u32 {
  storeLane(BYTES, element, lane);
  return load<u8>(BYTES);
}

function squareTimes(target: usize, pair: usize, count: i32): void {
  squarePair(target, pair);
  for (let i = 1; i < count; i++) squarePair(target, target);
}
