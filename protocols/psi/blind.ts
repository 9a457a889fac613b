/**
 * The heavy steps, each a batch in and a batch out: what runs on worker threads. Elements become
 * points, own points are blinded, received points are checked and blinded a second time.
 */
import { releaseBytes } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { CurvePrimitive } from '../common/primitives.ts';
import { ELEMENT_BYTES } from './element.ts';
import { EVALUATED_BYTES, HASH_TAG, POINT_BYTES } from './params.ts';
import { resizeRecords } from './records.ts';

export const SECRET_BYTES = 32;

/**
 * Clamps 32 random bytes into a blinding scalar. Clamped scalars are multiples of 8 and none is a
 * multiple of the group's order: a blind is injective on the points hashes give, and erases
 * whatever low-order part a received point may carry.
 * @see RFC 7748 §5
 */
export function blindingSecret(random: Uint8Array): Uint8Array {
  const secret = random.slice(0, SECRET_BYTES);
  if (secret.length !== SECRET_BYTES) {
    throw new ProtocolError('length-wrong', `a blinding secret needs ${SECRET_BYTES} random bytes`);
  }
  secret[0] = (secret[0] ?? 0) & 0b1111_1000;
  secret[31] = ((secret[31] ?? 0) & 0b0111_1111) | 0b0100_0000;
  return secret;
}

/**
 * Own elements, hashed to the curve and blinded.
 *
 * Secret: `elements` and `secret`; what comes out may leave the party.
 * @param elements - count × `ELEMENT_BYTES`.
 * @returns count × `POINT_BYTES`, in the order of the elements.
 */
export function blindElements(
  curve: CurvePrimitive,
  elements: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const count = elements.length / ELEMENT_BYTES;
  const points = curve.hashToCurve(HASH_TAG, elements, ELEMENT_BYTES, count);
  const blinded = curve.multiply(secret, points);
  releaseBytes(points);
  return blinded;
}

/**
 * A peer's points, checked and blinded a second time, cut to `EVALUATED_BYTES` each.
 * @param points - count × `POINT_BYTES`, untrusted.
 * @throws ProtocolError `point-invalid`
 */
export function evaluatePoints(
  curve: CurvePrimitive,
  points: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  curve.requirePoints(points);
  const blinded = curve.multiply(secret, points);
  const out = resizeRecords(blinded, POINT_BYTES, EVALUATED_BYTES);
  releaseBytes(blinded);
  return out;
}

/** Where the heavy steps run: in place, or spread over threads. */
export interface PsiEngine {
  /** Batches worth having under way at once. */
  readonly parallel: number;
  /** The elements may be used up. @see blindElements */
  blind(elements: Uint8Array, secret: Uint8Array): Promise<Uint8Array>;
  /** The points may be used up. @see evaluatePoints */
  evaluate(points: Uint8Array, secret: Uint8Array): Promise<Uint8Array>;
}

/** Runs the steps on the calling thread. */
export function inPlaceEngine(curve: CurvePrimitive): PsiEngine {
  return {
    parallel: 1,
    blind: async (elements, secret) => blindElements(curve, elements, secret),
    evaluate: async (points, secret) => evaluatePoints(curve, points, secret),
  };
}
