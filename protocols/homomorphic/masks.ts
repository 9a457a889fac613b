/**
 * Pairwise masks inside the plaintext: uniform mod t, added by one party and subtracted by the
 * other, so that whoever opens a single ciphertext sees uniform numbers and only the sum means
 * anything. After Bonawitz et al., CCS 2017, over Z_t instead of Z_2^64.
 */
import { lengthPrefixed } from '../common/bytes.ts';
import type { KeyStream, Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { FramePlace } from './messages.ts';
import { DEGREE } from './params.ts';

/** Upper parts of four bits in a word. */
const NIBBLES = 8;
const MASK_BYTES = DEGREE * 4 + (DEGREE / NIBBLES) * 4;
const BLOCK_BYTES = 16;
/** Each draw fails with a probability below 2^−17: a sound stream never comes near. */
const REDRAWS_MAX = 64;
const WORD32 = 0x1_0000_0000;
const INVERSE_WORD32 = 1 / WORD32;
/** Bits of the upper word that a 36-bit candidate uses. */
const UPPER_MASK = 0xf;
const KEY_BYTES = 32;
const LABEL = 'weir/sealed-sum/v1/';

/** What this party shares with another one: from the ephemeral keys of the run's descriptor. */
export interface MaskPeer {
  /** The party earlier in the descriptor adds, the later one subtracts. */
  readonly sign: 1 | -1;
  /** Secret of this run, attempt and pair. */
  readonly secret: Uint8Array;
}

/**
 * The key stream for one purpose, vector, residue and frame: no two share a key and segment, so
 * none is ever used twice. `secret` belongs to one run, which binds all its streams to that run.
 */
export function labelledStream(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  purpose: 'mask' | 'tag',
  secret: Uint8Array,
  descriptorHash: Uint8Array,
  place: FramePlace,
): KeyStream {
  const { vector, residue, frame } = place;
  const info = lengthPrefixed([LABEL + purpose, Uint8Array.of(vector.vector, residue)]);
  const key = primitives.hash.hkdfSha256(secret, descriptorHash, info, KEY_BYTES);
  return primitives.stream.open(key, frame);
}

/**
 * Adds (or subtracts) one uniform mask in [0, t) to every slot of a plaintext, by rejection. Each
 * plaintext takes 4096 32-bit words of the stream, the lower parts, and 512 more, whose nibbles are
 * the upper ones: 36 bits a slot. For each that is not below t follow the next blocks of the stream,
 * slot by slot. Every residue is exactly equally likely, and both parties drop the same candidates.
 * @param slots - changed in place and not reduced: whoever adds all masks reduces once.
 * @throws ProtocolError `parameter-invalid` where t is not a 36-bit number.
 */
export function addMask(
  stream: KeyStream,
  plainModulus: number,
  sign: 1 | -1,
  slots: Float64Array,
): void {
  if (plainModulus >= 2 ** 36 || plainModulus <= 2 ** 35)
    throw new ProtocolError('parameter-invalid', 'the mask sampler is made for 36-bit moduli');
  const words = wordsOf(stream.next(MASK_BYTES));
  const rejected: number[] = [];
  for (let slot = 0, nibblesAt = DEGREE; slot < DEGREE; nibblesAt++) {
    let nibbles = words[nibblesAt] as number;
    for (const end = slot + NIBBLES; slot < end; slot++) {
      const mask = (nibbles & UPPER_MASK) * WORD32 + (words[slot] as number);
      nibbles >>>= 4;
      if (mask < plainModulus) slots[slot] = (slots[slot] as number) + sign * mask;
      else rejected.push(slot);
    }
  }
  for (const slot of rejected)
    slots[slot] = (slots[slot] as number) + sign * redraw(stream, plainModulus);
}

/**
 * Masked integers of at most 2^46 as slots in [0, t). Half a unit keeps the quotient clear of
 * rounding at the multiples of t, and no branch depends on a value.
 */
export function writeReduced(
  masked: Float64Array,
  plainModulus: number,
  slots: BigUint64Array<ArrayBuffer>,
): void {
  const inverse = 1 / plainModulus;
  const words = new Int32Array(slots.buffer, slots.byteOffset, DEGREE * 2);
  for (let slot = 0, at = 0; slot < DEGREE; slot++, at += 2) {
    const value = masked[slot] as number;
    const reduced = value - Math.floor((value + 0.5) * inverse) * plainModulus;
    const high = Math.floor(reduced * INVERSE_WORD32);
    words[at] = reduced - high * WORD32;
    words[at + 1] = high;
  }
}

function redraw(stream: KeyStream, plainModulus: number): number {
  for (let draw = 0; draw < REDRAWS_MAX; draw++) {
    const [low = 0, high = 0] = wordsOf(stream.next(BLOCK_BYTES));
    const mask = (high & UPPER_MASK) * WORD32 + low;
    if (mask < plainModulus) return mask;
  }
  throw new ProtocolError('parameter-invalid', 'a key stream that never gives a mask');
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}
