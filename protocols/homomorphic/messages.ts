/**
 * The one message of the sealed sum: a frame of up to sixteen ciphertexts of one vector and
 * residue. 64 bytes of header, then bare residues. All integers little-endian.
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 8 | `WEIRSUM1` |
 * | 8 | 2 | vector |
 * | 10 | 2 | residue |
 * | 12 | 4 | frame |
 * | 16 | 4 | ciphertexts in this frame |
 * | 20 | 4 | cells of the vector |
 * | 24 | 8 | zero |
 * | 32 | 32 | identifier of the parameters |
 */
import type { Ciphertext } from '../common/bgv.ts';
import { checkCiphertext, ciphertextSizeBytes, parametersId } from '../common/bgv-ciphertext.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { SealedVector } from './headroom.ts';
import { residueCount } from './headroom.ts';
import {
  CIPHERTEXTS_PER_FRAME,
  ciphertextCount,
  frameCount,
  sealedSumParameters,
  VECTORS_MAX,
} from './params.ts';

export const FRAME_HEADER_BYTES = 64;
const MAGIC = new TextEncoder().encode('WEIRSUM1');

/** Which frame of which vector. */
export interface FramePlace {
  readonly vector: SealedVector;
  readonly residue: number;
  readonly frame: number;
}

/** @throws ProtocolError `parameter-invalid` for a place that the vector does not have. */
export function ciphertextsAt(place: FramePlace): number {
  const { vector, residue, frame } = place;
  if (
    vector.vector < 0 ||
    vector.vector >= VECTORS_MAX ||
    residue < 0 ||
    residue >= residueCount(vector) ||
    frame < 0 ||
    frame >= frameCount(vector.cells)
  )
    throw new ProtocolError('parameter-invalid', 'no such frame');
  const before = frame * CIPHERTEXTS_PER_FRAME;
  return Math.min(CIPHERTEXTS_PER_FRAME, ciphertextCount(vector.cells) - before);
}

/** Bytes of a place's frame. */
export function frameBytes(place: FramePlace): number {
  const parameters = sealedSumParameters(place.residue);
  return FRAME_HEADER_BYTES + ciphertextsAt(place) * ciphertextSizeBytes(parameters);
}

/** A frame with its header written and room for its ciphertexts. */
export function allocateFrame(place: FramePlace): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(frameBytes(place));
  frame.set(headerOf(place));
  return frame;
}

/** The bytes of one ciphertext within a frame. */
export function ciphertextSlot(frame: Uint8Array, index: number): Uint8Array {
  const size = ciphertextSizeBytes(sealedSumParameters(0));
  const start = FRAME_HEADER_BYTES + index * size;
  return frame.subarray(start, start + size);
}

/**
 * Accepts a peer's frame: exact length, exact header, every residue in range; before anything
 * native sees a byte of it. Truncated, oversized, compressed, seeded and foreign ciphertexts all
 * differ in length, header or range.
 * @returns views into `bytes`.
 * @throws ProtocolError `ciphertext-invalid`
 */
export function parseFrame(place: FramePlace, bytes: Uint8Array): readonly Ciphertext[] {
  const parameters = sealedSumParameters(place.residue);
  const count = ciphertextsAt(place);
  const expected = frameBytes(place);
  if (bytes.length !== expected)
    throw new ProtocolError(
      'ciphertext-invalid',
      `${bytes.length} bytes where ${expected} are due`,
    );
  headerOf(place).forEach((byte, offset) => {
    if (bytes[offset] !== byte)
      throw new ProtocolError('ciphertext-invalid', `frame header differs at byte ${offset}`);
  });
  return Array.from({ length: count }, (_, index) =>
    checkCiphertext(parameters, ciphertextSlot(bytes, index)),
  );
}

function headerOf(place: FramePlace): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(MAGIC);
  view.setUint16(8, place.vector.vector, true);
  view.setUint16(10, place.residue, true);
  view.setUint32(12, place.frame, true);
  view.setUint32(16, ciphertextsAt(place), true);
  view.setUint32(20, place.vector.cells, true);
  header.set(parametersId(sealedSumParameters(place.residue), 'data'), 32);
  return header;
}
