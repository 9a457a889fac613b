/**
 * VOLE of a few elements by oblivious transfer: what the values of the noise are shared with. For
 * the receiver's elements β the sides get c and c + Δ · β. One base transfer for each bit of Δ.
 * @see Gilboa: Two Party RSA Key Generation, CRYPTO 1999; Keller, Orsini, Scholl: MASCOT, CCS 2016, §3
 */
import { viewOf, xorInto } from '../../common/bytes.ts';
import type { Primitives } from '../../common/primitives.ts';
import { COLUMNS, senderColumns, streamOf } from './ot-extension.ts';

/** x^128 ≡ x^7 + x^2 + x + 1 */
const REDUCTION = 0x87;

/** Bytes of the receiver's message for a vector of `sizeBytes`. */
export function noisyVoleBytes(sizeBytes: number): number {
  return COLUMNS * sizeBytes;
}

/**
 * The receiver's part.
 *
 * Secret: `elements`, `share`.
 * @param keys - both keys of each of 128 base transfers.
 * @param elements - whole elements of 16 bytes.
 * @returns `share`: c.
 */
export function noisyVoleReceiver(
  primitives: Pick<Primitives, 'stream'>,
  keys: readonly [Uint8Array, Uint8Array],
  segment: number,
  elements: Uint8Array,
): { message: Uint8Array; share: Uint8Array } {
  const sizeBytes = elements.length;
  const message = new Uint8Array(noisyVoleBytes(sizeBytes));
  const share = new Uint8Array(sizeBytes);
  for (let j = COLUMNS - 1; j >= 0; j--) {
    const zero = streamOf(primitives, keys[0], j, segment, sizeBytes);
    doubleInPlace(share);
    xorInto(share, zero);
    const sent = message.subarray(j * sizeBytes, (j + 1) * sizeBytes);
    sent.set(zero);
    xorInto(sent, streamOf(primitives, keys[1], j, segment, sizeBytes));
    xorInto(sent, elements);
  }
  return { message, share };
}

/**
 * The sender's part.
 *
 * Secret: all but `message`.
 * @param delta - 16 bytes: its bits in the base transfers.
 * @param keys - the keys it got there.
 * @returns c + Δ · β.
 */
export function noisyVoleSender(
  primitives: Pick<Primitives, 'stream'>,
  delta: Uint8Array,
  keys: Uint8Array,
  segment: number,
  message: Uint8Array,
): Uint8Array {
  const columns = senderColumns(primitives, delta, keys, segment, message);
  const sizeBytes = message.length / COLUMNS;
  const share = new Uint8Array(sizeBytes);
  for (let j = COLUMNS - 1; j >= 0; j--) {
    doubleInPlace(share);
    xorInto(share, columns.subarray(j * sizeBytes, (j + 1) * sizeBytes));
  }
  return share;
}

/** Each element times x. */
function doubleInPlace(elements: Uint8Array): void {
  const view = viewOf(elements);
  for (let at = 0; at < elements.length; at += 16) {
    const a = view.getUint32(at, true);
    const b = view.getUint32(at + 4, true);
    const c = view.getUint32(at + 8, true);
    const d = view.getUint32(at + 12, true);
    view.setUint32(at, (a << 1) ^ (REDUCTION & -(d >>> 31)), true);
    view.setUint32(at + 4, (b << 1) | (a >>> 31), true);
    view.setUint32(at + 8, (c << 1) | (b >>> 31), true);
    view.setUint32(at + 12, (d << 1) | (c >>> 31), true);
  }
}
