import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { nativeCurve } from '../../workers/native-curve.ts';

const bytes = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const BASE = Uint8Array.of(9, ...new Uint8Array(31));
const EIGHT_TWEAKS = Uint8Array.from({ length: 16 }, (_, i) => i);
const P = 2n ** 255n - 19n;

/** Points of the prime subgroup. */
function somePoints(count: number): Uint8Array {
  const points = new Uint8Array(32 * count);
  for (let i = 0; i < count; i++) points.set(nativeCurve.multiply(bytes(32), BASE), 32 * i);
  return points;
}

/** A string of a number, little-endian. */
function encode(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

/** Times a multiple of eight. */
const clearedOf = (points: Uint8Array): Uint8Array => nativeCurve.multiply(encode(8n), points);

describe('strings of points', () => {
  it('are mapped to a point of the curve, whatever they hold, in the kernel as in the oracle', () => {
    const half = (P - 1n) / 2n;
    const edges = [1n, 2n, half - 1n, half, half + 1n, 2n ** 254n - 1n, P - 1n, P, 2n ** 256n - 1n];
    const string = fc.oneof(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.constantFrom(...edges.map(encode)),
    );
    fc.assert(
      fc.property(fc.array(string, { minLength: 1, maxLength: 7 }), (strings) => {
        const all = Buffer.concat(strings);
        const points = nativeCurve.fromRepresentatives(all);
        expect(hex(points)).toBe(hex(nobleCurve.fromRepresentatives(all)));
        nativeCurve.requirePoints(points);
      }),
      { numRuns: 60 },
    );
    const many = bytes(32 * 259);
    expect(hex(nativeCurve.fromRepresentatives(many))).toBe(
      hex(nobleCurve.fromRepresentatives(many)),
    );
  });

  it('stand for no usable point in one case: zero, which X25519 refuses', () => {
    for (const curve of [nativeCurve, nobleCurve]) {
      const point = curve.fromRepresentatives(new Uint8Array(32));
      expect(hex(point)).toBe(hex(new Uint8Array(32)));
      expect(() => curve.multiply(bytes(32), point)).toThrow(/low order/);
    }
  });

  it('do not depend on the top two bits', () => {
    const [string, topped] = [bytes(32), new Uint8Array(32)];
    topped.set(string);
    topped[31] = (string[31] ?? 0) ^ 0xc0;
    expect(hex(nativeCurve.fromRepresentatives(topped))).toBe(
      hex(nativeCurve.fromRepresentatives(string)),
    );
  });

  it('are found in the kernel as in the oracle, and map back to the point plus one of low order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), (count) => {
        const [points, tweaks] = [somePoints(count), bytes(count)];
        const made = nativeCurve.toRepresentatives(points, tweaks);
        const oracle = nobleCurve.toRepresentatives(points, tweaks);
        expect(hex(made.found)).toBe(hex(oracle.found));
        expect(hex(made.strings)).toBe(hex(oracle.strings));
        made.found.forEach((found, i) => {
          const string = made.strings.subarray(32 * i, 32 * i + 32);
          if (found === 0) return expect(hex(string)).toBe(hex(new Uint8Array(32)));
          const point = points.subarray(32 * i, 32 * i + 32);
          const back = nativeCurve.fromRepresentatives(string);
          // X25519 takes away what is of low order.
          expect(hex(clearedOf(back))).toBe(hex(clearedOf(point)));
          return expect((string[31] ?? 0) & 0xc0).toBe((tweaks[i] ?? 0) & 0xc0);
        });
      }),
      { numRuns: 40 },
    );
  });

  it('stand for eight different points a point, each found with chance one half', () => {
    const [count, counts] = [64, new Map<number, number>()];
    for (let i = 0; i < count; i++) {
      const point = somePoints(1);
      const copies = new Uint8Array(32 * 16);
      for (let at = 0; at < copies.length; at += 32) copies.set(point, at);
      const { strings, found } = nativeCurve.toRepresentatives(copies, EIGHT_TWEAKS);
      const seen = new Set<string>();
      found.forEach((one, tweak) => {
        if (one === 0) return;
        seen.add(
          hex(nativeCurve.fromRepresentatives(strings.subarray(32 * tweak, 32 * tweak + 32))),
        );
        counts.set(tweak & 7, (counts.get(tweak & 7) ?? 0) + 1);
      });
      // Both preimages of a point exist, or neither.
      expect(found.subarray(0, 8)).toEqual(found.subarray(8));
      expect(seen.size).toBe(found.reduce((sum, one) => sum + one, 0) / 2);
    }
    for (let low = 0; low < 8; low++) {
      // Twice the number of heads in 64 throws: beyond six deviations of 8.
      expect(Math.abs((counts.get(low) ?? 0) - count)).toBeLessThan(6 * 8);
    }
  });

  it('hide that they were made: every bit is one as often as not, where the bits of points are not', () => {
    const count = 4000;
    const points = somePoints(count);
    const { strings, found } = nativeCurve.toRepresentatives(points, bytes(count));
    const total = found.reduce((sum, one) => sum + one, 0);
    expect(Math.abs(total - count / 2)).toBeLessThan(6 * Math.sqrt(count / 4));
    const ones = (from: Uint8Array, bit: number): number =>
      found.reduce(
        (sum, one, i) => sum + one * (((from[32 * i + (bit >> 3)] ?? 0) >> (bit & 7)) & 1),
        0,
      );
    for (let bit = 0; bit < 256; bit++) {
      expect(Math.abs(ones(strings, bit) - total / 2)).toBeLessThan(6 * Math.sqrt(total / 4));
    }
    // The control: the top bit of a point is never set.
    expect(ones(points, 255)).toBe(0);
  });
});
