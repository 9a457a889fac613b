// Products with one fixed element of GF(2^128), sixteen at a time and constant in time: the bytes of
// sixteen elements are turned into columns, and each half byte picks its multiple with a shuffle.

/** For each of 32 half bytes and each byte of the product: its value for the 16 half bytes. */
const TABLES: usize = memory.data(8192, 16);
/** The half bytes of sixteen elements, low and high by turns, and the columns of their products. */
const NIBBLES: usize = memory.data(512, 16);
const COLUMNS: usize = memory.data(256, 16);

/** Prepares products with the element at `scalar`. */
export function useScalar(scalar: usize): void {
  let low = load<u64>(scalar);
  let high = load<u64>(scalar, 8);
  // scalar · x^(4·position + bit), bit by bit: an entry is the sum of those its number has.
  for (let position: usize = 0; position < 32; position++) {
    const table = TABLES + (position << 8);
    for (let bit: usize = 0; bit < 4; bit++) {
      for (let value: usize = 0; value < 16; value++) {
        const mask: u64 = 0 - u64((value >> bit) & 1);
        addEntry(table + value, low & mask, high & mask, bit === 0);
      }
      const carry: u64 = 0 - (high >> 63);
      high = (high << 1) | (low >> 63);
      low = (low << 1) ^ (carry & 0x87);
    }
  }
}

function addEntry(at: usize, low: u64, high: u64, isFirst: bool): void {
  for (let byte: usize = 0; byte < 8; byte++) {
    const to = at + (byte << 4);
    store<u8>(to, (isFirst ? 0 : load<u8>(to)) ^ <u8>(low >> (<u64>byte << 3)));
    store<u8>(to, (isFirst ? 0 : load<u8>(to, 128)) ^ <u8>(high >> (<u64>byte << 3)), 128);
  }
}

/** Transposes the 16 × 16 bytes at `from`: four times, rows i and i + 8 are interleaved. */
function transpose(from: usize, to: usize): void {
  interleave(from, NIBBLES);
  interleave(NIBBLES, to);
  interleave(to, NIBBLES);
  interleave(NIBBLES, to);
}

// @ts-ignore: decorator
@inline
function interleave(from: usize, to: usize): void {
  for (let row: usize = 0; row < 8; row++) {
    const a = v128.load(from + (row << 4));
    const b = v128.load(from + (row << 4), 128);
    v128.store(to + (row << 5), v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    v128.store(to + (row << 5), v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
  }
}

/** target += scalar · vector, whole groups of sixteen elements: `bytes` a multiple of 256. */
export function accumulateScaled(target: usize, vector: usize, bytes: usize): void {
  const low4 = v128.splat<u8>(15);
  for (let at: usize = 0; at < bytes; at += 256) {
    transpose(vector + at, COLUMNS);
    for (let i: usize = 0; i < 16; i++) {
      const column = v128.load(COLUMNS + (i << 4));
      v128.store(NIBBLES + (i << 5), v128.and(column, low4));
      v128.store(NIBBLES + (i << 5), i8x16.shr_u(column, 4), 16);
    }
    for (let byte: usize = 0; byte < 16; byte++) {
      const table = TABLES + (byte << 4);
      let even = v128.splat<u8>(0);
      let odd = v128.splat<u8>(0);
      for (let position: usize = 0; position < 32; position += 8) {
        const t = table + (position << 8);
        const n = NIBBLES + (position << 4);
        even = v128.xor(even, i8x16.relaxed_swizzle(v128.load(t), v128.load(n)));
        odd = v128.xor(odd, i8x16.relaxed_swizzle(v128.load(t, 256), v128.load(n, 16)));
        even = v128.xor(even, i8x16.relaxed_swizzle(v128.load(t, 512), v128.load(n, 32)));
        odd = v128.xor(odd, i8x16.relaxed_swizzle(v128.load(t, 768), v128.load(n, 48)));
        even = v128.xor(even, i8x16.relaxed_swizzle(v128.load(t, 1024), v128.load(n, 64)));
        odd = v128.xor(odd, i8x16.relaxed_swizzle(v128.load(t, 1280), v128.load(n, 80)));
        even = v128.xor(even, i8x16.relaxed_swizzle(v128.load(t, 1536), v128.load(n, 96)));
        odd = v128.xor(odd, i8x16.relaxed_swizzle(v128.load(t, 1792), v128.load(n, 112)));
      }
      v128.store(COLUMNS + (byte << 4), v128.xor(even, odd));
    }
    transpose(COLUMNS, COLUMNS);
    for (let i: usize = 0; i < 256; i += 16) {
      const to = target + at + i;
      v128.store(to, v128.xor(v128.load(to), v128.load(COLUMNS + i)));
    }
  }
}

/** target += vector; `bytes` a multiple of 16. */
export function addElements(target: usize, vector: usize, bytes: usize): void {
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(target + at, v128.xor(v128.load(target + at), v128.load(vector + at)));
  }
}
