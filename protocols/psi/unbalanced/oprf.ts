/**
 * An oblivious pseudorandom function over X25519, by u-coordinates alone: F(x) = H2(k · H1(x)), where
 * H1 hashes an element to the curve and H2 is SHA-256 of the result's u, cut. The server has k; the
 * client asks for k · (r · H1(x)) and takes r off again, so the server sees no x and the client gets
 * nothing but F(x). Why that holds: the README beside this file.
 */
import { invert } from '@noble/curves/abstract/modular.js';
import { concatBytes, releaseBytes } from '../../common/bytes.ts';
import type { CurvePrimitive, HashPrimitive } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { blindElements, blindingSecret, SECRET_BYTES } from '../blind.ts';
import { POINT_BYTES } from '../params.ts';

/** Bytes of an output as it is kept and compared; a filter knows only its first bits. */
export const OUTPUT_BYTES = 12;
const OUTPUT_TAG: Uint8Array = new TextEncoder().encode('weir-psi-oprf-v1');

/** Order of the prime group. @see RFC 7748 §4.1 */
const ORDER = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;
const COFACTOR = 8n;
/** Members of a class mod the order among the clamped scalars, which lie from 2^254 to 2^255. */
const LIFTS: readonly bigint[] = [4n, 5n, 6n, 7n];
/** As many more bytes than the order has make a number mod it uniform. */
const WIDE_BYTES = 48;

/** What the client blinds with and takes the blind off by. Both secret, of one run, then wiped. */
export interface BlindingPair {
  readonly secret: Uint8Array;
  readonly inverse: Uint8Array;
}

/**
 * A clamped r and a clamped r' with r · r' ≡ ±1 mod the order q: X25519 takes clamped scalars only, and
 * u does not tell a point from its negative. For every r there is one: with s = r^−1 mod q, the numbers
 * s + 4q … s + 7q lie in the range of clamped scalars, and q ≡ 5 mod 8, so one of them is a multiple of
 * 8 where s ≡ 2, 4, 5 or 7 mod 8; of those of q − s one is where s ≡ 0, 1, 3 or 6. (Beyond the range's
 * end lies a fraction of 2^−124 of them.) So no r is thrown away, and r is as any blinding secret.
 * @param randomBytes - fresh bytes; fixed only in vectors.
 */
export function blindingPair(randomBytes: (count: number) => Uint8Array): BlindingPair {
  const secret = blindingSecret(randomBytes(SECRET_BYTES));
  // What is inverted, in a time that depends on it, is uniform whatever the secret is.
  const mask = (littleEndian(randomBytes(WIDE_BYTES)) % (ORDER - 1n)) + 1n;
  const inverse = (mask * invert((littleEndian(secret) * mask) % ORDER, ORDER)) % ORDER;
  const lifts = [inverse, ORDER - inverse].flatMap((root) => LIFTS.map((j) => root + j * ORDER));
  const lift = lifts.find((candidate) => candidate % COFACTOR === 0n && candidate >> 254n === 1n);
  if (lift !== undefined) return { secret, inverse: scalarBytes(lift) };
  secret.fill(0);
  throw new ProtocolError('parameter-invalid', 'a blinding secret without a clamped inverse');
}

/**
 * Server: F of its own elements.
 *
 * Secret: `elements`, `key`, and what comes out, which says of a guessed element whether it is there.
 * @returns count × `OUTPUT_BYTES`, in the order of the elements.
 */
export function deriveOutputs(
  { curve, hash }: { readonly curve: CurvePrimitive; readonly hash: HashPrimitive },
  elements: Uint8Array,
  key: Uint8Array,
): Uint8Array {
  const points = blindElements(curve, elements, key);
  const outputs = hashPoints(hash, points);
  releaseBytes(points);
  return outputs;
}

/**
 * Server: the client's blinded points under its key, whole.
 * @param points - count × `POINT_BYTES`, untrusted.
 * @throws ProtocolError `point-invalid`
 */
export function evaluateBlinded(
  curve: CurvePrimitive,
  points: Uint8Array,
  key: Uint8Array,
): Uint8Array {
  curve.requirePoints(points);
  return curve.multiply(key, points);
}

/**
 * Client: F of its elements, from the server's answers.
 * @param points - count × `POINT_BYTES`, untrusted.
 * @param inverse - of the pair that blinded them. Secret.
 * @returns count × `OUTPUT_BYTES`, in the order of the points.
 * @throws ProtocolError `point-invalid`
 */
export function finalizeOutputs(
  { curve, hash }: { readonly curve: CurvePrimitive; readonly hash: HashPrimitive },
  points: Uint8Array,
  inverse: Uint8Array,
): Uint8Array {
  curve.requirePoints(points);
  const unblinded = curve.multiply(inverse, points);
  const outputs = hashPoints(hash, unblinded);
  releaseBytes(unblinded);
  return outputs;
}

/** Where the heavy steps run: in place, or spread over threads. */
export interface OprfEngine {
  /** Batches worth having under way at once. */
  readonly parallel: number;
  /** The elements may be used up. @see deriveOutputs */
  derive(elements: Uint8Array, key: Uint8Array): Promise<Uint8Array>;
  /** The points may be used up. @see evaluateBlinded */
  evaluate(points: Uint8Array, key: Uint8Array): Promise<Uint8Array>;
  /** The points may be used up. @see finalizeOutputs */
  finalize(points: Uint8Array, inverse: Uint8Array): Promise<Uint8Array>;
  sha256(message: Uint8Array): Uint8Array;
}

function hashPoints(hash: HashPrimitive, points: Uint8Array): Uint8Array {
  const count = points.length / POINT_BYTES;
  const out = new Uint8Array(count * OUTPUT_BYTES);
  for (let i = 0; i < count; i++) {
    const point = points.subarray(i * POINT_BYTES, (i + 1) * POINT_BYTES);
    const digest = hash.sha256(concatBytes([OUTPUT_TAG, point]));
    out.set(digest.subarray(0, OUTPUT_BYTES), i * OUTPUT_BYTES);
  }
  return out;
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return value;
}

function scalarBytes(scalar: bigint): Uint8Array {
  const out = new Uint8Array(SECRET_BYTES);
  for (let i = 0; i < SECRET_BYTES; i++) out[i] = Number((scalar >> BigInt(8 * i)) & 0xffn);
  return out;
}
