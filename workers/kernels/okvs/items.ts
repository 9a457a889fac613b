// A set's items as records of 64 bytes, in the order of where their bands start:
//   0..15  the hashed item, a field element
//  16..19  the column its band starts at
//  20..23  its number in the set
//  24..55  its band: coefficients of so many columns, the first one always 1
//  56..63  unused
import { compress, storeOutput, useKey, useLength } from './blake3';
import { sortEntries } from './order';

export const RECORD_BYTES_LOG2: usize = 6;
export const RECORD_START: usize = 16;
export const RECORD_NUMBER: usize = 20;
export const RECORD_BAND: usize = 24;

/** Which bits of the four band words a width keeps, and the first bit, which every band has. */
const KEPT: usize = memory.data(32, 16);

function useWidth(width: u32): void {
  for (let word: u32 = 0; word < 4; word++) {
    const bits = width - min(width, word << 6);
    store<u64>(KEPT + (word << 3), bits > 63 ? ~0 : ((<u64>1) << bits) - 1);
  }
}

/** Hashes `count` elements into records `first` and following, which have room for three more. */
export function hashItems(
  key: usize,
  elements: usize,
  elementBytes: usize,
  count: usize,
  records: usize,
  first: usize,
  starts: u32,
  width: u32,
): void {
  useKey(key);
  useLength(elementBytes);
  useWidth(width);
  for (let i: usize = 0; i < count; i += 4) {
    const p = elements + i * elementBytes;
    compress(p, p + elementBytes, p + 2 * elementBytes, p + 3 * elementBytes, <u32>elementBytes);
    const number = first + i;
    const record = records + (number << RECORD_BYTES_LOG2);
    storeOutput(record, 64, 0);
    storeOutput(record + 16, 64, 1);
    storeOutput(record + 32, 64, 2);
    storeOutput(record + 48, 64, 3);
    for (let lane: usize = 0; lane < 4; lane++) {
      const at = record + (lane << RECORD_BYTES_LOG2);
      const start = (<u64>load<u32>(at, RECORD_START) * <u64>starts) >> 32;
      store<u32>(at, <u32>start, RECORD_START);
      store<u32>(at, <u32>(number + lane), RECORD_NUMBER);
      const low = v128.and(v128.load(at, RECORD_BAND), v128.load(KEPT));
      const high = v128.and(v128.load(at, RECORD_BAND + 16), v128.load(KEPT, 16));
      v128.store(at, v128.or(low, i64x2(1, 0)), RECORD_BAND);
      v128.store(at, high, RECORD_BAND + 16);
    }
  }
}

/**
 * Copies records in ascending order of their starts. Returns 1 if what came out is in order and
 * complete, which is checked and not assumed.
 */
export function orderItems(
  records: usize,
  sorted: usize,
  entries: usize,
  spare: usize,
  count: usize,
  keyBits: u32,
): u32 {
  for (let i: usize = 0; i < count; i++) {
    const start = load<u32>(records + (i << RECORD_BYTES_LOG2), RECORD_START);
    store<u64>(entries + (i << 3), ((<u64>start) << 32) | <u64>i);
  }
  const order = sortEntries(entries, spare, count, keyBits);
  let last: u32 = 0;
  let numbers: u64 = 0;
  let isAscending: u32 = 1;
  for (let i: usize = 0; i < count; i++) {
    const from = records + ((<usize>load<u32>(order + (i << 3))) << RECORD_BYTES_LOG2);
    const to = sorted + (i << RECORD_BYTES_LOG2);
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32);
    v128.store(to, v128.load(from, 48), 48);
    const start = load<u32>(to, RECORD_START);
    isAscending &= u32(start >= last);
    last = start;
    numbers += <u64>load<u32>(to, RECORD_NUMBER);
  }
  const n = <u64>count;
  return isAscending & u32(numbers === (n * (n - 1)) >> 1);
}

/** out[i] = the hashed item of record i, for `count` records. */
export function gatherHashes(sorted: usize, count: usize, out: usize): void {
  for (let i: usize = 0; i < count; i++) {
    v128.store(out + (i << 4), v128.load(sorted + (i << RECORD_BYTES_LOG2)));
  }
}

const MESSAGES: usize = memory.data(128, 16);

/**
 * Outputs: of each item, the first 12 bytes of the keyed hash of its value and its hashed item, and
 * behind them its number. `out` has room for three records more.
 */
export function hashValues(
  key: usize,
  sorted: usize,
  values: usize,
  count: usize,
  out: usize,
): void {
  useKey(key);
  useLength(32);
  for (let i: usize = 0; i < count; i += 4) {
    const record = sorted + (i << RECORD_BYTES_LOG2);
    for (let lane: usize = 0; lane < 4; lane++) {
      const to = MESSAGES + (lane << 5);
      v128.store(to, v128.load(values + ((i + lane) << 4)));
      v128.store(to, v128.load(record + (lane << RECORD_BYTES_LOG2)), 16);
    }
    compress(MESSAGES, MESSAGES + 32, MESSAGES + 64, MESSAGES + 96, 32);
    storeOutput(out + (i << 4), 16, 0);
    for (let lane: usize = 0; lane < 4; lane++) {
      const number = load<u32>(record + (lane << RECORD_BYTES_LOG2), RECORD_NUMBER);
      store<u32>(out + ((i + lane) << 4), number, 12);
    }
  }
}

const WORDS: usize = memory.data(256, 16);

/**
 * As `hashValues` for values of 64 bytes, alone: their quarters lie `apart` from each other, one for
 * all items behind the other.
 */
export function hashWords(
  key: usize,
  sorted: usize,
  values: usize,
  apart: usize,
  count: usize,
  out: usize,
): void {
  useKey(key);
  useLength(64);
  for (let i: usize = 0; i < count; i += 4) {
    for (let lane: usize = 0; lane < 4; lane++) {
      const to = WORDS + (lane << 6);
      const from = values + ((i + lane) << 4);
      for (let quarter: usize = 0; quarter < 4; quarter++) {
        v128.store(to + (quarter << 4), v128.load(from + quarter * apart));
      }
    }
    compress(WORDS, WORDS + 64, WORDS + 128, WORDS + 192, 64);
    storeOutput(out + (i << 4), 16, 0);
    for (let lane: usize = 0; lane < 4; lane++) {
      const number = load<u32>(sorted + ((i + lane) << RECORD_BYTES_LOG2), RECORD_NUMBER);
      store<u32>(out + ((i + lane) << 4), number, 12);
    }
  }
}

/** The first `bytes` of each record, one behind the other; `out` has room for 16 bytes more. */
export function packOutputs(records: usize, count: usize, bytes: usize, out: usize): void {
  for (let i: usize = 0; i < count; i++) {
    v128.store(out + i * bytes, v128.load(records + (i << 4)));
  }
}
