import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portableVole } from '../../protocols/common/portable-vole.ts';
import type { LeafShape, VolePrimitive } from '../../protocols/common/primitives.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';
import { nativeVole, voleOf } from '../../workers/native-vole.ts';

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const digest = (value: Uint8Array): string => createHash('sha256').update(value).digest('hex');

describe('the VOLE kernel gives what plain TypeScript gives', () => {
  it('for AES of blocks, as FIPS 197 has it', () => {
    const key = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
    const block = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
    for (const vole of [nativeVole, portableVole]) {
      expect(hex(vole.permute(key, block))).toBe('69c4e0d86a7b0430d8cdb78070b4c55a');
    }
    const blocks = bytes(16 * 1000);
    expect(digest(nativeVole.permute(key, blocks))).toBe(digest(portableVole.permute(key, blocks)));
  });

  it('for turning a bit matrix, and turning it twice changes nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }), (a, b) => {
        const [count, rows] = [16 * a, 16 * b];
        const columns = bytes((count * rows) / 8);
        const turned = nativeVole.transpose(columns, count);
        expect(hex(turned)).toBe(hex(portableVole.transpose(columns, count)));
        expect(hex(nativeVole.transpose(turned, rows))).toBe(hex(columns));
      }),
    );
  });

  it('for trees, whole and punctured, and for the code over them', () => {
    const shapes = fc.record({
      trees: fc.integer({ min: 1, max: 9 }),
      depth: fc.integer({ min: 6, max: 9 }),
      share: fc.double({ min: 0.01, max: 0.5, noNaN: true }),
      withNoise: fc.boolean(),
      taps: fc.constantFrom(7, 21),
    });
    fc.assert(
      fc.property(shapes, ({ trees, depth, share, withNoise, taps }) => {
        const size = Math.max(1, Math.floor(trees * 2 ** depth * share));
        const shape = { trees, depth, size, withNoise };
        const drawn = { seed: bytes(32), roots: bytes(16 * trees), places: bytes(2 * trees), taps };
        expect(outcome(nativeVole, shape, drawn)).toEqual(outcome(portableVole, shape, drawn));
      }),
      { numRuns: 12 },
    );
  });

  it('and falls back on it where there is no WASM SIMD', () => {
    expect({ ...portableVole, ...voleOf(new Uint8Array(8)) }).toEqual({
      ...portableVole,
      permute: expect.any(Function),
    });
  });
});

/** Everything a store gives, for one set of random choices. */
function outcome(
  vole: VolePrimitive,
  shape: LeafShape,
  drawn: { seed: Uint8Array; roots: Uint8Array; places: Uint8Array; taps: number },
): Record<string, string> {
  const { trees, depth } = shape;
  const keys = [drawn.seed.subarray(0, 16), drawn.seed.subarray(16)] as const;
  const code = {
    taps: drawn.taps,
    regularTaps: Math.ceil(drawn.taps / 2),
    open: (segment: number) => nativePrimitives.stream.open(drawn.seed, segment),
  };
  const whole = vole.openLeaves(shape);
  const { levels, totals } = whole.grow(keys, drawn.roots);
  const wholeCode = whole.compress(code);
  whole.close();
  const places = Uint32Array.from({ length: trees }, (_, i) => {
    return ((drawn.places[2 * i] ?? 0) * 256 + (drawn.places[2 * i + 1] ?? 0)) % 2 ** depth;
  });
  const sums = new Uint8Array(trees * depth * 16);
  for (let i = 0; i < trees * depth; i++) {
    const side = 1 - (((places[Math.floor(i / depth)] ?? 0) >> (depth - 1 - (i % depth))) & 1);
    sums.set(levels.subarray(32 * i + 16 * side, 32 * i + 16 * side + 16), 16 * i);
  }
  const holed = vole.openLeaves(shape);
  const others = holed.growPunctured(keys, places, sums);
  // The missing leaf is what all leaves have beyond the others: with it, both stores hold the same.
  places.forEach((place, tree) => {
    const leaf = totals.slice(16 * tree, 16 * tree + 16);
    leaf.forEach((byte, i) => (leaf[i] = byte ^ (others[16 * tree + i] ?? 0)));
    holed.place(tree, place, leaf, drawn.roots.subarray(16 * tree, 16 * tree + 16));
  });
  const holedCode = holed.compress(code);
  holed.close();
  expect(digest(holedCode.leaves)).toBe(digest(wholeCode.leaves));
  return {
    levels: digest(levels),
    totals: hex(totals),
    others: hex(others),
    leaves: digest(wholeCode.leaves),
    noise: digest(holedCode.noise),
  };
}
