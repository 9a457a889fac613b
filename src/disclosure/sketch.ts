/**
 * Sketches of who is in a released cell, kept so that a later release can be compared with it
 * without keeping who it was: 256 counters of Alon, Matias and Szegedy (STOC 1996). Each item adds +1
 * or −1 to every counter, by bits of a keyed hash; so the sketch of a difference is the difference
 * of the sketches, and the mean of its squared counters estimates how many items differ. Its
 * standard error is √(2/256) = 8.8 % of the difference itself, however large the cells.
 */
import { createCipheriv } from 'node:crypto';

export const SKETCH_COUNTERS = 256;
/** An item before keying: 16 bytes that are equal for equal items. */
export const ITEM_BYTES = 16;
const SIGN_WORDS = SKETCH_COUNTERS / 32;
/** Planes of a bit-sliced counter; full ones are emptied into the sketches at this many items. */
const PLANES = 8;
const FLUSH_AT = 2 ** PLANES - 1;
const ITEMS_AT_ONCE = 4096;

/** Signed counters of each cell, cell by cell. */
export interface Sketches {
  readonly cells: number;
  readonly counters: Int32Array;
}

/** Takes items and their cells; `finish` gives the sketches. */
export interface Sketcher {
  /** @param items - 16 bytes each, as many as `cells`. */
  add(items: Uint8Array, cells: Uint32Array): void;
  finish(): Sketches;
}

/**
 * @param key - 32 bytes, secret: who knew it could search for items whose difference cancels.
 */
export function sketcher(key: Uint8Array, cells: number): Sketcher {
  const counters = new Int32Array(cells * SKETCH_COUNTERS);
  const signs = signer(key);
  const flush = new Planes(counters);
  return {
    add(items, itemCells) {
      for (let at = 0; at < itemCells.length; at += ITEMS_AT_ONCE) {
        const some = itemCells.subarray(at, at + ITEMS_AT_ONCE);
        const words = signs(items.subarray(at * ITEM_BYTES, (at + some.length) * ITEM_BYTES));
        for (const [index, cell] of some.entries()) flush.add(cell, words, index * SIGN_WORDS);
      }
    },
    finish() {
      flush.end();
      return { cells, counters };
    },
  };
}

/** 256 sign bits for each item: two blocks of AES-256 over the item, told apart by one bit. */
function signer(key: Uint8Array): (items: Uint8Array) => Uint32Array {
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  return (items) => {
    const count = items.length / ITEM_BYTES;
    const blocks = new Uint8Array(count * 2 * ITEM_BYTES);
    for (let item = 0; item < count; item += 1) {
      const bytes = items.subarray(item * ITEM_BYTES, (item + 1) * ITEM_BYTES);
      const at = item * 2 * ITEM_BYTES;
      blocks.set(bytes, at);
      blocks[at] = (blocks[at] ?? 0) & 0x7f;
      blocks.set(bytes, at + ITEM_BYTES);
      blocks[at + ITEM_BYTES] = (blocks[at + ITEM_BYTES] ?? 0) | 0x80;
    }
    const out = new Uint8Array(cipher.update(blocks));
    return new Uint32Array(out.buffer);
  };
}

/** Bit-sliced counters of the cell at work: 32 counters a word, one addition for all of them. */
class Planes {
  readonly #counters: Int32Array;
  readonly #planes = new Uint32Array(PLANES * SIGN_WORDS);
  #cell = -1;
  #items = 0;

  constructor(counters: Int32Array) {
    this.#counters = counters;
  }

  add(cell: number, words: Uint32Array, at: number): void {
    if (cell !== this.#cell || this.#items === FLUSH_AT) {
      this.end();
      this.#cell = cell;
    }
    const planes = this.#planes;
    for (let word = 0; word < SIGN_WORDS; word += 1) {
      let carry = words[at + word] ?? 0;
      for (let plane = word; carry !== 0; plane += SIGN_WORDS) {
        const bits = planes[plane] ?? 0;
        planes[plane] = bits ^ carry;
        carry &= bits;
      }
    }
    this.#items += 1;
  }

  end(): void {
    if (this.#items === 0) return;
    const base = this.#cell * SKETCH_COUNTERS;
    for (let counter = 0; counter < SKETCH_COUNTERS; counter += 1) {
      const [word, bit] = [counter >>> 5, counter & 31];
      let ones = 0;
      for (let plane = 0; plane < PLANES; plane += 1) {
        ones += (((this.#planes[plane * SIGN_WORDS + word] ?? 0) >>> bit) & 1) << plane;
      }
      this.#counters[base + counter] =
        (this.#counters[base + counter] ?? 0) + 2 * ones - this.#items;
    }
    this.#planes.fill(0);
    this.#items = 0;
  }
}

/**
 * How many items two sketches differ by, as estimated: the sum of 256 squares, over 256.
 * @param a - counters from `aCell`·256 on; `b` likewise.
 */
export function estimatedDifference(
  a: Int32Array,
  aCell: number,
  b: Int32Array,
  bCell: number,
): number {
  const [from, other] = [aCell * SKETCH_COUNTERS, bCell * SKETCH_COUNTERS];
  let sum = 0;
  for (let counter = 0; counter < SKETCH_COUNTERS; counter += 1) {
    const difference = (a[from + counter] ?? 0) - (b[other + counter] ?? 0);
    sum += difference * difference;
  }
  return sum / SKETCH_COUNTERS;
}

/**
 * What a difference means: `same` where nothing differs, `close` where so few units differ that
 * subtracting the releases would show them, `apart` otherwise.
 *
 * 1 to threshold − 1 units never pass: that would take an estimate of twice the threshold, more than
 * eleven standard errors away; and an estimate of zero needs 256 counters to cancel at once.
 */
export function judgeDifference(estimate: number, threshold: number): 'same' | 'close' | 'apart' {
  if (estimate === 0) return 'same';
  return estimate < 2 * threshold - 0.5 ? 'close' : 'apart';
}
