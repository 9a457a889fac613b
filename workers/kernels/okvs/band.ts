// The band matrix: eliminating it, solving it from the last column back, and decoding. Sums of
// columns are read from tables of the sixteen sums of four neighbours, kept for a window of columns
// that moves down the vector.
import { RECORD_BAND, RECORD_BYTES_LOG2, RECORD_START } from './items';

/** Four columns make a group; a band that starts anywhere lies in so many. */
const BAND_GROUPS: usize = 65;
const WINDOW_GROUPS: usize = 256;
/** Sixteen sums of a group. */
const GROUP_BYTES_LOG2: usize = 8;
const TABLES: usize = memory.data(65536, 16); // WINDOW_GROUPS · 256

/** The group in the window's first place, and the lowest one whose table is there. */
let base: isize = 0;
let lowest: isize = 0;

/**
 * Brings the sorted records into row echelon form: row i, where there is one, has its first
 * coefficient in column i. `rows` (32 bytes a column) must be zero; what a column without a row has
 * in `sums` means nothing.
 * @returns 0 done, 1 the rows are dependent, 2 an item comes twice.
 */
export function eliminate(sorted: usize, count: usize, rows: usize, sums: usize): u32 {
  for (let i: usize = 0; i < count; i++) {
    const record = sorted + (i << RECORD_BYTES_LOG2);
    let column = <usize>load<u32>(record, RECORD_START);
    let c0 = load<u64>(record, RECORD_BAND);
    let c1 = load<u64>(record, RECORD_BAND + 8);
    let c2 = load<u64>(record, RECORD_BAND + 16);
    let c3 = load<u64>(record, RECORD_BAND + 24);
    let sum = v128.load(record);
    while (true) {
      const row = rows + (column << 5);
      const d0 = load<u64>(row);
      if (d0 === 0) {
        store<u64>(row, c0);
        store<u64>(row, c1, 8);
        store<u64>(row, c2, 16);
        store<u64>(row, c3, 24);
        v128.store(sums + (column << 4), sum);
        break;
      }
      c0 ^= d0;
      c1 ^= load<u64>(row, 8);
      c2 ^= load<u64>(row, 16);
      c3 ^= load<u64>(row, 24);
      sum = v128.xor(sum, v128.load(sums + (column << 4)));
      if ((c0 | c1 | c2 | c3) === 0) return v128.any_true(sum) ? 1 : 2;
      while (c0 === 0) {
        c0 = c1;
        c1 = c2;
        c2 = c3;
        c3 = 0;
        column += 64;
      }
      const shift = ctz(c0);
      // By two steps, since shifting a word by 64 shifts it by 0.
      c0 = (c0 >> shift) | ((c1 << 1) << (63 - shift));
      c1 = (c1 >> shift) | ((c2 << 1) << (63 - shift));
      c2 = (c2 >> shift) | ((c3 << 1) << (63 - shift));
      c3 >>= shift;
      column += <usize>shift;
    }
  }
  return 0;
}

/** Empties the window; `groups` is one more than the highest group that will be read. */
function openWindow(groups: usize): void {
  base = <isize>groups - <isize>WINDOW_GROUPS;
  lowest = <isize>groups;
}

/** Puts the table of the group below the lowest one into the window, moving that if need be. */
function extendWindow(vector: usize): void {
  if (lowest === base) {
    // The band's groups above stay: to the window's end with them.
    const kept = BAND_GROUPS << GROUP_BYTES_LOG2;
    memory.copy(TABLES + (WINDOW_GROUPS << GROUP_BYTES_LOG2) - kept, TABLES, kept);
    base += <isize>BAND_GROUPS - <isize>WINDOW_GROUPS;
  }
  lowest -= 1;
  const p = vector + (<usize>lowest << 6);
  const t = TABLES + (<usize>(lowest - base) << GROUP_BYTES_LOG2);
  const a = v128.load(p);
  const b = v128.load(p, 16);
  const c = v128.load(p, 32);
  const d = v128.load(p, 48);
  const ab = v128.xor(a, b);
  const cd = v128.xor(c, d);
  v128.store(t, v128.splat<u8>(0));
  v128.store(t, a, 16);
  v128.store(t, b, 32);
  v128.store(t, ab, 48);
  v128.store(t, c, 64);
  v128.store(t, v128.xor(a, c), 80);
  v128.store(t, v128.xor(b, c), 96);
  v128.store(t, v128.xor(ab, c), 112);
  v128.store(t, d, 128);
  v128.store(t, v128.xor(a, d), 144);
  v128.store(t, v128.xor(b, d), 160);
  v128.store(t, v128.xor(ab, d), 176);
  v128.store(t, cd, 192);
  v128.store(t, v128.xor(a, cd), 208);
  v128.store(t, v128.xor(b, cd), 224);
  v128.store(t, v128.xor(ab, cd), 240);
}

// @ts-ignore: decorator
@inline
function entry(t: usize, bits: u64): v128 {
  return v128.load(t + <usize>(bits & 240));
}

/** The sum that 64 coefficients choose in the sixteen groups whose tables start at `t`. */
// @ts-ignore: decorator
@inline
function chosen(t: usize, c: u64, sum: v128): v128 {
  let a = v128.xor(sum, entry(t, c << 4));
  let b = entry(t + 256, c);
  a = v128.xor(a, entry(t + 512, c >> 4));
  b = v128.xor(b, entry(t + 768, c >> 8));
  a = v128.xor(a, entry(t + 1024, c >> 12));
  b = v128.xor(b, entry(t + 1280, c >> 16));
  a = v128.xor(a, entry(t + 1536, c >> 20));
  b = v128.xor(b, entry(t + 1792, c >> 24));
  a = v128.xor(a, entry(t + 2048, c >> 28));
  b = v128.xor(b, entry(t + 2304, c >> 32));
  a = v128.xor(a, entry(t + 2560, c >> 36));
  b = v128.xor(b, entry(t + 2816, c >> 40));
  a = v128.xor(a, entry(t + 3072, c >> 44));
  b = v128.xor(b, entry(t + 3328, c >> 48));
  a = v128.xor(a, entry(t + 3584, c >> 52));
  b = v128.xor(b, entry(t + 3840, c >> 56));
  return v128.xor(a, b);
}

/** As `chosen`, of a band at `row` without its first `skip` (1..4) columns. */
// @ts-ignore: decorator
@inline
function chosenBehind(t: usize, row: usize, skip: u64, sum: v128): v128 {
  const c0 = load<u64>(row);
  const c1 = load<u64>(row, 8);
  const c2 = load<u64>(row, 16);
  const c3 = load<u64>(row, 24);
  const rest = 64 - skip;
  let s = chosen(t, (c0 >> skip) | (c1 << rest), sum);
  s = chosen(t + 4096, (c1 >> skip) | (c2 << rest), s);
  s = chosen(t + 8192, (c2 >> skip) | (c3 << rest), s);
  return chosen(t + 12288, c3 >> skip, s);
}

/**
 * Solves the echelon form: `vector` comes with a value in every column and keeps it where there is
 * no row. `columns` is a multiple of 4, and behind the last lies a band's width of zeros.
 */
export function solve(rows: usize, sums: usize, vector: usize, columns: usize): void {
  const groups = columns >> 2;
  openWindow(groups + BAND_GROUPS);
  while (lowest > <isize>groups) extendWindow(vector);
  for (let group = <isize>groups - 1; group >= 0; group--) {
    const t = TABLES + (<usize>(group + 1 - base) << GROUP_BYTES_LOG2);
    for (let k: isize = 3; k >= 0; k--) {
      const column = <usize>((group << 2) + k);
      const row = rows + (column << 5);
      const c0 = load<u64>(row);
      if (c0 === 0) continue;
      const p = vector + (column << 4);
      let sum = v128.load(sums + (column << 4));
      for (let j: usize = 1; j < 4 - <usize>k; j++) {
        const mask = i64x2.splat(0 - ((c0 >> <u64>j) & 1));
        sum = v128.xor(sum, v128.and(mask, v128.load(p + (j << 4))));
      }
      v128.store(p, chosenBehind(t, row, <u64>(4 - k), sum));
    }
    extendWindow(vector);
  }
}

/**
 * values[i] = Σ of the vector's columns that the band of record i chooses. Records ascend by start;
 * behind the vector lies a band's width of zeros.
 */
export function decode(sorted: usize, count: usize, vector: usize, values: usize, columns: usize): void {
  openWindow((columns >> 2) + BAND_GROUPS);
  for (let i = <isize>count - 1; i >= 0; i--) {
    const record = sorted + (<usize>i << RECORD_BYTES_LOG2);
    const start = load<u32>(record, RECORD_START);
    const group = <isize>(start >> 2);
    if (lowest > group + <isize>BAND_GROUPS) openWindow(<usize>group + BAND_GROUPS);
    while (lowest > group) extendWindow(vector);
    const t = TABLES + (<usize>(group - base) << GROUP_BYTES_LOG2);
    const k = <u64>(start & 3);
    const head = v128.load(t + <usize>((load<u64>(record, RECORD_BAND) << (k + 4)) & 240));
    v128.store(
      values + (<usize>i << 4),
      chosenBehind(t + 256, record + RECORD_BAND, 4 - k, head),
    );
  }
}
