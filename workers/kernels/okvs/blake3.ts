// BLAKE3, keyed, of messages of one block: four at a time, one in each 32-bit lane. The state lives
// in memory at fixed places; the processor keeps what it needs at hand.

/** Sixteen state words, sixteen message words, eight key words, four lanes each. */
const STATE: usize = memory.data(256, 16);
const MESSAGE: usize = memory.data(256, 16);
const KEY: usize = memory.data(128, 16);
/** Bytes of a message block; what a block does not fill is zero. */
const MASKS: usize = memory.data(64, 16);

/** KEYED_HASH | CHUNK_START | CHUNK_END | ROOT: a whole message in one block. */
const FLAGS: u32 = 27;

/** Spreads a 32-byte key over the lanes. */
export function useKey(key: usize): void {
  for (let i: usize = 0; i < 8; i++) {
    v128.store(KEY + (i << 4), v128.splat<u32>(load<u32>(key + (i << 2))));
  }
}

/** Prepares for messages of `bytes`, at most 64, which lie so far apart. */
export function useLength(bytes: usize): void {
  for (let i: usize = 0; i < 64; i++) store<u8>(MASKS + i, i < bytes ? 0xff : 0);
}

// @ts-ignore: decorator
@inline
function state(i: usize): v128 {
  return v128.load(STATE + (i << 4));
}

/** Loads 16 bytes of each of four messages and turns them into four words of four lanes. */
// @ts-ignore: decorator
@inline
function loadQuarter(p0: usize, p1: usize, p2: usize, p3: usize, quarter: usize): void {
  const at = quarter << 4;
  const mask = v128.load(MASKS + at);
  const a = v128.and(v128.load(p0 + at), mask);
  const b = v128.and(v128.load(p1 + at), mask);
  const c = v128.and(v128.load(p2 + at), mask);
  const d = v128.and(v128.load(p3 + at), mask);
  storeTransposed(MESSAGE + (quarter << 6), 16, a, b, c, d);
}

/** Rows become columns: a 4 × 4 matrix of words, its rows stored so far apart. */
// @ts-ignore: decorator
@inline
export function storeTransposed(to: usize, stride: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  const AB = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const CD = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<u64>(ab, cd, 0, 2));
  v128.store(to + stride, v128.shuffle<u64>(ab, cd, 1, 3));
  v128.store(to + 2 * stride, v128.shuffle<u64>(AB, CD, 0, 2));
  v128.store(to + 3 * stride, v128.shuffle<u64>(AB, CD, 1, 3));
}

// @ts-ignore: decorator
@inline
function rotate16(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}

// @ts-ignore: decorator
@inline
function rotate8(x: v128): v128 {
  return v128.shuffle<u8>(x, x, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
}

// @ts-ignore: decorator
@inline
function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shr_u(x, by), i32x4.shl(x, 32 - by));
}

/** The quarter round on state words a, b, c, d with message words x, y. */
// @ts-ignore: decorator
@inline
function mix(a: usize, b: usize, c: usize, d: usize, x: usize, y: usize): void {
  let va = state(a);
  let vb = state(b);
  let vc = state(c);
  let vd = state(d);
  va = i32x4.add(i32x4.add(va, vb), v128.load(MESSAGE + (x << 4)));
  vd = rotate16(v128.xor(vd, va));
  vc = i32x4.add(vc, vd);
  vb = rotate(v128.xor(vb, vc), 12);
  va = i32x4.add(i32x4.add(va, vb), v128.load(MESSAGE + (y << 4)));
  vd = rotate8(v128.xor(vd, va));
  vc = i32x4.add(vc, vd);
  vb = rotate(v128.xor(vb, vc), 7);
  v128.store(STATE + (a << 4), va);
  v128.store(STATE + (b << 4), vb);
  v128.store(STATE + (c << 4), vc);
  v128.store(STATE + (d << 4), vd);
}

/** One round over the message words in the order given. */
// @ts-ignore: decorator
@inline
function round(
  a: usize, b: usize, c: usize, d: usize, e: usize, f: usize, g: usize, h: usize,
  i: usize, j: usize, k: usize, l: usize, m: usize, n: usize, o: usize, p: usize,
): void {
  mix(0, 4, 8, 12, a, b);
  mix(1, 5, 9, 13, c, d);
  mix(2, 6, 10, 14, e, f);
  mix(3, 7, 11, 15, g, h);
  mix(0, 5, 10, 15, i, j);
  mix(1, 6, 11, 12, k, l);
  mix(2, 7, 8, 13, m, n);
  mix(3, 4, 9, 14, o, p);
}

/** Compresses the blocks at four places. `outputWord` then gives the extended output's words. */
export function compress(p0: usize, p1: usize, p2: usize, p3: usize, bytes: u32): void {
  loadQuarter(p0, p1, p2, p3, 0);
  loadQuarter(p0, p1, p2, p3, 1);
  loadQuarter(p0, p1, p2, p3, 2);
  loadQuarter(p0, p1, p2, p3, 3);
  memory.copy(STATE, KEY, 128);
  v128.store(STATE, v128.splat<u32>(0x6a09e667), 128);
  v128.store(STATE, v128.splat<u32>(0xbb67ae85), 144);
  v128.store(STATE, v128.splat<u32>(0x3c6ef372), 160);
  v128.store(STATE, v128.splat<u32>(0xa54ff53a), 176);
  v128.store(STATE, v128.splat<u32>(0), 192);
  v128.store(STATE, v128.splat<u32>(0), 208);
  v128.store(STATE, v128.splat<u32>(bytes), 224);
  v128.store(STATE, v128.splat<u32>(FLAGS), 240);
  round(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  round(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8);
  round(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1);
  round(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6);
  round(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4);
  round(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7);
  round(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13);
}

/** Words `quarter`·4 to `quarter`·4 + 3 of the four extended outputs, 16 bytes each, stored apart. */
// @ts-ignore: decorator
@inline
export function storeOutput(to: usize, stride: usize, quarter: usize): void {
  const at = (quarter & 1) << 2;
  const isSecondHalf = quarter > 1;
  const a = isSecondHalf ? second(at) : first(at);
  const b = isSecondHalf ? second(at + 1) : first(at + 1);
  const c = isSecondHalf ? second(at + 2) : first(at + 2);
  const d = isSecondHalf ? second(at + 3) : first(at + 3);
  storeTransposed(to, stride, a, b, c, d);
}

// @ts-ignore: decorator
@inline
function first(i: usize): v128 {
  return v128.xor(state(i), state(i + 8));
}

// @ts-ignore: decorator
@inline
function second(i: usize): v128 {
  return v128.xor(state(i + 8), v128.load(KEY + (i << 4)));
}

/** The first word of one of the four outputs. */
export function outputLane(lane: usize): u32 {
  const at = STATE + (lane << 2);
  return load<u32>(at) ^ load<u32>(at, 128);
}
