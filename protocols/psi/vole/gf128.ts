/**
 * GF(2^128) modulo x^128 + x^7 + x^2 + x + 1. An element is 16 bytes, the little-endian integer
 * whose bit i is the coefficient of x^i (the order of AES-GCM-SIV's POLYVAL, not of GHASH). A vector
 * is elements one behind the other. Adding is exclusive or.
 *
 * Plain and slow: what the kernel is compared with, and what runs where WASM SIMD is missing. No
 * branch and no index depends on an element.
 */
import { viewOf } from '../../common/bytes.ts';
import type { Gf128Primitive } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';

export const GF128_BYTES = 16;
const WORDS = 4;
/** x^128 ≡ x^7 + x^2 + x + 1 */
const REDUCTION = 0x87;

/** The product of two elements. @throws ProtocolError `length-wrong` */
export function multiplyGf128(left: Uint8Array, right: Uint8Array): Uint8Array {
  const product = new Uint8Array(GF128_BYTES);
  portableGf128.accumulate(product, left, right.slice());
  return product;
}

/** @see Gf128Primitive */
export const portableGf128: Gf128Primitive = {
  accumulate(target, scalar, vector) {
    requireVectors(target, vector);
    if (scalar.length !== GF128_BYTES) {
      throw new ProtocolError('length-wrong', `a field element has ${GF128_BYTES} bytes`);
    }
    const multiples = multiplesOf(scalar);
    const [to, from] = [viewOf(target), viewOf(vector)];
    for (let at = 0; at < target.length; at += GF128_BYTES) {
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let word = 0; word < WORDS; word++) {
        const bits = from.getUint32(at + 4 * word, true);
        for (let bit = 0; bit < 32; bit++) {
          const mask = -((bits >>> bit) & 1);
          const of = (32 * word + bit) * WORDS;
          a ^= (multiples[of] ?? 0) & mask;
          b ^= (multiples[of + 1] ?? 0) & mask;
          c ^= (multiples[of + 2] ?? 0) & mask;
          d ^= (multiples[of + 3] ?? 0) & mask;
        }
      }
      to.setUint32(at, to.getUint32(at, true) ^ a, true);
      to.setUint32(at + 4, to.getUint32(at + 4, true) ^ b, true);
      to.setUint32(at + 8, to.getUint32(at + 8, true) ^ c, true);
      to.setUint32(at + 12, to.getUint32(at + 12, true) ^ d, true);
    }
  },
  add(target, vector) {
    requireVectors(target, vector);
    for (let at = 0; at < target.length; at++) {
      target[at] = (target[at] ?? 0) ^ (vector[at] ?? 0);
    }
  },
};

/** @throws ProtocolError `length-wrong` unless both are whole elements, as many as the other. */
export function requireVectors(target: Uint8Array, vector: Uint8Array): void {
  if (target.length === vector.length && target.length % GF128_BYTES === 0) return;
  throw new ProtocolError(
    'length-wrong',
    'two vectors differ in length or hold part of an element',
  );
}

/** scalar · x^i for i = 0..127, four words each. */
function multiplesOf(scalar: Uint8Array): Int32Array {
  const view = viewOf(scalar);
  const out = new Int32Array(128 * WORDS);
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getInt32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  for (let i = 0; i < 128; i++) {
    out.set([a, b, c, d], i * WORDS);
    const carry = d >> 31;
    d = (d << 1) | (c >>> 31);
    c = (c << 1) | (b >>> 31);
    b = (b << 1) | (a >>> 31);
    a = (a << 1) ^ (carry & REDUCTION);
  }
  return out;
}
