// Strings of which points are the Elligator 2 map: the way back, after a point of low order was added.
// No branch on a secret; two pairs, so four points, at a time. AssemblyScript, see ../curve25519.ts.
import { CURVE_A, ONE, ROOT, ZERO } from './elligator2';
import {
  ELEMENT_BYTES,
  copy,
  multiply,
  scaleAdd,
  select,
  setLane,
  square,
  storeLane,
  subtract,
} from './field';
import {
  PAIR_BYTES,
  QUARTER_MINUS_ONE,
  QUARTER_ONE,
  multiplyPair,
  power58Pair,
  quarterOf,
  squarePair,
} from './powers';

/** (u, v) of the points of order 1 (unused), 8, 4, 8, 2, 8, 4, 8; v even in the first half. */
const LOW_ORDER_POINTS: usize = memory.data<u64>([
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000, // 0
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0xaeb8413b7c7aebe0,
  0x6ac49ff1fae35616,
  0xfdb1329ceb8d09da,
  0x00b8495f16056286, // 1
  0x6887148392507b1a,
  0x933bfc29ed801b4d,
  0x29482c14e628b457,
  0x3931c129569e83a5,
  0x0000000000000001,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000, // 2
  0x165db7106377bbd8,
  0x9ca5ee38d7b56c9c,
  0x3de05885280b5910,
  0x141b0b6806563d50,
  0x248c50a3bc959c5f,
  0x5bef839c55b1d0b1,
  0x868e1c58c45c4404,
  0x57119fd0dd4e22d8, // 3
  0xf0efc7bdfb7f9a36,
  0xdf5bbcb971559722,
  0xce3935ffba04afea,
  0x173a6c76c2ba719b,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000, // 4
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000,
  0xaeb8413b7c7aebe0,
  0x6ac49ff1fae35616,
  0xfdb1329ceb8d09da,
  0x00b8495f16056286, // 5
  0x9778eb7c6daf84d3,
  0x6cc403d6127fe4b2,
  0xd6b7d3eb19d74ba8,
  0x46ce3ed6a9617c5a,
  0x0000000000000001,
  0x0000000000000000,
  0x0000000000000000,
  0x0000000000000000, // 6
  0xe9a248ef9c884415,
  0x635a11c7284a9363,
  0xc21fa77ad7f4a6ef,
  0x6be4f497f9a9c2af,
  0x248c50a3bc959c5f,
  0x5bef839c55b1d0b1,
  0x868e1c58c45c4404,
  0x57119fd0dd4e22d8, // 7
  0x0f103842048065b7,
  0x20a443468eaa68dd,
  0x31c6ca0045fb5015,
  0x68c593893d458e64,
]);

const POINT_U: usize = memory.data(384, 16);
const POINT_V: usize = memory.data(384, 16);
const LOW_U: usize = memory.data(384, 16);
const LOW_V: usize = memory.data(384, 16);
const POWER: usize = memory.data(384, 16);
const QUARTER: usize = memory.data(384, 16);
const X: usize = memory.data(384, 16);
const Z: usize = memory.data(384, 16);
const SUM: usize = memory.data(384, 16);
const OVER: usize = memory.data(384, 16);
const UNDER: usize = memory.data(384, 16);
const CUBE: usize = memory.data(384, 16);
const TERM: usize = memory.data(384, 16);
const BYTES: usize = memory.data(32, 16);
const NEGATED: usize = memory.data(32, 16);

/** Puts point `k` (0..3) of a group and its tweak where `stringsOf` takes them. */
export function setPoint(k: usize, point: usize, tweak: u32): void {
  const at = (k >> 1) * ELEMENT_BYTES;
  const low = LOW_ORDER_POINTS + <usize>((tweak & 7) << 6);
  setWords(POINT_U + at, k & 1, point);
  setWords(LOW_U + at, k & 1, low);
  setWords(LOW_V + at, k & 1, low + 32);
}

/**
 * The strings of a group: for point k to `out` + 32 · k, with the two bits of its tweak on top; zero
 * in byte k of `found` where there is none. `tweaks` holds four bytes.
 */
export function stringsOf(tweaks: usize, out: usize, found: usize): void {
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    scaleAdd(POINT_U + at, POINT_U + at, 1, ZERO);
    scaleAdd(LOW_U + at, LOW_U + at, 1, ZERO);
    scaleAdd(LOW_V + at, LOW_V + at, 1, ZERO);
  }
  findV();
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    addLowOrder(at, (at / ELEMENT_BYTES) << 1, tweaks);
  }
  // r² = n / d: with z = n · d⁷, s = z^((p − 5) / 8) and w = n · d³ · s, w² · d / n = s² · z.
  squarePair(CUBE, UNDER);
  multiplyPair(CUBE, CUBE, UNDER);
  multiplyPair(OVER, OVER, CUBE);
  squarePair(TERM, UNDER);
  squarePair(TERM, TERM);
  multiplyPair(TERM, TERM, OVER);
  rootPair(TERM, OVER);
  for (let k: usize = 0; k < 4; k++) {
    const at = (k >> 1) * ELEMENT_BYTES;
    const quarter = quarterOf(QUARTER + at, k & 1);
    const isSquare = u32(quarter === QUARTER_ONE) | u32(quarter === QUARTER_MINUS_ONE);
    store<u8>(found + k, <u8>isSquare);
    storeSmaller(out + (k << 5), POWER + at, k & 1);
    const top = out + (k << 5) + 31;
    store<u8>(top, load<u8>(top) | (load<u8>(tweaks + k) & 0xc0));
  }
}

/**
 * POWER = factor · z^((p − 5) / 8), turned by √−1 where QUARTER, z^((p − 1) / 4), is −1. What is at
 * `z` is used up.
 */
function rootPair(z: usize, factor: usize): void {
  power58Pair(POWER, z);
  squarePair(QUARTER, POWER);
  multiplyPair(QUARTER, QUARTER, z);
  multiplyPair(POWER, POWER, factor);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    multiply(z + at, POWER + at, ROOT);
    const turn = maskOf(
      u32(quarterOf(QUARTER + at, 0) === QUARTER_MINUS_ONE),
      u32(quarterOf(QUARTER + at, 1) === QUARTER_MINUS_ONE),
    );
    select(POWER + at, z + at, POWER + at, turn);
  }
}

/** POINT_V: the even root of u³ + A·u² + u. */
function findV(): void {
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    scaleAdd(TERM + at, ONE, CURVE_A, POINT_U + at);
  }
  multiplyPair(TERM, TERM, POINT_U);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES)
    scaleAdd(TERM + at, ONE, 1, TERM + at);
  multiplyPair(TERM, TERM, POINT_U);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) copy(CUBE + at, TERM + at);
  rootPair(TERM, CUBE);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    scaleAdd(TERM + at, POWER + at, -1, ZERO);
    storeLane(BYTES, POWER + at, 0);
    const first = <u32>load<u8>(BYTES) & 1;
    storeLane(BYTES, POWER + at, 1);
    const second = <u32>load<u8>(BYTES) & 1;
    select(POINT_V + at, TERM + at, POWER + at, maskOf(first, second));
  }
}

/** OVER / UNDER: the square that the string's number must have, of the point plus one of low order. */
function addLowOrder(at: usize, first: usize, tweaks: usize): void {
  const u = POINT_U + at;
  const low = LOW_U + at;
  const x = X + at;
  const z = Z + at;
  const t = TERM + at;
  const sum = SUM + at;
  const t0 = <u32>load<u8>(tweaks + first);
  const t1 = <u32>load<u8>(tweaks + first + 1);
  // x = (v − v')² − (A + u + u') · (u − u')² over z = (u − u')²
  subtract(z, u, low);
  square(z, z);
  subtract(x, POINT_V + at, LOW_V + at);
  square(x, x);
  scaleAdd(sum, u, 1, low);
  scaleAdd(sum, ONE, CURVE_A, sum);
  multiply(t, sum, z);
  subtract(x, x, t);
  scaleAdd(x, x, 1, ZERO);
  const isNone = maskOf(u32((t0 & 7) === 0), u32((t1 & 7) === 0));
  select(x, u, x, isNone);
  select(z, ONE, z, isNone);
  scaleAdd(sum, z, CURVE_A, x);
  const isSecond = maskOf((t0 >> 3) & 1, (t1 >> 3) & 1);
  select(OVER + at, x, sum, isSecond);
  select(UNDER + at, sum, x, isSecond);
  scaleAdd(OVER + at, OVER + at, -1, ZERO);
  scaleAdd(UNDER + at, UNDER + at, 2, ZERO);
}

/** One lane as bytes, negated where it is above (p − 1) / 2. */
function storeSmaller(out: usize, element: usize, lane: usize): void {
  storeLane(out, element, lane);
  scaleAdd(TERM, element, -1, ZERO);
  storeLane(NEGATED, TERM, lane);
  // Above (p − 1) / 2 = 2^254 − 10 exactly where adding 9 reaches 2^254.
  let carry: u64 = 9;
  for (let i: usize = 0; i < 24; i += 8) {
    const word = load<u64>(out + i);
    carry = u64(word + carry < carry);
  }
  const isAbove: u64 = 0 - (((load<u64>(out, 24) + carry) >> 62) & 1);
  for (let i: usize = 0; i < 32; i += 8) {
    const word = load<u64>(out + i);
    store<u64>(out + i, word ^ ((word ^ load<u64>(NEGATED + i)) & isAbove));
  }
}

function maskOf(first: u32, second: u32): v128 {
  return i64x2.replace_lane(v128.splat<i64>(0 - <i64>first), 1, 0 - <i64>second);
}

function setWords(target: usize, lane: usize, words: usize): void {
  setLane(
    target,
    lane,
    load<u64>(words, 0),
    load<u64>(words, 8),
    load<u64>(words, 16),
    load<u64>(words, 24),
  );
}
