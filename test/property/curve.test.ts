import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../protocols/common/bytes.ts';
import { LOW_ORDER_U, nobleCurve } from '../../protocols/common/noble-curve.ts';
import type { CurvePrimitive } from '../../protocols/common/primitives.ts';
import { nativeCurve, openCurve } from '../../workers/native-curve.ts';
import { curvesHere } from '../support/curves.ts';

const P = 2n ** 255n - 19n;
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const tag = fc.uint8Array({ minLength: 1, maxLength: 255 });
/** Numbers whose limbs of 51 bits are all ones, all zeros or next to it, in any mixture. */
const edges = fc
  .array(fc.constantFrom(0n, 1n, 18n, 19n, 2n ** 51n - 20n, 2n ** 51n - 19n, 2n ** 51n - 1n), {
    minLength: 5,
    maxLength: 5,
  })
  .map((limbs) => encode(limbs.reduceRight((value, limb) => (value << 51n) + limb, 0n)));

function encode(value: bigint): Uint8Array {
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++) out[i] = Number((value >> BigInt(8 * i)) & 255n);
  return out;
}
function refuses(points: Uint8Array, curve: CurvePrimitive): boolean {
  try {
    curve.requirePoints(points);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ code: 'point-invalid' });
    return true;
  }
}
/** A point of the curve by any hash. */
const somePoint = (seed: number): Uint8Array =>
  nativeCurve.hashToCurve(new Uint8Array([1]), new Uint8Array([seed & 255, seed >> 8]), 2, 1);

describe.each(curvesHere)('hash to curve by $engine', (curve) => {
  it('equals the oracle for any tag, length and count, odd ones and whole batches included', () => {
    fc.assert(
      fc.property(
        tag,
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 1, max: 9 }),
        fc.infiniteStream(fc.nat(255)),
        (dst, size, count, stream) => {
          const messages = Uint8Array.from({ length: size * count }, () => stream.next().value);
          expect(curve.hashToCurve(dst, messages, size, count)).toEqual(
            nobleCurve.hashToCurve(dst, messages, size, count),
          );
        },
      ),
      { numRuns: 40 },
    );
    const messages = Uint8Array.from({ length: 4 * 259 }, (_, i) => (i * 7919) >> 5);
    expect(curve.hashToCurve(new Uint8Array([9]), messages, 4, 259)).toEqual(
      nobleCurve.hashToCurve(new Uint8Array([9]), messages, 4, 259),
    );
    expect(curve.hashToCurve(new Uint8Array([9]), new Uint8Array(), 4, 0)).toHaveLength(0);
  });

  it('refuses tags, messages and lengths it cannot hold', () => {
    const hash = (tagBytes: number, size: number, bytes = size): unknown =>
      curve.hashToCurve(new Uint8Array(tagBytes), new Uint8Array(bytes), size, 1);
    expect(() => hash(0, 4)).toThrow(/1 to 255/);
    expect(() => hash(256, 4)).toThrow(/1 to 255/);
    expect(() => hash(1, 1025)).toThrow(/at most 1024/);
    expect(() => hash(1, 4, 5)).toThrow(/fill/);
    expect(hash(255, 1024)).toHaveLength(32);
  });
});

describe.each(curvesHere)('multiplication by $engine', (curve) => {
  it('is the oracle’s function, and it commutes', () => {
    fc.assert(
      fc.property(bytes32, bytes32, fc.nat(65535), (a, b, seed) => {
        const points = concatBytes([somePoint(seed), somePoint(seed + 1)]);
        const once = curve.multiply(a, points);
        expect(nobleCurve.multiply(a, points)).toEqual(once);
        expect(curve.multiply(b, once)).toEqual(curve.multiply(a, curve.multiply(b, points)));
      }),
      { numRuns: 30 },
    );
  });

  it('is the same for numbers at the edges of limbs, off the curve and above p, in any batch', () => {
    const openssl = openCurve();
    fc.assert(
      fc.property(
        fc.oneof(bytes32, edges),
        fc.array(fc.oneof(edges, bytes32), { minLength: 1, maxLength: 40 }),
        (scalar, points) => {
          const usable = points.filter((u) => {
            const value = Buffer.from(u).reverse().toString('hex');
            return !LOW_ORDER_U.includes((BigInt(`0x${value}`) & (2n ** 255n - 1n)) % P);
          });
          const all = concatBytes(usable);
          expect(curve.multiply(scalar, all)).toEqual(openssl.multiply(scalar, all));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('of one point with many scalars is each of them alone', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(bytes32, edges), { minLength: 0, maxLength: 40 }),
        fc.nat(65535),
        (scalars, seed) => {
          const point = somePoint(seed);
          const alone = scalars.map((scalar) => nobleCurve.multiply(scalar, point));
          expect(curve.multiplyOne(concatBytes(scalars), point)).toEqual(concatBytes(alone));
        },
      ),
      { numRuns: 15 },
    );
    expect(() => curve.multiplyOne(new Uint8Array(64).fill(9), encode(1n))).toThrow(/low order/);
  });

  it('ends on a low-order point and names it, wherever in a batch', () => {
    const points = concatBytes(Array.from({ length: 300 }, (_, i) => somePoint(i)));
    const secret = new Uint8Array(32).fill(7);
    expect(curve.multiply(secret, points)).toHaveLength(points.length);
    for (const [place, u] of [0, 7, 8, 256, 299].flatMap((at) =>
      LOW_ORDER_U.map((low) => [at, low] as const),
    )) {
      const spoilt = points.slice();
      spoilt.set(encode(u), place * 32);
      expect(() => curve.multiply(secret, spoilt)).toThrow(`point ${place} is of low order`);
    }
  });
});

describe.each(curvesHere)('received points, by $engine', (curve) => {
  it('pass on the curve and fail on the twist, exactly as the oracle says', () => {
    let refused = 0;
    fc.assert(
      fc.property(bytes32, (bytes) => {
        bytes[31] = (bytes[31] ?? 0) & 127;
        const verdict = refuses(bytes, curve);
        refused += verdict ? 1 : 0;
        expect(verdict).toBe(refuses(bytes, nobleCurve));
      }),
      { numRuns: 300 },
    );
    // Half of all numbers are on the twist: a check that says always yes or always no fails here.
    expect(refused).toBeGreaterThan(90);
    expect(refused).toBeLessThan(210);
    fc.assert(
      fc.property(edges, (bytes) => {
        expect(refuses(bytes, curve)).toBe(refuses(bytes, nobleCurve));
      }),
    );
  });

  it('fail where not canonical, with the top bit set, or of low order', () => {
    for (const each of [curve, nobleCurve]) {
      for (const u of LOW_ORDER_U) expect(refuses(encode(u), each)).toBe(true);
      for (let excess = 0n; excess < 19n; excess++) {
        expect(refuses(encode(P + excess), each)).toBe(true);
      }
      const good = somePoint(5);
      expect(refuses(good, each)).toBe(false);
      const turned = good.slice();
      turned[31] = (turned[31] ?? 0) | 128;
      expect(refuses(turned, each)).toBe(true);
      expect(refuses(encode(2n ** 256n - 1n), each)).toBe(true);
    }
  });

  it('are found bad at every place of a batch and across batches', () => {
    const points = concatBytes(Array.from({ length: 515 }, (_, i) => somePoint(i)));
    expect(refuses(points, curve)).toBe(false);
    const twist = encode(2n);
    expect(refuses(twist, nobleCurve)).toBe(true);
    for (const place of [0, 1, 2, 3, 4, 7, 8, 254, 255, 256, 257, 511, 512, 514]) {
      const spoilt = points.slice();
      spoilt.set(twist, place * 32);
      expect(() => curve.requirePoints(spoilt)).toThrow(`point ${place} `);
    }
  });
});
