/** Recipient of a weighted sum: encrypts its weights, and opens what the holders made of them. */
import type { BgvDecryptor, BgvEncryptor } from '../common/bgv.ts';
import { addCiphertext, checkCiphertext, ciphertextSizeBytes } from '../common/bgv-ciphertext.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import {
  checkPlace,
  valuesAt,
  weightedSumMax,
  WEIGHTS_DEGREE,
  WEIGHTS_PART_SLOTS,
  WEIGHTS_PARTS,
  WEIGHTS_PLAIN_MODULI,
  weightsCiphertextCount,
  weightsParameters,
  weightsResidueCount,
  type WeightsPlace,
  type WeightsShape,
} from './weights-params.ts';
import { weightsTags } from './weights-tags.ts';

/**
 * Encrypts the weights of one place under the recipient's own public key, once for each part.
 *
 * Secret: `weights`.
 * @param weights - outputs × perOutput, output by output; all of the vector.
 * @throws ProtocolError `value-out-of-range` for a weight beyond the agreed bound: refused here, in
 *   the SDK, since under encryption nobody could.
 */
export function encryptWeights(
  encryptor: BgvEncryptor,
  place: WeightsPlace,
  weights: readonly bigint[],
): Uint8Array<ArrayBuffer> {
  const { shape, residue } = place;
  checkPlace(place);
  if (weights.length !== shape.outputs * shape.perOutput)
    throw new ProtocolError('length-wrong', `${weights.length} weights`);
  for (const [at, weight] of weights.entries())
    if (weight > shape.weightMax || weight < -shape.weightMax)
      throw new ProtocolError('value-out-of-range', `weight ${at} is beyond the agreed bound`);
  const parameters = weightsParameters(residue);
  const { start, end } = valuesAt(place);
  const slots = new BigUint64Array(WEIGHTS_DEGREE);
  for (const [at, weight] of weights.slice(start, end).entries()) {
    const reduced = weight % parameters.plainModulus;
    const residueOf = reduced < 0n ? reduced + parameters.plainModulus : reduced;
    for (let part = 0; part < WEIGHTS_PARTS; part++)
      slots[part * WEIGHTS_PART_SLOTS + at] = residueOf;
  }
  const ciphertext = new Uint8Array(ciphertextSizeBytes(parameters));
  try {
    encryptor.encrypt(slots, ciphertext);
  } finally {
    slots.fill(0n);
  }
  return ciphertext;
}

/**
 * Gateway: adds the holders' ciphertexts of one place without any key.
 * @param parts - at least one; they stay as they are.
 * @throws ProtocolError `ciphertext-invalid` for any that is not exactly what is due.
 */
export function addWeighted(
  place: WeightsPlace,
  parts: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const [first, ...others] = parts;
  checkPlace(place);
  if (first === undefined || parts.length > place.shape.holders)
    throw new ProtocolError('parameter-invalid', `${parts.length} ciphertexts to add`);
  const parameters = weightsParameters(place.residue);
  // A copy, so that the inputs stay as they are and the words are aligned.
  const bytes = new Uint8Array(first);
  const sum = checkCiphertext(parameters, bytes);
  for (const part of others) addCiphertext(parameters, sum, checkCiphertext(parameters, part));
  return bytes;
}

export interface OpenWeightedInput {
  readonly shape: WeightsShape;
  /** The holders' ciphertexts added, in the order of `weightsPlaces`. */
  readonly sums: readonly Uint8Array[];
  readonly tagKey: Uint8Array;
  readonly descriptorHash: Uint8Array;
}

/**
 * Opens the outputs: Σ over cells and holders of weight × cell. Everything is opened and every
 * tag verified before the first failure is told: which of them failed makes no difference in time.
 * @param decryptors - one per residue.
 * @throws ProtocolError `ciphertext-invalid` before load; `decryption-failed` for a wrong key, a
 *   changed sum, ciphertexts of another run, or sums beyond what the bounds allow.
 */
export function openWeighted(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  decryptors: readonly BgvDecryptor[],
  input: OpenWeightedInput,
): readonly bigint[] {
  const { shape, sums } = input;
  const residues = weightsResidueCount(shape);
  const perResidue = weightsCiphertextCount(shape);
  if (sums.length !== residues * perResidue || decryptors.length < residues)
    throw new ProtocolError('length-wrong', `${residues} residues are due`);
  let isSound = true;
  const opened = decryptors.slice(0, residues).map((decryptor, residue) => {
    const slots = sums
      .slice(residue * perResidue, (residue + 1) * perResidue)
      .map((sum) => decryptor.decrypt(checkCiphertext(weightsParameters(residue), sum)));
    const place = { shape, residue, index: 0 };
    const [values = [], ...tagged] = foldParts(place, slots);
    const tags = weightsTags(primitives, place, input.tagKey, input.descriptorHash);
    const { plainModulus } = weightsParameters(residue);
    for (const [tag, { factors, pads }] of tags.entries())
      for (const [output, value] of values.entries()) {
        const due = value * (factors[output] ?? 0n) + (pads[output] ?? 0n);
        if (tagged[tag]?.[output] !== due % plainModulus) isSound = false;
      }
    return values;
  });
  if (!isSound)
    throw new ProtocolError('decryption-failed', 'the opened sum does not carry its check value');
  return Array.from({ length: shape.outputs }, (_, output) =>
    signedSum(
      shape,
      opened.map((values) => values[output] ?? 0n),
    ),
  );
}

/** The masks of an output cancel over its slots: only the fold means anything. */
function foldParts(
  { shape, residue }: WeightsPlace,
  slots: readonly BigUint64Array[],
): readonly (readonly bigint[])[] {
  const { plainModulus } = weightsParameters(residue);
  return Array.from({ length: WEIGHTS_PARTS }, (_, part) =>
    Array.from({ length: shape.outputs }, (__, output) => {
      let sum = 0n;
      const from = output * shape.perOutput;
      for (let at = from; at < from + shape.perOutput; at++) {
        const slot = part * WEIGHTS_PART_SLOTS + (at % WEIGHTS_PART_SLOTS);
        sum += slots[Math.floor(at / WEIGHTS_PART_SLOTS)]?.[slot] ?? 0n;
      }
      return sum % plainModulus;
    }),
  );
}

function signedSum(shape: WeightsShape, residues: readonly bigint[]): bigint {
  let value = 0n;
  let product = 1n;
  for (const [index, residue] of residues.entries()) {
    const prime = WEIGHTS_PLAIN_MODULI[index] ?? 1n;
    const digit = ((residue - (value % prime) + prime) * inverseMod(product, prime)) % prime;
    value += product * digit;
    product *= prime;
  }
  const signed = 2n * value > product ? value - product : value;
  const bound = weightedSumMax(shape);
  if (signed > bound || signed < -bound)
    throw new ProtocolError('decryption-failed', 'a weighted sum is beyond the agreed bounds');
  return signed;
}

/** By Fermat: the moduli are prime. */
function inverseMod(value: bigint, prime: bigint): bigint {
  let [base, exponent, result] = [value % prime, prime - 2n, 1n];
  while (exponent > 0n) {
    if ((exponent & 1n) === 1n) result = (result * base) % prime;
    base = (base * base) % prime;
    exponent >>= 1n;
  }
  return result;
}
