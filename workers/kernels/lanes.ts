/**
 * Lane arithmetic on linear memory (AssemblyScript, WASM SIMD). Every function has a plain
 * TypeScript twin in protocols/common/portable-lanes.ts that a property test compares it with.
 * Pointers are 16-byte aligned; `bytes` counts whole lanes of the target.
 */

const P: u64 = 0x1fffffffffffffff;

/** target += addend mod 2^64; `bytes` may be rounded up to 16 by the caller. */
export function add64(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(target + at, i64x2.add(v128.load(target + at), v128.load(addend + at)));
  }
}

export function subtract64(target: usize, addend: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(target + at, i64x2.sub(v128.load(target + at), v128.load(addend + at)));
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

/** target += 128-bit words reduced mod p. */
export function addFieldWords(target: usize, words: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 8) {
    const mask = reduce128(load<u64>(words + (at << 1)), load<u64>(words + (at << 1), 8));
    store<u64>(target + at, addMod(load<u64>(target + at), mask));
  }
}

export function subtractFieldWords(target: usize, words: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 8) {
    const mask = reduce128(load<u64>(words + (at << 1)), load<u64>(words + (at << 1), 8));
    store<u64>(target + at, addMod(load<u64>(target + at), mask == 0 ? 0 : P - mask));
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
