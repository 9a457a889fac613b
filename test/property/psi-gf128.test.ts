import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { multiplyGf128, portableGf128 } from '../../protocols/psi/vole/gf128.ts';

const element = fc.uint8Array({ minLength: 16, maxLength: 16 });

/** By the definition: a product of polynomials, then division by the modulus, on big integers. */
function naive(left: Uint8Array, right: Uint8Array): Uint8Array {
  const modulus = (1n << 128n) | 0x87n;
  let product = 0n;
  for (let i = 0n; i < 128n; i++) if ((number(right) >> i) & 1n) product ^= number(left) << i;
  for (let i = 254n; i >= 128n; i--) if ((product >> i) & 1n) product ^= modulus << (i - 128n);
  return bytes(product);
}

function number(element: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(element.toReversed()).toString('hex')}`);
}

function bytes(value: bigint): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(32, '0'), 'hex')).toReversed();
}

function sum(left: Uint8Array, right: Uint8Array): Uint8Array {
  const out = left.slice();
  portableGf128.add(out, right);
  return out;
}

describe('GF(2^128)', () => {
  it('multiplies as the definition says', () => {
    fc.assert(
      fc.property(element, element, (a, b) => {
        expect(multiplyGf128(a, b)).toEqual(naive(a, b));
      }),
    );
  });

  it('reduces x^127 · x to x^7 + x^2 + x + 1', () => {
    expect(multiplyGf128(bytes(1n << 127n), bytes(2n))).toEqual(bytes(0x87n));
  });

  it('multiplies as POLYVAL does, whose modulus is ours reversed', () => {
    // x → 1/x carries one field to the other: an element of 128 bits, reversed, times x^-127.
    const reverse = (element: Uint8Array): Uint8Array => {
      let out = 0n;
      for (let i = 0n; i < 128n; i++) out |= ((number(element) >> i) & 1n) << (127n - i);
      return bytes(out);
    };
    const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
    // RFC 8452, section 7: a, b, a * b, and dot(a, b) = a * b * x^-128.
    const [a, b] = ['66e94bd4ef8a2c3b884cfa59ca342b2e', 'ff000000000000000000000000000000'].map(
      (text) => reverse(hex(text)),
    ) as [Uint8Array, Uint8Array];
    const product = reverse(hex('37856175e9dc9df26ebc6d6171aa0ae9'));
    const dot = reverse(hex('ebe563401e7e91ea3ad6426b8140c394'));
    expect(multiplyGf128(product, bytes(1n << 127n))).toEqual(multiplyGf128(a, b));
    expect(dot).toEqual(multiplyGf128(multiplyGf128(a, b), bytes(2n)));
  });

  it('is commutative, associative, distributive and has a one', () => {
    fc.assert(
      fc.property(element, element, element, (a, b, c) => {
        expect(multiplyGf128(a, b)).toEqual(multiplyGf128(b, a));
        expect(multiplyGf128(multiplyGf128(a, b), c)).toEqual(
          multiplyGf128(a, multiplyGf128(b, c)),
        );
        expect(multiplyGf128(a, sum(b, c))).toEqual(sum(multiplyGf128(a, b), multiplyGf128(a, c)));
        expect(multiplyGf128(a, bytes(1n))).toEqual(a);
      }),
    );
  });

  it('accumulates scalar times vector', () => {
    fc.assert(
      fc.property(element, fc.array(fc.tuple(element, element)), (scalar, pairs) => {
        const target = new Uint8Array(Buffer.concat(pairs.map(([to]) => to)));
        const vector = new Uint8Array(Buffer.concat(pairs.map(([, from]) => from)));
        portableGf128.accumulate(target, scalar, vector);
        const expected = pairs.map(([to, from]) => sum(to, naive(scalar, from)));
        expect(target).toEqual(new Uint8Array(Buffer.concat(expected)));
      }),
    );
  });

  it('refuses vectors of other lengths', () => {
    const refused = expect.objectContaining({ code: 'length-wrong' });
    const zero = new Uint8Array(16);
    const cases = [
      (): void => portableGf128.add(zero, new Uint8Array(32)),
      (): void => portableGf128.add(new Uint8Array(8), new Uint8Array(8)),
      (): void => portableGf128.accumulate(zero, new Uint8Array(15), zero),
      (): void => portableGf128.accumulate(zero, zero, new Uint8Array(32)),
    ];
    for (const each of cases) {
      expect(each).toThrow(ProtocolError);
      expect(each).toThrow(refused);
    }
  });
});
