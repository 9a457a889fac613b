/** Holder: encodes, masks and encrypts its cells, frame by frame. */
import type { BgvEncryptor } from '../common/bgv.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { tagsOf } from './check-tags.ts';
import type { MaskPeer } from './masks.ts';
import { addMask, labelledStream, writeReduced } from './masks.ts';
import { allocateFrame, ciphertextsAt, ciphertextSlot, type FramePlace } from './messages.ts';
import {
  CELLS_PER_FRAME,
  CHECK_SLOTS,
  DEGREE,
  PAYLOAD_SLOTS,
  sealedSumParameters,
} from './params.ts';
import { encodeResidues } from './residue-codec.ts';

export interface SealInput {
  readonly place: FramePlace;
  /** The lanes of this frame's cells alone: `lanesOfFrame` says which. */
  readonly lanes: Uint8Array;
  /** Every other party of the descriptor, each once. */
  readonly peers: readonly MaskPeer[];
  /** Secret from the gateway; known to the holders and the recipient. */
  readonly tagKey: Uint8Array;
  /** True at one party of the run: it adds the tags' pads. */
  readonly isFirst: boolean;
  /** Binds masks and tags to exactly this run, attempt and party set. */
  readonly descriptorHash: Uint8Array;
}

/** Which lanes of the vector a frame carries: bytes `start..end`. */
export function lanesOfFrame(place: FramePlace): { readonly start: number; readonly end: number } {
  const { cells, laneBytes } = place.vector;
  const first = place.frame * CELLS_PER_FRAME;
  return {
    start: first * laneBytes,
    end: Math.min(cells, first + CELLS_PER_FRAME) * laneBytes,
  };
}

/**
 * Round 1, the only one: this holder's cells, clamped to the agreed bounds, as fresh encryptions
 * of uniformly masked residues under the recipient's public key.
 *
 * Secret: `lanes`, the peers' keys and `tagKey` stay here.
 * @returns the frame for the gateway.
 * @throws ProtocolError `length-wrong`, `headroom-exceeded`, `parameter-invalid`
 * Leaks: the number of cells. Cost: one encryption per 4094 cells.
 */
export function sealFrame(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  encryptor: BgvEncryptor,
  input: SealInput,
): Uint8Array<ArrayBuffer> {
  const { place, peers } = input;
  const { vector } = place;
  const { plainModulus } = sealedSumParameters(place.residue);
  const modulus = Number(plainModulus);
  const words = laneWords(input);
  if (peers.length < 1 || peers.length >= vector.addends)
    throw new ProtocolError('parameter-invalid', 'every other party of the run needs a mask key');
  const masks = peers.map(({ sign, secret }) => ({
    sign,
    stream: labelledStream(primitives, 'mask', secret, input.descriptorHash, place),
  }));
  const tagStream = labelledStream(primitives, 'tag', input.tagKey, input.descriptorHash, place);
  const cells = (words.length * 4) / vector.laneBytes;
  const residues = new Float64Array(DEGREE);
  const slots = new BigUint64Array(DEGREE);
  const frame = allocateFrame(place);
  for (let index = 0; index < ciphertextsAt(place); index++) {
    const from = index * PAYLOAD_SLOTS;
    const count = Math.min(PAYLOAD_SLOTS, cells - from);
    encodeResidues(vector, words, from, count, modulus, residues);
    residues.fill(0, count, DEGREE);
    const tags = tagsOf(tagStream, residues, plainModulus, input.isFirst);
    residues.set(tags, DEGREE - CHECK_SLOTS);
    for (const { sign, stream } of masks) addMask(stream, modulus, sign, residues);
    writeReduced(residues, modulus, slots);
    encryptor.encrypt(slots, ciphertextSlot(frame, index));
  }
  residues.fill(0);
  return frame;
}

function laneWords(input: SealInput): Int32Array {
  const { start, end } = lanesOfFrame(input.place);
  if (input.lanes.length !== end - start)
    throw new ProtocolError('length-wrong', `${input.lanes.length} bytes of lanes`);
  const aligned = input.lanes.byteOffset % 4 === 0 ? input.lanes : new Uint8Array(input.lanes);
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}
