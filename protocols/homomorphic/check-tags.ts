/**
 * The check value of each ciphertext: keyed linear tags over its other slots. Decryption under a
 * wrong key gives garbage without an error, and anyone may add to a ciphertext; tags are linear, so
 * those of the holders add up to the tag of the sum, and neither garbage nor an addend by someone
 * without the tag key passes but with probability 2^−44. One holder adds a secret pad to each tag:
 * without it zero would carry the tags of zero, and a sum times a number its tags times that number.
 */
import type { KeyStream } from '../common/primitives.ts';
import { viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { CHECK_SLOTS, PAYLOAD_SLOTS } from './params.ts';

/** Bits of a coefficient: 22 + 18 (half a residue) + 12 (slots) bits stay exact in a double. */
const COEFFICIENT_MASK = 0x3f_ffff;
const HALF = 0x4_0000;
const INVERSE_HALF = 1 / HALF;
const COEFFICIENT_BYTES = Math.ceil((CHECK_SLOTS * PAYLOAD_SLOTS * 4) / 16) * 16;
/** 64 bits a pad: mod t each value is as likely as another but for a 2^−28th. */
const PAD_BYTES = CHECK_SLOTS * 8;

/**
 * The tags of one plaintext: Σ r · x mod t for two secret uniform rows r of 22-bit coefficients.
 * Each row catches a change of any slot with probability 1 − 2^−22, since t is prime.
 * @param stream - keyed by the run's tag key, at this ciphertext's place.
 * @param isPadded - at one holder of the run, and of the sum.
 */
export function tagsOf(
  stream: KeyStream,
  residues: Float64Array,
  plainModulus: bigint,
  isPadded: boolean,
): readonly number[] {
  const bytes = stream.next(COEFFICIENT_BYTES + PAD_BYTES);
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const coefficients = new Int32Array(aligned.buffer, aligned.byteOffset, COEFFICIENT_BYTES / 4);
  const pads = viewOf(bytes.subarray(COEFFICIENT_BYTES));
  let [low0, low1, high0, high1] = [0, 0, 0, 0];
  for (let slot = 0, at = 0; slot < PAYLOAD_SLOTS; slot++, at += CHECK_SLOTS) {
    const residue = residues[slot] as number;
    const upper = Math.floor(residue * INVERSE_HALF);
    const lower = residue - upper * HALF;
    const row0 = (coefficients[at] as number) & COEFFICIENT_MASK;
    const row1 = (coefficients[at + 1] as number) & COEFFICIENT_MASK;
    low0 += row0 * lower;
    high0 += row0 * upper;
    low1 += row1 * lower;
    high1 += row1 * upper;
  }
  const tag = (low: number, high: number, row: number): number => {
    const pad = isPadded ? pads.getBigUint64(row * 8, true) : 0n;
    return Number((BigInt(low) + BigInt(high) * BigInt(HALF) + pad) % plainModulus);
  };
  return [tag(low0, high0, 0), tag(low1, high1, 1)];
}

/**
 * @throws ProtocolError `decryption-failed` where the tags do not match: a wrong key, a wrong
 * ciphertext, another run's, or a sum that someone changed. One code for all of them.
 */
export function verifyTags(stream: KeyStream, slots: Float64Array, plainModulus: bigint): void {
  const expected = tagsOf(stream, slots, plainModulus, true);
  // Not timing-sensitive: the opener alone sees the outcome, and forging needs the tag key.
  if (expected.some((tag, row) => tag !== slots[PAYLOAD_SLOTS + row]))
    throw new ProtocolError('decryption-failed', 'the opened sum does not carry its check value');
}
