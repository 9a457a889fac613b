/** Gateway: adds the holders' ciphertexts without any key. */
import { addCiphertext } from '../common/bgv-ciphertext.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { type FramePlace, parseFrame } from './messages.ts';
import { ADDENDS_MAX, sealedSumParameters } from './params.ts';

/**
 * The sum of frames for one place: of some holders, or of a sum so far and further holders. That
 * every holder is in it once is the caller's matter, and the tags' in the end.
 * @param frames - at least one; they stay as they are.
 * @throws ProtocolError `ciphertext-invalid` for any frame that is not exactly what is due;
 * `parameter-invalid` for no frames, or more than there can be addends.
 * Leaks nothing: every plaintext is uniformly masked and encrypted, even to the key's owner.
 */
export function addFrames(
  place: FramePlace,
  frames: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const [first, ...others] = frames;
  if (first === undefined || frames.length > ADDENDS_MAX)
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
