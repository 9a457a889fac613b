/** Recipient of a weighted sum: encrypts its weights, and opens what the holders made of them. */
import type { BgvDecryptor, BgvEncryptor, Ciphertext } from '../common/bgv.ts';
import { checkCiphertext, ciphertextSizeBytes } from '../common/bgv-ciphertext.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { checkShares } from './weighted-party.ts';
import {
  checkPlace,
  outputsPerCiphertext,
  weightedSumMax,
  WEIGHTS_DEGREE,
  WEIGHTS_PAYLOAD_SLOTS,
  WEIGHTS_PLAIN_MODULI,
  weightsParameters,
  weightsResidueCount,
  type WeightsPlace,
  type WeightsShape,
} from './weights-params.ts';

/**
 * Encrypts the weights of one place under the recipient's own public key.
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
  const perCiphertext = outputsPerCiphertext(shape) * shape.perOutput;
  const first = place.index * perCiphertext;
  const slots = new BigUint64Array(WEIGHTS_DEGREE);
  for (const [slot, weight] of weights.slice(first, first + perCiphertext).entries())
    slots[slot] = weight < 0n ? weight + parameters.plainModulus : weight;
  // Weight one: the check shares of the holders come back as they went.
  slots.fill(1n, WEIGHTS_PAYLOAD_SLOTS);
  const ciphertext = new Uint8Array(ciphertextSizeBytes(parameters));
  encryptor.encrypt(slots, ciphertext);
  slots.fill(0n);
  return ciphertext;
}

export interface OpenWeightedInput {
  readonly shape: WeightsShape;
  readonly index: number;
  /** The holders' ciphertexts added, one per residue. */
  readonly sums: readonly Uint8Array[];
  readonly tagKey: Uint8Array;
  readonly descriptorHash: Uint8Array;
}

/**
 * Opens the outputs of one ciphertext index: Σ over cells and holders of weight × cell.
 * @throws ProtocolError `ciphertext-invalid` before load; `decryption-failed` for a wrong key or
 *   ciphertexts of another run, or sums beyond what the bounds allow.
 */
export function openWeighted(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  decryptors: readonly BgvDecryptor[],
  input: OpenWeightedInput,
): readonly bigint[] {
  const { shape, index } = input;
  const residues = weightsResidueCount(shape);
  if (input.sums.length !== residues || decryptors.length < residues)
    throw new ProtocolError('length-wrong', `${residues} residues are due`);
  const perResidue = input.sums.map((sum, residue) => {
    const place = { shape, residue, index };
    const ciphertext = checkCiphertext(weightsParameters(residue), sum);
    const slots = decrypted(decryptors[residue], ciphertext);
    const expected = checkShares(primitives, place, input.tagKey, input.descriptorHash);
    if (expected.some((share, at) => share !== slots[WEIGHTS_PAYLOAD_SLOTS + at]))
      throw new ProtocolError('decryption-failed', 'the opened sum does not carry its check value');
    return foldOutputs(place, slots);
  });
  const [first = []] = perResidue;
  return first.map((_, output) =>
    signedSum(
      shape,
      perResidue.map((sums) => sums[output] ?? 0n),
    ),
  );
}

function decrypted(
  decryptor: BgvDecryptor | undefined,
  ciphertext: Ciphertext,
): BigUint64Array<ArrayBuffer> {
  if (decryptor === undefined) throw new ProtocolError('length-wrong', 'a decryptor is missing');
  return decryptor.decrypt(ciphertext);
}

/** The masks of an output cancel over its slots: only the fold means anything. */
function foldOutputs(place: WeightsPlace, slots: BigUint64Array): bigint[] {
  const { shape, index } = place;
  const { plainModulus } = weightsParameters(place.residue);
  const perCiphertext = outputsPerCiphertext(shape);
  const count = Math.min(perCiphertext, shape.outputs - index * perCiphertext);
  return Array.from({ length: count }, (_, output) => {
    let sum = 0n;
    const from = output * shape.perOutput;
    for (const slot of slots.subarray(from, from + shape.perOutput)) sum += slot;
    return sum % plainModulus;
  });
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
