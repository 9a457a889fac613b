import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  estimatedDifference,
  ITEM_BYTES,
  judgeDifference,
  SKETCH_COUNTERS,
  sketcher,
  type Sketches,
} from '../../src/disclosure/sketch.ts';

const KEY = new Uint8Array(createHash('sha256').update('sketch').digest());

/** Items by number, distinct for distinct numbers. */
function itemsOf(numbers: readonly number[]): Uint8Array {
  const items = new Uint8Array(numbers.length * ITEM_BYTES);
  const view = new DataView(items.buffer);
  for (const [index, number] of numbers.entries()) {
    view.setUint32(index * ITEM_BYTES + 4, number);
    view.setUint32(index * ITEM_BYTES + 8, Math.imul(number, 0x9e37_79b1));
  }
  return items;
}

function sketchOf(numbers: readonly number[], cells: readonly number[], count: number): Sketches {
  const work = sketcher(KEY, count);
  work.add(itemsOf(numbers), Uint32Array.from(cells));
  return work.finish();
}

const repeated = (count: number): number[] => Array.from({ length: count }, () => 0);
const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

describe('difference sketches', () => {
  it('estimate how many items differ, with a standard error of at most 9 %', () => {
    const trials = 1500;
    for (const size of [5, 50, 400]) {
      // All trials' differences at once, one cell each.
      const numbers = range(0, trials * size);
      const cells = numbers.map((number) => Math.floor(number / size));
      const sketches = sketchOf(numbers, cells, trials);
      const empty = sketchOf([], [], 1);
      let squares = 0;
      let sum = 0;
      for (let trial = 0; trial < trials; trial += 1) {
        const estimate = estimatedDifference(sketches.counters, trial, empty.counters, 0);
        sum += estimate / size;
        squares += (estimate / size - 1) ** 2;
      }
      // Sampling error of the measured deviation itself: 2 %.
      expect(Math.sqrt(squares / trials)).toBeLessThanOrEqual(0.0925);
      expect(Math.abs(sum / trials - 1)).toBeLessThan(0.01);
    }
  });

  it.each([3, 10])('1 to %i − 1 units never pass in 100,000 seeded trials', (threshold) => {
    const empty = new Int32Array(SKETCH_COUNTERS);
    const each = Math.ceil(100_000 / (threshold - 1));
    for (let units = 1; units < threshold; units += 1) {
      for (let done = 0; done < each; done += 5000) {
        const trials = Math.min(5000, each - done);
        const numbers = range((units * each + done) * 16, trials * units);
        const cells = numbers.map((_, index) => Math.floor(index / units));
        const { counters } = sketchOf(numbers, cells, trials);
        let passed = 0;
        for (let trial = 0; trial < trials; trial += 1) {
          const estimate = estimatedDifference(counters, trial, empty, 0);
          if (judgeDifference(estimate, threshold) !== 'close') passed += 1;
        }
        expect(passed).toBe(0);
      }
    }
  });

  it('are linear: what both cells hold does not count, whatever the order', () => {
    fc.assert(
      fc.property(fc.nat({ max: 600 }), fc.nat({ max: 30 }), fc.nat(), (common, more, seed) => {
        const shared = range(seed % 1000, common);
        const extra = range(1_000_000, more);
        const a = sketchOf([...shared, ...extra], repeated(common + more), 1);
        const b = sketchOf(shared.toReversed(), repeated(common), 1);
        const alone = sketchOf(extra, repeated(more), 1);
        const difference = a.counters.map((counter, index) => counter - (b.counters[index] ?? 0));
        expect(difference).toEqual(alone.counters);
        const estimate = estimatedDifference(a.counters, 0, b.counters, 0);
        expect(judgeDifference(estimate, 3) === 'same').toBe(more === 0);
      }),
      { numRuns: 60 },
    );
  });

  it('tell large differences from small ones', () => {
    const empty = new Int32Array(SKETCH_COUNTERS);
    const { counters } = sketchOf(range(0, 40), repeated(40), 1);
    expect(judgeDifference(estimatedDifference(counters, 0, empty, 0), 3)).toBe('apart');
  });

  it('a sketch that counted without signs would let small differences pass as none', () => {
    // Control: sums of item counts, the obvious wrong way, cannot tell a swap from nothing.
    const plain = (numbers: readonly number[]): number => numbers.length;
    expect(plain([1, 2, 3]) - plain([1, 2, 4])).toBe(0);
    const [a, b] = [sketchOf([1, 2, 3], [0, 0, 0], 1), sketchOf([1, 2, 4], [0, 0, 0], 1)];
    expect(judgeDifference(estimatedDifference(a.counters, 0, b.counters, 0), 3)).toBe('close');
  });
});
