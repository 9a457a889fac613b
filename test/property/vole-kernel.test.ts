import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sumBlocks, xorInto } from '../../protocols/common/bytes.ts';
import { expanderPasses } from '../../protocols/common/expander.ts';
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

describe('the expand-convolute code', () => {
  const shape = { trees: 320, depth: 6, size: 5000, withNoise: false };
  const seed = bytes(32);
  const code = {
    taps: 21,
    regularTaps: 11,
    open: (segment: number) => nativePrimitives.stream.open(seed, segment),
  };
  /** How many outputs one leaf alone comes to. */
  const reached = (index: number, by = code): number => {
    const store = nativeVole.openLeaves(shape);
    store.place(index >> 6, index & 63, new Uint8Array(16).fill(1), new Uint8Array(0));
    const { leaves } = store.compress(by);
    store.close();
    let count = 0;
    for (let at = 0; at < leaves.length; at += 16) count += leaves[at] === 0 ? 0 : 1;
    return count;
  };

  it('brings each leaf of the tail to half of all outputs, the last as well as the first', () => {
    const last = shape.trees * 64 - 1;
    for (const index of [shape.size, shape.size + 1, 12_000, last - 40, last - 1, last]) {
      // Six standard deviations of 5000 coins.
      expect(Math.abs(reached(index) - 2500), String(index)).toBeLessThan(6 * 35.4);
    }
    // The systematic part: each leaf its own output.
    expect(reached(0)).toBe(1);
    expect(reached(shape.size - 1)).toBe(1);
  });

  it('takes every tap once, from within the entries', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 10_000_000 }),
        fc.integer({ min: 2, max: 40 }),
        (entries, taps) => {
          const regularTaps = Math.ceil(taps / 2);
          const passes = expanderPasses(entries, taps, regularTaps);
          expect(passes.reduce((sum, pass) => sum + pass.taps, 0)).toBe(taps);
          for (const { first, apart, range, taps: now } of passes) {
            expect(first + (now - 1) * apart + range).toBeLessThanOrEqual(entries);
          }
        },
      ),
    );
  });
});

describe('bytes', () => {
  it('are added from any place to any place, and summed by blocks with a rest', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 70 }),
        fc.nat(3),
        fc.nat(3),
        fc.integer({ min: 1, max: 9 }),
        (source, at, to, blockBytes) => {
          const from = new Uint8Array([...bytes(at), ...source]).subarray(at);
          const start = bytes(to + source.length);
          const target = start.slice().subarray(to);
          xorInto(target, from);
          expect([...target]).toEqual([...source].map((byte, i) => byte ^ (start[to + i] ?? 0)));
          const sums = Array.from({ length: blockBytes }, (_, i) =>
            source.reduce((sum, byte, j) => (j % blockBytes === i ? sum ^ byte : sum), 0),
          );
          expect([...sumBlocks(from, blockBytes)]).toEqual(sums);
        },
      ),
    );
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
