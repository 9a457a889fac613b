// Expand-convolute code. Vectors of one or two lanes: entries of 16 bytes, or of 32 where two vectors
// lie interleaved, so that one access to memory serves both.

/**
 * One pass over one lane: each entry plus the one before it, plus those 2 to 25 places before it for
 * which its coefficients, the low 24 bits of a word, have a bit (from the lowest). Those before
 * `first` must be in place.
 */
export function convolute(first: usize, stride: usize, count: usize, words: usize): void {
  let last = v128.load(first - stride);
  let at = first;
  for (let i: usize = 0; i < count; i++) {
    const word = i32x4.splat(load<i32>(words + (i << 2)));
    let even = v128.xor(v128.load(at), last);
    let odd = v128.splat<i64>(0);
    let from = at - (stride << 1);
    for (let j = 0; j < 24; j += 2) {
      // All ones where the bit is: a branch on random bits would be foreseen half of the time.
      const evenMask = i32x4.shr_s(i32x4.shl(word, 31 - j), 31);
      const oddMask = i32x4.shr_s(i32x4.shl(word, 30 - j), 31);
      even = v128.xor(even, v128.and(evenMask, v128.load(from)));
      from -= stride;
      odd = v128.xor(odd, v128.and(oddMask, v128.load(from)));
      from -= stride;
    }
    last = v128.xor(even, odd);
    v128.store(at, last);
    at += stride;
  }
}

/**
 * Adds to each of `count` outputs one entry of each of `regular` segments of `source`, then entries
 * of all its `size`, `taps` in all, by words scaled to a range.
 */
export function expandOne(
  out: usize,
  count: usize,
  source: usize,
  size: u32,
  regular: u32,
  taps: u32,
  words: usize,
): void {
  const segment = size / regular;
  for (let i: usize = 0; i < count; i++) {
    let sum = v128.load(out);
    let from = source;
    for (let tap: u32 = 0; tap < regular; tap++) {
      sum = v128.xor(sum, v128.load(from + (scaled(load<u32>(words), segment) << 4)));
      from += (<usize>segment) << 4;
      words += 4;
    }
    for (let tap: u32 = regular; tap < taps; tap++) {
      sum = v128.xor(sum, v128.load(source + (scaled(load<u32>(words), size) << 4)));
      words += 4;
    }
    v128.store(out, sum);
    out += 16;
  }
}

/** As `expandOne` for two lanes. */
export function expandTwo(
  out: usize,
  count: usize,
  source: usize,
  size: u32,
  regular: u32,
  taps: u32,
  words: usize,
): void {
  const segment = size / regular;
  for (let i: usize = 0; i < count; i++) {
    let first = v128.load(out);
    let second = v128.load(out, 16);
    let from = source;
    for (let tap: u32 = 0; tap < regular; tap++) {
      const entry = from + (scaled(load<u32>(words), segment) << 5);
      first = v128.xor(first, v128.load(entry));
      second = v128.xor(second, v128.load(entry, 16));
      from += (<usize>segment) << 5;
      words += 4;
    }
    for (let tap: u32 = regular; tap < taps; tap++) {
      const entry = source + (scaled(load<u32>(words), size) << 5);
      first = v128.xor(first, v128.load(entry));
      second = v128.xor(second, v128.load(entry, 16));
      words += 4;
    }
    v128.store(out, first);
    v128.store(out, second, 16);
    out += 32;
  }
}

/** Both lanes of `count` entries, each by itself. */
export function separate(entries: usize, count: usize, first: usize, second: usize): void {
  for (let at: usize = 0; at < count << 4; at += 16) {
    v128.store(first + at, v128.load(entries));
    v128.store(second + at, v128.load(entries, 16));
    entries += 32;
  }
}

function scaled(word: u32, range: u32): usize {
  return <usize>((<u64>word * <u64>range) >> 32);
}
