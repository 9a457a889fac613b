/** Recipient: opens the added ciphertexts; nobody else can. */
import type { BgvDecryptor } from '../common/bgv.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { verifyTags } from './check-tags.ts';
import { residueCount, type SealedVector } from './headroom.ts';
import { labelledStream } from './masks.ts';
import { parseFrame } from './messages.ts';
import { CELLS_PER_FRAME, DEGREE, PAYLOAD_SLOTS, sealedSumParameters } from './params.ts';
import { decodeResidues } from './residue-codec.ts';

export interface OpenInput {
  readonly vector: SealedVector;
  readonly frame: number;
  /** The sums of this frame, one per residue. */
  readonly sums: readonly Uint8Array[];
  readonly tagKey: Uint8Array;
  readonly descriptorHash: Uint8Array;
}

/**
 * Opens one frame of the sum: checks every byte before the library sees it, decrypts, verifies
 * the tags of every ciphertext, and only then puts the residues together.
 *
 * Secret: the decryptors hold the secret key.
 * @param decryptors - one per residue.
 * @returns the summed lanes of the frame's cells.
 * @throws ProtocolError `ciphertext-invalid` before load; `decryption-failed` for a wrong key, a
 * changed sum or another run's ciphertexts.
 */
export function openFrame(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  decryptors: readonly BgvDecryptor[],
  input: OpenInput,
): Uint8Array<ArrayBuffer> {
  const { vector, frame } = input;
  const residues = residueCount(vector);
  if (decryptors.length < residues || input.sums.length !== residues)
    throw new ProtocolError('length-wrong', `${residues} residues are due`);
  const cells = Math.min(CELLS_PER_FRAME, vector.cells - frame * CELLS_PER_FRAME);
  const opened = input.sums.map((sum, residue) => {
    const decryptor = decryptors[residue];
    const place = { vector, residue, frame };
    const ciphertexts = parseFrame(place, sum);
    const { plainModulus } = sealedSumParameters(residue);
    const tagStream = labelledStream(primitives, 'tag', input.tagKey, input.descriptorHash, place);
    const values = new Float64Array(ciphertexts.length * PAYLOAD_SLOTS);
    const slots = new Float64Array(DEGREE);
    ciphertexts.forEach((ciphertext, index) => {
      if (decryptor === undefined) return;
      readSlots(decryptor.decrypt(ciphertext), slots);
      verifyTags(tagStream, slots, plainModulus);
      values.set(slots.subarray(0, PAYLOAD_SLOTS), index * PAYLOAD_SLOTS);
    });
    return values;
  });
  return decodeResidues(vector, opened, cells);
}

function readSlots(words64: BigUint64Array<ArrayBuffer>, slots: Float64Array): void {
  const words = new Uint32Array(words64.buffer, words64.byteOffset, words64.length * 2);
  for (let slot = 0; slot < DEGREE; slot++)
    slots[slot] = (words[slot * 2 + 1] as number) * 0x1_0000_0000 + (words[slot * 2] as number);
}
