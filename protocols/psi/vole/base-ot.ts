/**
 * Base oblivious transfers: endemic OT of Masny and Rindal from key agreement, with X25519 keys whose
 * bytes are uniform (Elligator 2). Of each pair of 32-byte strings the chooser made one from a key
 * and drew the other; each is masked with the hash of the other, so nobody can make both, and both
 * orders look alike. One key of the offerer serves all pairs; every key derived is bound to the
 * session, to the place and to both strings.
 *
 * The chooser's bits are hidden statistically: clamped scalars give every u-coordinate of the prime
 * subgroup equally often (but for 2^−126), the point of low order added to it makes it any of the
 * curve, and the string of such a point is uniform. The string not chosen is a random point to the
 * chooser, so the other key costs it a computational Diffie–Hellman problem, in the random-oracle
 * model.
 * @see Masny, Rindal: Endemic Oblivious Transfer, CCS 2019, §4 (IACR ePrint 2019/706)
 */
import { lengthPrefixed, viewOf } from '../../common/bytes.ts';
import { POINT_BYTES } from '../../common/noble-curve.ts';
import type { Primitives } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';

/** Bytes of a chooser's message for one transfer: two strings. */
export const PAIR_BYTES = 2 * POINT_BYTES;
/** Bytes of a key that comes out. */
export const OT_KEY_BYTES = 32;
/** Half of all keys have no representative: each drawing fails a missing one with 1/4 or less. */
const DRAWINGS_MAX = 64;

type OtPrimitives = Pick<Primitives, 'hash' | 'curve'>;
type RandomBytes = (count: number) => Uint8Array;

/** The offerer's key. `secret` is dropped when the keys are derived. */
export interface OtOffer {
  readonly secret: Uint8Array;
  /** 32 bytes, the message to the chooser. */
  readonly point: Uint8Array;
}

/** Draws the offerer's key for one session. */
export function offerTransfers(primitives: OtPrimitives, randomBytes: RandomBytes): OtOffer {
  const secret = randomBytes(POINT_BYTES);
  const base = new Uint8Array(POINT_BYTES);
  base[0] = 9;
  return { secret, point: primitives.curve.multiply(secret, base) };
}

/**
 * The chooser's part.
 *
 * Secret: `choices`, `keys`.
 * @param session - names the session, the same on both sides.
 * @param choices - one bit a transfer, from the lowest bit of the first byte.
 * @returns `message`: `PAIR_BYTES` a transfer; `keys`: `OT_KEY_BYTES` a transfer.
 * @throws ProtocolError `length-wrong`, `point-invalid` for an offer that is no point of the curve
 *   or of low order
 */
export function chooseTransfers(
  primitives: OtPrimitives,
  randomBytes: RandomBytes,
  session: Uint8Array,
  offer: Uint8Array,
  choices: Uint8Array,
): { message: Uint8Array; keys: Uint8Array } {
  requireBytes(offer, POINT_BYTES);
  primitives.curve.requirePoints(offer);
  const count = choices.length * 8;
  const { secrets, strings } = drawKeys(primitives, randomBytes, count);
  const message = randomBytes(count * PAIR_BYTES);
  const keys = new Uint8Array(count * OT_KEY_BYTES);
  for (let i = 0; i < count; i++) {
    const bit = ((choices[i >> 3] ?? 0) >> (i & 7)) & 1;
    const pair = message.subarray(i * PAIR_BYTES, (i + 1) * PAIR_BYTES);
    const mask = maskOf(primitives, session, i, bit, half(pair, 1 - bit));
    const string = strings.subarray(i * POINT_BYTES, (i + 1) * POINT_BYTES);
    half(pair, bit).set(string.map((byte, at) => byte ^ (mask[at] ?? 0)));
    const secret = secrets.subarray(i * POINT_BYTES, (i + 1) * POINT_BYTES);
    const shared = primitives.curve.multiply(secret, offer);
    keys.set(keyOf(primitives, session, offer, pair, i, bit, shared), i * OT_KEY_BYTES);
  }
  secrets.fill(0);
  return { message, keys };
}

/**
 * The offerer's part: both keys of every transfer.
 * @returns two lists of `OT_KEY_BYTES` a transfer, by the bit they belong to. Secret.
 * @throws ProtocolError `length-wrong`, `point-invalid` where a string stands for a point of low order
 */
export function deriveTransfers(
  primitives: OtPrimitives,
  session: Uint8Array,
  offer: OtOffer,
  message: Uint8Array,
  count: number,
): readonly [Uint8Array, Uint8Array] {
  requireBytes(message, count * PAIR_BYTES);
  const keys = [0, 1].map((bit) => {
    const strings = new Uint8Array(count * POINT_BYTES);
    for (let i = 0; i < count; i++) {
      const pair = message.subarray(i * PAIR_BYTES, (i + 1) * PAIR_BYTES);
      const mask = maskOf(primitives, session, i, bit, half(pair, 1 - bit));
      const string = half(pair, bit).map((byte, at) => byte ^ (mask[at] ?? 0));
      strings.set(string, i * POINT_BYTES);
    }
    const points = primitives.curve.fromRepresentatives(strings);
    const shared = primitives.curve.multiply(offer.secret, points);
    const out = new Uint8Array(count * OT_KEY_BYTES);
    for (let i = 0; i < count; i++) {
      const pair = message.subarray(i * PAIR_BYTES, (i + 1) * PAIR_BYTES);
      const point = shared.subarray(i * POINT_BYTES, (i + 1) * POINT_BYTES);
      out.set(keyOf(primitives, session, offer.point, pair, i, bit, point), i * OT_KEY_BYTES);
    }
    return out;
  });
  offer.secret.fill(0);
  const [zeros, ones] = keys;
  if (zeros === undefined || ones === undefined) throw new Error('two lists were just made');
  return [zeros, ones];
}

/** Keys that have a representative, with it: whether they have one is independent of the choices. */
function drawKeys(
  primitives: OtPrimitives,
  randomBytes: RandomBytes,
  count: number,
): { secrets: Uint8Array; strings: Uint8Array } {
  const secrets = new Uint8Array(count * POINT_BYTES);
  const strings = new Uint8Array(count * POINT_BYTES);
  const base = new Uint8Array(POINT_BYTES);
  base[0] = 9;
  let done = 0;
  for (let drawing = 0; done < count && drawing < DRAWINGS_MAX; drawing++) {
    const tries = 2 * (count - done);
    const drawn = randomBytes(tries * POINT_BYTES);
    const points = new Uint8Array(tries * POINT_BYTES);
    for (let i = 0; i < tries; i++) {
      const at = i * POINT_BYTES;
      points.set(primitives.curve.multiply(drawn.subarray(at, at + POINT_BYTES), base), at);
    }
    const made = primitives.curve.toRepresentatives(points, randomBytes(tries));
    for (let i = 0; i < tries && done < count; i++) {
      if (made.found[i] !== 1) continue;
      const at = i * POINT_BYTES;
      secrets.set(drawn.subarray(at, at + POINT_BYTES), done * POINT_BYTES);
      strings.set(made.strings.subarray(at, at + POINT_BYTES), done * POINT_BYTES);
      done += 1;
    }
    drawn.fill(0);
  }
  if (done < count) throw new ProtocolError('parameter-invalid', 'the random bytes are not random');
  return { secrets, strings };
}

function half(pair: Uint8Array, bit: number): Uint8Array {
  return pair.subarray(bit * POINT_BYTES, (bit + 1) * POINT_BYTES);
}

/** The mask on the string of `bit`: the random oracle at the other string. */
function maskOf(
  primitives: OtPrimitives,
  session: Uint8Array,
  index: number,
  bit: number,
  other: Uint8Array,
): Uint8Array {
  return primitives.hash.sha256(
    lengthPrefixed(['weir vole base-ot mask', session, place(index, bit), other]),
  );
}

function keyOf(
  primitives: OtPrimitives,
  session: Uint8Array,
  offer: Uint8Array,
  pair: Uint8Array,
  index: number,
  bit: number,
  shared: Uint8Array,
): Uint8Array {
  return primitives.hash.sha256(
    lengthPrefixed(['weir vole base-ot key', session, place(index, bit), offer, pair, shared]),
  );
}

function place(index: number, bit: number): Uint8Array {
  const out = new Uint8Array(8);
  viewOf(out).setUint32(0, index);
  viewOf(out).setUint32(4, bit);
  return out;
}

function requireBytes(message: Uint8Array, sizeBytes: number): void {
  if (message.length !== sizeBytes) {
    throw new ProtocolError('length-wrong', `a base OT message has ${sizeBytes} bytes`);
  }
}
