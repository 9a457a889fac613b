// Sorting: radix passes of eleven bits from the lowest digit up, and a check of what came out.

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 2048;
const COUNTS: usize = memory.data(8192, 16); // DIGITS · 4

/** COUNTS from digits' numbers to the place of each digit's first entry. */
function toPlaces(): void {
  let sum: u32 = 0;
  for (let at = COUNTS; at < COUNTS + (DIGITS << 2); at += 4) {
    const count = load<u32>(at);
    store<u32>(at, sum);
    sum += count;
  }
}

// @ts-ignore: decorator
@inline
function nextPlace(digit: usize): usize {
  const at = COUNTS + (digit << 2);
  const place = load<u32>(at);
  store<u32>(at, place + 1);
  return place;
}

// @ts-ignore: decorator
@inline
function countDigit(digit: usize): void {
  const at = COUNTS + (digit << 2);
  store<u32>(at, load<u32>(at) + 1);
}

/** One pass over 8-byte entries by the digit at `shift`. */
function passEntries(from: usize, to: usize, count: usize, shift: u64): void {
  memory.fill(COUNTS, 0, DIGITS << 2);
  const end = from + (count << 3);
  for (let at = from; at < end; at += 8) {
    countDigit(<usize>(load<u64>(at) >> shift) & (DIGITS - 1));
  }
  toPlaces();
  for (let at = from; at < end; at += 8) {
    const entry = load<u64>(at);
    const place = nextPlace(<usize>(entry >> shift) & (DIGITS - 1));
    store<u64>(to + (place << 3), entry);
  }
}

/**
 * Sorts 8-byte entries by their upper half, which is below 2^keyBits. Returns where the sorted
 * entries are: at `entries` or at `spare`.
 */
export function sortEntries(entries: usize, spare: usize, count: usize, keyBits: u32): usize {
  let from = entries;
  let to = spare;
  for (let done: u32 = 0; done < keyBits; done += DIGIT_BITS) {
    passEntries(from, to, count, 32 + done);
    const sorted = to;
    to = from;
    from = sorted;
  }
  return from;
}

/** The digit number `pass` (0 the lower, 1 the upper) of the leading 22 bits of a record. */
// @ts-ignore: decorator
@inline
function leadingDigit(record: usize, pass: u32): usize {
  const leading = bswap<u32>(load<u32>(record)) >> 10;
  return pass === 0 ? leading & <u32>(DIGITS - 1) : leading >> DIGIT_BITS;
}

function passRecords(from: usize, to: usize, count: usize, pass: u32): void {
  memory.fill(COUNTS, 0, DIGITS << 2);
  const end = from + (count << 4);
  for (let at = from; at < end; at += 16) countDigit(leadingDigit(at, pass));
  toPlaces();
  for (let at = from; at < end; at += 16) {
    v128.store(to + (nextPlace(leadingDigit(at, pass)) << 4), v128.load(at));
  }
}

/** Whether the first 12 bytes of one record come before those of the other. */
// @ts-ignore: decorator
@inline
function comesBefore(left: usize, right: usize): bool {
  const a = bswap<u64>(load<u64>(left));
  const b = bswap<u64>(load<u64>(right));
  return a !== b ? a < b : bswap<u32>(load<u32>(left, 8)) < bswap<u32>(load<u32>(right, 8));
}

/**
 * Sorts 16-byte records by their first 12 bytes, compared as text; the other four go along. Two
 * radix passes over the leading 22 bits leave little to insert where keys look random.
 * @returns how many records equal the one before, or −1 where keys are so little random that
 *   inserting would not end in time.
 */
export function sortRecords(records: usize, spare: usize, count: usize): i32 {
  passRecords(records, spare, count, 0);
  passRecords(spare, records, count, 1);
  const end = records + (count << 4);
  let moves: usize = 0;
  for (let at = records + 16; at < end; at += 16) {
    if (!comesBefore(at, at - 16)) continue;
    const record = v128.load(at);
    v128.store(spare, record);
    let place = at;
    do {
      v128.store(place, v128.load(place - 16));
      place -= 16;
      moves += 1;
    } while (place > records && comesBefore(spare, place - 16));
    v128.store(place, record);
    if (moves > (count << 6)) return -1;
  }
  let repeated = 0;
  for (let at = records + 16; at < end; at += 16) {
    if (!comesBefore(at - 16, at)) repeated += 1;
  }
  return repeated;
}
