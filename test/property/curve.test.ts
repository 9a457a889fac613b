import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LOW_ORDER_U, nobleCurve } from '../../protocols/common/noble-curve.ts';
import { concatBytes } from '../../protocols/common/bytes.ts';
import { nativeCurve, openCurve } from '../../workers/native-curve.ts';

const P = 2n ** 255n - 19n;
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const tag = fc.uint8Array({ minLength: 1, maxLength: 255 });

function encode(value: bigint): Uint8Array {
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++) out[i] = Number((value >> BigInt(8 * i)) & 255n);
  return out;
}
function refuses(points: Uint8Array, curve = nativeCurve): boolean {
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

describe('hash to curve', () => {
  it('equals the oracle for any tag, length and count, odd ones and whole batches included', () => {
    fc.assert(
      fc.property(
        tag,
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 1, max: 5 }),
        fc.infiniteStream(fc.nat(255)),
        (dst, size, count, stream) => {
          const messages = Uint8Array.from({ length: size * count }, () => stream.next().value);
          expect(nativeCurve.hashToCurve(dst, messages, size, count)).toEqual(
            nobleCurve.hashToCurve(dst, messages, size, count),
          );
        },
      ),
      { numRuns: 60 },
    );
    const messages = Uint8Array.from({ length: 4 * 259 }, (_, i) => (i * 7919) >> 5);
    expect(nativeCurve.hashToCurve(new Uint8Array([9]), messages, 4, 259)).toEqual(
      nobleCurve.hashToCurve(new Uint8Array([9]), messages, 4, 259),
    );
  });

  it('refuses tags, messages and lengths it cannot hold', () => {
    const hash = (tagBytes: number, size: number, bytes = size): unknown =>
      nativeCurve.hashToCurve(new Uint8Array(tagBytes), new Uint8Array(bytes), size, 1);
    expect(() => hash(0, 4)).toThrow(/1 to 255/);
    expect(() => hash(256, 4)).toThrow(/1 to 255/);
    expect(() => hash(1, 1025)).toThrow(/at most 1024/);
    expect(() => hash(1, 4, 5)).toThrow(/fill/);
    expect(hash(255, 1024)).toHaveLength(32);
  });
});

describe('multiplication', () => {
  it('is one function, by libsodium, by OpenSSL and by the oracle, and it commutes', () => {
    const openssl = openCurve(undefined);
    expect([openssl.engine, nobleCurve.engine]).toEqual(['openssl', 'noble']);
    fc.assert(
      fc.property(bytes32, bytes32, fc.nat(65535), (a, b, seed) => {
        const points = concatBytes([somePoint(seed), somePoint(seed + 1)]);
        const once = nativeCurve.multiply(a, points);
        expect(openssl.multiply(a, points)).toEqual(once);
        expect(nobleCurve.multiply(a, points)).toEqual(once);
        expect(nativeCurve.multiply(b, once)).toEqual(
          nativeCurve.multiply(a, nativeCurve.multiply(b, points)),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('ends on a low-order point', () => {
    for (const curve of [nativeCurve, openCurve(undefined), nobleCurve]) {
      expect(() => curve.multiply(new Uint8Array(32).fill(7), encode(0n))).toThrow(/low order/);
    }
  });
});

describe('received points', () => {
  it('pass on the curve and fail on the twist, exactly as the oracle says', () => {
    let refused = 0;
    fc.assert(
      fc.property(bytes32, (bytes) => {
        bytes[31] = (bytes[31] ?? 0) & 127;
        const verdict = refuses(bytes);
        refused += verdict ? 1 : 0;
        expect(verdict).toBe(refuses(bytes, nobleCurve));
      }),
      { numRuns: 300 },
    );
    // Half of all numbers are on the twist: a check that says always yes or always no fails here.
    expect(refused).toBeGreaterThan(90);
    expect(refused).toBeLessThan(210);
  });

  it('fail where not canonical, with the top bit set, or of low order', () => {
    for (const curve of [nativeCurve, nobleCurve]) {
      for (const u of LOW_ORDER_U) expect(refuses(encode(u), curve)).toBe(true);
      for (let excess = 0n; excess < 19n; excess++) {
        expect(refuses(encode(P + excess), curve)).toBe(true);
      }
      const good = somePoint(5);
      expect(refuses(good, curve)).toBe(false);
      const turned = good.slice();
      turned[31] = (turned[31] ?? 0) | 128;
      expect(refuses(turned, curve)).toBe(true);
      expect(refuses(encode(2n ** 256n - 1n), curve)).toBe(true);
    }
  });

  it('are found bad at every place of a batch and across batches', () => {
    const points = concatBytes(Array.from({ length: 515 }, (_, i) => somePoint(i)));
    expect(refuses(points)).toBe(false);
    const twist = encode(2n);
    expect(refuses(twist, nobleCurve)).toBe(true);
    for (const place of [0, 1, 2, 3, 4, 254, 255, 256, 257, 511, 512, 514]) {
      const spoilt = points.slice();
      spoilt.set(twist, place * 32);
      expect(() => nativeCurve.requirePoints(spoilt)).toThrow(`point ${place} `);
    }
  });
});
