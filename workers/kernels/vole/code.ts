// Expand-convolute code. Vectors of one or two lanes: entries of 16 bytes, or of 32 where two vectors
// lie interleaved, so that one access to memory serves both.

/** Bytes of a group's table: the sums of each choice of its four entries. */
const TABLE_BYTES: usize = 256;

/**
 * One pass over one lane: each entry plus the one before it, plus those 2 to 25 places before it for
 * which its coefficients, the low 24 bits of a word, have a bit (from the lowest). 28 entries before
 * `first` must be in place; `tables` is room for 2048 bytes.
 *
 * Four entries make a group. Of groups that are complete, a table gives what any four coefficients
 * choose, so an entry takes seven sums instead of 24 masked entries.
 */
export function convolute(
  first: usize,
  stride: usize,
  count: usize,
  words: usize,
  tables: usize,
): void {
  const groups = count >> 2;
  const groupBytes = stride << 2;
  for (let g: usize = 1; g < 8; g++) {
    fillTable(first - g * groupBytes, stride, tables + ((8 - g) & 7) * TABLE_BYTES);
  }
  let last = v128.load(first - stride);
  let at = first;
  for (let g: usize = 0; g < groups; g++) {
    const c0 = load<u32>(words) & 0xffffff;
    const c1 = load<u32>(words, 4) & 0xffffff;
    const c2 = load<u32>(words, 8) & 0xffffff;
    const c3 = load<u32>(words, 12) & 0xffffff;
    words += 16;
    // Bit r of what `chosen` takes stands for the entry r + 1 places before the group.
    const y0 = v128.xor(v128.xor(v128.load(at), last), chosen(c0 << 1, g, tables));
    const x1 = v128.xor(v128.load(at + stride), chosen(c1, g, tables));
    const y1 = v128.xor(x1, y0);
    const x2 = v128.xor(v128.load(at + (stride << 1)), chosen(c2 >> 1, g, tables));
    const y2 = v128.xor(v128.xor(x2, v128.and(maskOf(c2), y0)), y1);
    const x3 = v128.xor(v128.load(at + 3 * stride), chosen(c3 >> 2, g, tables));
    const near = v128.xor(v128.and(maskOf(c3), y1), v128.and(maskOf(c3 >> 1), y0));
    last = v128.xor(v128.xor(x3, near), y2);
    v128.store(at, y0);
    v128.store(at + stride, y1);
    v128.store(at + (stride << 1), y2);
    v128.store(at + 3 * stride, last);
    fillTable(at, stride, tables + (g & 7) * TABLE_BYTES);
    at += groupBytes;
  }
  for (let i: usize = groups << 2; i < count; i++) {
    last = v128.xor(v128.load(at), last);
    const word = load<u32>(words);
    let from = at - (stride << 1);
    for (let j = 0; j < 24; j++) {
      last = v128.xor(last, v128.and(maskOf(word >> j), v128.load(from)));
      from -= stride;
    }
    v128.store(at, last);
    words += 4;
    at += stride;
  }
}

/** All sums of four entries; bit 0 of a place chooses the last, bit 3 the first. */
function fillTable(group: usize, stride: usize, table: usize): void {
  const d = v128.load(group);
  const c = v128.load(group + stride);
  const b = v128.load(group + (stride << 1));
  const a = v128.load(group + 3 * stride);
  const ab = v128.xor(a, b);
  const cd = v128.xor(c, d);
  v128.store(table, v128.splat<i64>(0));
  v128.store(table, a, 16);
  v128.store(table, b, 32);
  v128.store(table, ab, 48);
  v128.store(table, c, 64);
  v128.store(table, v128.xor(a, c), 80);
  v128.store(table, v128.xor(b, c), 96);
  v128.store(table, v128.xor(ab, c), 112);
  v128.store(table, d, 128);
  v128.store(table, v128.xor(a, d), 144);
  v128.store(table, v128.xor(b, d), 160);
  v128.store(table, v128.xor(ab, d), 176);
  v128.store(table, cd, 192);
  v128.store(table, v128.xor(a, cd), 208);
  v128.store(table, v128.xor(b, cd), 224);
  v128.store(table, v128.xor(ab, cd), 240);
}

/** Of the seven groups before group `g`, the entries whose bits are set, the nearest lowest. */
function chosen(bits: u32, g: usize, tables: usize): v128 {
  const even = v128.xor(
    v128.xor(tableAt(bits << 4, g - 1, tables), tableAt(bits >> 4, g - 3, tables)),
    v128.xor(tableAt(bits >> 12, g - 5, tables), tableAt(bits >> 20, g - 7, tables)),
  );
  const odd = v128.xor(tableAt(bits, g - 2, tables), tableAt(bits >> 8, g - 4, tables));
  return v128.xor(even, v128.xor(odd, tableAt(bits >> 16, g - 6, tables)));
}

function tableAt(bits: u32, g: usize, tables: usize): v128 {
  return v128.load(tables + (g & 7) * TABLE_BYTES + <usize>(bits & 0xf0));
}

/** All ones where the lowest bit is: a branch on random bits would be foreseen half of the time. */
function maskOf(bits: u32): v128 {
  return i32x4.splat(0 - <i32>(bits & 1));
}

/**
 * Adds to each of `count` outputs `taps` entries: the k-th by a word scaled to `range`, counted from
 * `source` + k · `apart`.
 */
export function expandOne(
  out: usize,
  count: usize,
  source: usize,
  range: u32,
  taps: u32,
  apart: usize,
  words: usize,
): void {
  for (let i: usize = 0; i < count; i++) {
    let sum = v128.load(out);
    let from = source;
    for (let tap: u32 = 0; tap < taps; tap++) {
      sum = v128.xor(sum, v128.load(from + (scaled(load<u32>(words), range) << 4)));
      from += apart;
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
  range: u32,
  taps: u32,
  apart: usize,
  words: usize,
): void {
  for (let i: usize = 0; i < count; i++) {
    let first = v128.load(out);
    let second = v128.load(out, 16);
    let from = source;
    for (let tap: u32 = 0; tap < taps; tap++) {
      const entry = from + (scaled(load<u32>(words), range) << 5);
      first = v128.xor(first, v128.load(entry));
      second = v128.xor(second, v128.load(entry, 16));
      from += apart;
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
