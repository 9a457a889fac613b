/**
 * `CurvePrimitive` by @noble: the oracle the fast path is held to, and what it falls back on. Slow:
 * about a thousand points a second.
 */
import { ed25519, ed25519_hasher, x25519 } from '@noble/curves/ed25519.js';
import { fromRepresentatives, toRepresentatives } from './elligator.ts';
import { ProtocolError } from './protocol-error.ts';
import type { CurvePrimitive } from './primitives.ts';

/** Bytes of a point: its u-coordinate, little-endian. @see RFC 7748 §5 */
export const POINT_BYTES = 32;

const P = 2n ** 255n - 19n;
const A = 486662n;
const FIELD = ed25519.Point.Fp;
/** u of the points of order 1, 2, 4 and 8, of the curve and of its twist. @see RFC 7748 §7 */
export const LOW_ORDER_U: readonly bigint[] = [
  0n,
  1n,
  P - 1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
];

/** @see CurvePrimitive */
export const nobleCurve: CurvePrimitive = {
  engine: 'noble',
  hashToCurve(tag, messages, messageBytes, count) {
    const out = new Uint8Array(count * POINT_BYTES);
    for (let i = 0; i < count; i++) {
      const message = messages.subarray(i * messageBytes, (i + 1) * messageBytes);
      out.set(hashOne(tag, message, i), i * POINT_BYTES);
    }
    return out;
  },
  multiply(scalar, points) {
    const out = new Uint8Array(points.length);
    for (let at = 0; at < points.length; at += POINT_BYTES) {
      const point = points.subarray(at, at + POINT_BYTES);
      try {
        out.set(x25519.scalarMult(scalar, point), at);
      } catch {
        throw new ProtocolError('point-invalid', `point ${at / POINT_BYTES} is of low order`);
      }
    }
    return out;
  },
  multiplyOne: oneByOne((scalar, point) => nobleCurve.multiply(scalar, point)),
  requirePoints(points) {
    for (let at = 0; at < points.length; at += POINT_BYTES) {
      const u = littleEndian(points.subarray(at, at + POINT_BYTES));
      if (u >= P || LOW_ORDER_U.includes(u) || !isOnCurve(u)) {
        throw new ProtocolError('point-invalid', `point ${at / POINT_BYTES} is not acceptable`);
      }
    }
  },
  fromRepresentatives,
  toRepresentatives,
};

/** `multiplyOne` by a `multiply`. */
export function oneByOne(multiply: CurvePrimitive['multiply']): CurvePrimitive['multiplyOne'] {
  return (scalars, point) => {
    const out = new Uint8Array(scalars.length);
    for (let at = 0; at < scalars.length; at += POINT_BYTES) {
      out.set(multiply(scalars.subarray(at, at + POINT_BYTES), point), at);
    }
    return out;
  };
}

/**
 * The edwards25519 suite with another tag differs from the curve25519 suite by the birational map
 * alone (RFC 9380 §6.8.2), so its point, mapped back, is the one asked for.
 */
function hashOne(tag: Uint8Array, message: Uint8Array, position: number): Uint8Array {
  const point = ed25519_hasher.hashToCurve(message, { DST: tag });
  if (point.is0()) {
    throw new ProtocolError('point-invalid', `message ${position} hashes to the identity`);
  }
  return ed25519.utils.toMontgomery(point.toBytes());
}

/** v² = u³ + A·u² + u has a solution. */
function isOnCurve(u: bigint): boolean {
  const square = FIELD.mul(FIELD.add(FIELD.mul(FIELD.add(u, A), u), 1n), u);
  return FIELD.pow(square, (P - 1n) / 2n) === 1n;
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return value;
}
