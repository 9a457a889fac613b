/**
 * Linear tests against the noise that one finds: sums of outputs that touch little of the code's
 * length. What an output has of a stretch of the tail without a tap of its own goes by the state of
 * two convolutions at the stretch's end, so few dozen such outputs have sums that touch nothing of it.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expanderPasses } from '../../protocols/common/expander.ts';
import type { CodeStreams, LeafShape } from '../../protocols/common/primitives.ts';
import { CODE_21X24, lpnShape, type LpnCode } from '../../protocols/psi/vole/lpn-params.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { nativeVole } from '../../workers/native-vole.ts';
import { OTHER_CODE } from '../fixtures/vole.ts';

/** Entries from one place to before another. */
type Stretch = readonly [from: number, to: number];
/** Of each byte. */
const ONES = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte.toString(2).replaceAll('0', '').length,
);
/** Entries at a stretch's end that must be zero for all of it to be: more than the state has. */
const STATE_ENTRIES = 128;

/** A drawing of a code at rate 1/2, as short as the noise allows. */
function drawn(by: LpnCode): { shape: LeafShape; length: number; code: CodeStreams } {
  const { blocks, depth, length } = lpnShape(1, by);
  const seed = new Uint8Array(randomBytes(32));
  return {
    length,
    shape: { trees: blocks, depth, size: length / 2, withNoise: false },
    code: { ...by, open: (segment) => nativePrimitives.stream.open(seed, segment) },
  };
}

/** What of the tail each of the outputs touches, a bit an entry; as many as the tail has. */
function rowsOf({ shape, length, code }: ReturnType<typeof drawn>, outputs: readonly number[]) {
  const rows = outputs.map(() => new Uint8Array((length - shape.size) / 8));
  for (let first = shape.size; first < length; first += 128) {
    const store = nativeVole.openLeaves(shape);
    for (let bit = 0; bit < 128; bit++) {
      const leaf = new Uint8Array(16);
      leaf[bit >> 3] = 1 << (bit & 7);
      const at = first + bit;
      store.place(at >> shape.depth, at % 2 ** shape.depth, leaf, new Uint8Array(0));
    }
    const { leaves } = store.compress(code);
    store.close();
    const to = (first - shape.size) / 8;
    outputs.forEach((output, i) => {
      rows[i]?.set(leaves.subarray(16 * output, 16 * output + 16), to);
    });
  }
  return rows;
}

/** The outputs of which no tap lies in any of the stretches. */
function outputsBeside({ shape, length, code }: ReturnType<typeof drawn>, stretches: Stretch[]) {
  const isBeside = new Uint8Array(shape.size).fill(1);
  const passes = expanderPasses(length - shape.size, code.taps, code.regularTaps);
  for (const [pass, { first, apart, range, taps }] of passes.entries()) {
    const bytes = new Uint8Array(code.open(2 + pass).next(Math.ceil((shape.size * taps) / 4) * 16));
    const words = new DataView(bytes.buffer, bytes.byteOffset);
    for (let i = 0; i < shape.size * taps; i++) {
      const share = words.getUint32(4 * i, true) / 2 ** 32;
      const tap = first + (i % taps) * apart + Math.floor(share * range);
      const isInside = stretches.some(([from, to]) => tap >= from && tap < to);
      if (isInside) isBeside[Math.floor(i / taps)] = 0;
    }
  }
  return [...isBeside.keys()].filter((output) => isBeside[output] === 1);
}

/**
 * The share of the length that the lightest sum touches which elimination finds.
 * @param count - stretches, around the borders of every other pair of segments.
 * @param reach - how far into either segment.
 */
function foundDistance(by: LpnCode, count: number, reach: number): number {
  const drawing = drawn(by);
  const tail = drawing.length - drawing.shape.size;
  const segment = tail / by.regularTaps;
  const stretches = Array.from({ length: count }, (_, i): Stretch => {
    const border = (2 * i + 1) * segment;
    return [Math.floor(border - reach * segment), Math.floor(border + reach * segment)];
  });
  const outputs = outputsBeside(drawing, stretches);
  const rows = rowsOf(drawing, outputs);
  const ends = stretches.flatMap(([, to]) =>
    Array.from({ length: STATE_ENTRIES }, (_, i) => to - 1 - i),
  );
  let rank = 0;
  for (const entry of ends) {
    const isOne = (row: Uint8Array | undefined) =>
      (((row?.[entry >> 3] ?? 0) >> (entry & 7)) & 1) === 1;
    const pivot = rows.findIndex((row, i) => i >= rank && isOne(row));
    if (pivot < 0) continue;
    const [row] = rows.splice(pivot, 1);
    for (const other of rows.slice(rank)) {
      if (isOne(other)) other.forEach((byte, i) => (other[i] = byte ^ (row?.[i] ?? 0)));
    }
    rows.splice(rank, 0, row ?? new Uint8Array(0));
    rank += 1;
  }
  const sums = rows.slice(rank);
  // Each is of at most so many outputs and one more, whose own entries it touches beside the tail's.
  expect(sums.length).toBeGreaterThan(0);
  const weights = sums.map((sum) => sum.reduce((ones, byte) => ones + (ONES[byte] ?? 0), 0));
  return (Math.min(...weights) + rank + 1) / drawing.length;
}

describe('words that elimination finds', () => {
  it.each([
    [1, 0.8],
    [2, 0.5],
    [3, 0.33],
  ])('touch more than noise is computed for, with %i stretches left out', (count, reach) => {
    const found = foundDistance(CODE_21X24, count, reach);
    expect(found).toBeGreaterThan(CODE_21X24.foundDistance);
    // Something was left out: a sum of outputs touches a quarter on average.
    expect(found).toBeLessThan(0.23);
  });

  it('control: with a third of the taps they touch less', () => {
    const found = foundDistance({ ...OTHER_CODE, foundDistance: 0.15 }, 2, 0.5);
    expect(found).toBeLessThan(CODE_21X24.foundDistance);
  });
});
