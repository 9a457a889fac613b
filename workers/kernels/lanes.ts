/**
 * Lane arithmetic on linear memory (AssemblyScript, WASM SIMD). Every function has a plain
 * TypeScript twin in protocols/common/portable-lanes.ts that a property test compares it with.
 * Pointers are 16-byte aligned; `bytes` counts whole lanes of the target.
 */

const P: u64 = 0x1fffffffffffffff;

/**
 * target += addend mod 2^64. Works on whole 64-byte lines: what lies behind `bytes` within the last
 * line is changed too, and belongs to the windows.
 */
export function add64(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 64) {
    const t = target + at;
    const a = addend + at;
    v128.store(t, i64x2.add(v128.load(t), v128.load(a)));
    v128.store(t, i64x2.add(v128.load(t, 16), v128.load(a, 16)), 16);
    v128.store(t, i64x2.add(v128.load(t, 32), v128.load(a, 32)), 32);
    v128.store(t, i64x2.add(v128.load(t, 48), v128.load(a, 48)), 48);
  }
}

export function subtract64(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 64) {
    const t = target + at;
    const a = addend + at;
    v128.store(t, i64x2.sub(v128.load(t), v128.load(a)));
    v128.store(t, i64x2.sub(v128.load(t, 16), v128.load(a, 16)), 16);
    v128.store(t, i64x2.sub(v128.load(t, 32), v128.load(a, 32)), 32);
    v128.store(t, i64x2.sub(v128.load(t, 48), v128.load(a, 48)), 48);
  }
}

export function add128(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    const a = load<u64>(target + at);
    const low = a + load<u64>(addend + at);
    const carry: u64 = u64(low < a);
    store<u64>(target + at, low);
    store<u64>(target + at, load<u64>(target + at, 8) + load<u64>(addend + at, 8) + carry, 8);
  }
}

export function subtract128(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    const a = load<u64>(target + at);
    const b = load<u64>(addend + at);
    const borrow: u64 = u64(a < b);
    store<u64>(target + at, a - b);
    store<u64>(target + at, load<u64>(target + at, 8) - load<u64>(addend + at, 8) - borrow, 8);
  }
}

/** Sum of two field elements, brought below p. */
function addMod(a: u64, b: u64): u64 {
  const sum = a + b;
  return sum >= P ? sum - P : sum;
}

/** Any 64-bit word below p: 2^61 ≡ 1. */
function reduce64(word: u64): u64 {
  const folded = (word & P) + (word >> 61);
  return folded >= P ? folded - P : folded;
}

/** A 128-bit word mod p: 2^64 ≡ 8. */
function reduce128(low: u64, high: u64): u64 {
  const h = reduce64(high);
  // 8h mod p is a rotation of 61 bits by three.
  return addMod(reduce64(low), reduce64(((h << 3) & P) | (h >> 58)));
}

export function addField(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 8) {
    store<u64>(target + at, addMod(load<u64>(target + at), load<u64>(addend + at)));
  }
}

/** Two 64-bit words each to at most 2^61 + 6: 2^61 ≡ 1. */
function fold(words: v128): v128 {
  return i64x2.add(v128.and(words, i64x2.splat(P)), i64x2.shr_u(words, 61));
}

/** Two 128-bit words mod p, each below 2^62 + 16: 2^64 ≡ 8, and 8h rotates 61 bits by three. */
function foldWords(words: usize): v128 {
  const first = v128.load(words);
  const second = v128.load(words, 16);
  const low = fold(v128.shuffle<u64>(first, second, 0, 2));
  const high = fold(v128.shuffle<u64>(first, second, 1, 3));
  const rotated = i64x2.add(v128.and(i64x2.shl(high, 3), i64x2.splat(P)), i64x2.shr_u(high, 58));
  return i64x2.add(low, rotated);
}

/**
 * target += 128-bit words reduced mod p. Lanes stay below 2^61 + 7, canonical or not, until
 * `settleField`. Works on pairs of lanes, past an odd last one.
 */
export function addFieldWords(target: usize, words: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    const mask = foldWords(words + (at << 1));
    v128.store(target + at, fold(i64x2.add(v128.load(target + at), mask)));
  }
}

export function subtractFieldWords(target: usize, words: usize, bytes: usize): void {
  // 4p is above any mask and ≡ 0.
  const four = i64x2.splat(P << 2);
  for (let at: usize = 0; at < bytes; at += 16) {
    const mask = i64x2.sub(four, foldWords(words + (at << 1)));
    v128.store(target + at, fold(i64x2.add(v128.load(target + at), mask)));
  }
}

/** Brings lanes below p. */
export function settleField(target: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 8) {
    const lane = load<u64>(target + at);
    store<u64>(target + at, lane >= P ? lane - P : lane);
  }
}

/** target *= the element at `factor`, by 32-bit halves. */
export function multiplyField(target: usize, factor: usize, bytes: usize): void {
  const b = load<u64>(factor);
  const b0 = b & 0xffffffff;
  const b1 = b >> 32;
  for (let at: usize = 0; at < bytes; at += 8) {
    const a = load<u64>(target + at);
    const a0 = a & 0xffffffff;
    const a1 = a >> 32;
    const p00 = a0 * b0;
    // Both cross products are below 2^61, so their sum fits.
    const cross = a0 * b1 + a1 * b0 + (p00 >> 32);
    const low = (cross << 32) | (p00 & 0xffffffff);
    const high = a1 * b1 + (cross >> 32);
    store<u64>(target + at, reduce128(low, high));
  }
}
