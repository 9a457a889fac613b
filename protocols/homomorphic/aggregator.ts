/** Gateway: adds the holders' ciphertexts without any key. */
import { addCiphertext } from '../common/bgv-ciphertext.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { type FramePlace, parseFrame } from './messages.ts';
import { sealedSumParameters } from './params.ts';

/**
 * The sum of every holder's frame for one place.
 * @param frames - one of each holder, as many as the vector has addends.
 * @throws ProtocolError `ciphertext-invalid` for any frame that is not exactly what is due;
 * `parameter-invalid` for another number of frames.
 * Leaks nothing: every plaintext is uniformly masked and encrypted, even to the key's owner.
 */
export function addFrames(
  place: FramePlace,
  frames: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const [first, ...others] = frames;
  if (first === undefined || frames.length !== place.vector.addends)
    throw new ProtocolError('parameter-invalid', `${frames.length} frames to add`);
  // A copy, so that the inputs stay as they are and the words are aligned.
  const sum = new Uint8Array(first);
  const targets = parseFrame(place, sum);
  const parameters = sealedSumParameters(place.residue);
  for (const frame of others)
    parseFrame(place, frame).forEach((ciphertext, index) => {
      const target = targets[index];
      if (target !== undefined) addCiphertext(parameters, target, ciphertext);
    });
  return sum;
}
