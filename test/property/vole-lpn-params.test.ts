import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VOLE_SIZE_MAX, type VoleParams } from '../../protocols/psi/vole/correlation.ts';
import { CODE_21X24, lpnShape, noiseBlocksMin } from '../../protocols/psi/vole/lpn-params.ts';
import { OTHER_CODE } from '../fixtures/vole.ts';

const size = fc.oneof(
  fc.integer({ min: 1, max: VOLE_SIZE_MAX }),
  fc.integer({ min: 1, max: 5000 }),
  fc.tuple(fc.nat(22), fc.integer({ min: -1, max: 1 })).map(([bits, off]) => 2 ** bits + off + 1),
);
const code = fc.constantFrom(CODE_21X24, OTHER_CODE);

describe('the shape of the noise', () => {
  it('costs a linear test 2^128, has 256 blocks and a rate of at most a half, at any size', () => {
    fc.assert(
      fc.property(size, code, (elements, by) => {
        const { blocks, depth, length } = lpnShape(elements, by);
        expect(-blocks * Math.log2(1 - by.foundDistance)).toBeGreaterThanOrEqual(128);
        expect(blocks).toBeGreaterThanOrEqual(256);
        expect(blocks % 8).toBe(0);
        expect(depth).toBeGreaterThanOrEqual(6);
        expect(length).toBe(blocks * 2 ** depth);
        expect(length).toBeGreaterThanOrEqual(2 * elements);
        // No more than doubled: the work is in the length.
        if (depth > 6) expect(length).toBeLessThan(2 * elements + 8 * 2 ** depth);
      }),
      { numRuns: 2000 },
    );
  });

  it('needs 546 blocks for the code that is taken, and more where the distance is less', () => {
    expect(noiseBlocksMin(CODE_21X24)).toBe(546);
    expect(noiseBlocksMin(OTHER_CODE)).toBe(843);
  });

  it.each([
    [298, 552, 6, 35_328],
    [4_802, 552, 6, 35_328],
    [72_386, 568, 8, 145_408],
    [288_655, 568, 10, 581_632],
    [1_153_730, 568, 12, 2_326_528],
    [4_614_031, 568, 14, 9_306_112],
  ])('is for %i elements what the README says', (elements, blocks, depth, length) => {
    expect(lpnShape(elements, CODE_21X24)).toEqual({ size: elements, blocks, depth, length });
  });

  it('refuses a size out of bounds', () => {
    const params: Pick<VoleParams, 'size'> = { size: VOLE_SIZE_MAX + 1 };
    for (const wrong of [0, -1, 1.5, Number.NaN, params.size]) {
      expect(() => lpnShape(wrong, CODE_21X24)).toThrow(/has 1 to/);
    }
  });
});
