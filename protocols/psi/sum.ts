/**
 * The steps of the sum over the join, each on one ciphertext: the sender's values under its own BGV
 * key, the receiver's choice of slots among them, the mask and the flooding that hide which, and
 * the folding of all slots into one number.
 */
import type { BgvDecryptor, BgvEncryptor, BgvEvaluator, BgvParameters } from '../common/bgv.ts';
import { addCiphertext, checkCiphertext, ciphertextSizeBytes } from '../common/bgv-ciphertext.ts';
import { floodCiphertext } from '../common/bgv-flooding.ts';
import type { StreamPrimitive } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { uniformSlots } from '../homomorphic/uniform-slots.ts';
import { FLOOD_DIGITS, weightsParameters } from '../homomorphic/weights-params.ts';

/** n = 8192, q of 200 bits, t of 36: room for a product, many additions and what floods them. */
export const SUM_PARAMETERS: BgvParameters = weightsParameters(0);
export const SUM_SLOTS: number = SUM_PARAMETERS.degree;
export const SUM_CIPHERTEXT_BYTES: number = ciphertextSizeBytes(SUM_PARAMETERS);
/** Ciphertexts that may be added up: what the README's bound on their noise is computed for. */
export const SUM_CIPHERTEXTS_MAX = 2 ** 11;
/**
 * Ciphertexts times groups: each answer of a run is one more that flooding must hide, and each
 * ciphertext added widens what it must hide. Also the products of a run.
 */
export const SUM_PRODUCTS_MAX = 2 ** 13;
const SECRET_BYTES = 32;
/** Segments of the secret's key stream. */
const MASK_SEGMENT = 0;
const FLOOD_SEGMENT = 1;

/** How many ciphertexts carry the values of so many items. */
export function sumCiphertextCount(items: number): number {
  return Math.ceil(items / SUM_SLOTS);
}

/**
 * Whether what is chosen of so many items can be hidden in as many answers.
 * @param cells - groups, each of which gets an answer.
 */
export function areProductsHidden(items: number, cells: number): boolean {
  return sumCiphertextCount(items) * cells <= SUM_PRODUCTS_MAX;
}

/**
 * A sum of `items` values of at most `bound` each, with `noise` at most, is told apart from every
 * other mod t.
 * @throws ProtocolError `headroom-exceeded`
 */
export function requireSumFits(items: number, bound: bigint, noise = 0n): void {
  const fits =
    2n * (BigInt(items) * bound + noise) < SUM_PARAMETERS.plainModulus &&
    sumCiphertextCount(items) <= SUM_CIPHERTEXTS_MAX;
  if (!fits) throw new ProtocolError('headroom-exceeded', 'the sum may not fit the plain modulus');
}

/** A value mod t; negative ones from the top. */
export function slotOf(value: bigint): bigint {
  const { plainModulus } = SUM_PARAMETERS;
  const slot = value % plainModulus;
  return slot < 0n ? slot + plainModulus : slot;
}

/** The sum itself, out of the sender's folded slots and the receiver's folded mask. */
export function openSum(folded: bigint, foldedMask: bigint): bigint {
  const { plainModulus } = SUM_PARAMETERS;
  const sum = slotOf(folded - foldedMask);
  return 2n * sum > plainModulus ? sum - plainModulus : sum;
}

/** Sender: one ciphertext of values. Secret: the slots. */
export function encryptValues(
  encryptor: BgvEncryptor,
  slots: BigUint64Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(SUM_CIPHERTEXT_BYTES);
  encryptor.encrypt(slots, out);
  return out;
}

/**
 * Receiver: keeps the values of the chosen slots. What comes out tells the choice by its noise to
 * whoever has the key: it stays with the receiver until `maskSum`.
 * @param chosen - a 1 or 0 a slot. Secret.
 * @throws ProtocolError `ciphertext-invalid`
 */
export function chooseValues(
  evaluator: BgvEvaluator,
  ciphertext: Uint8Array,
  chosen: BigUint64Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const values = checkCiphertext(SUM_PARAMETERS, ciphertext);
  const out = new Uint8Array(SUM_CIPHERTEXT_BYTES);
  const isNone = !chosen.includes(1n);
  // As much work where nothing is chosen: the sender could take the time until the answer.
  evaluator.multiplyPlain(
    values,
    isNone ? BigUint64Array.from(chosen).fill(1n, 0, 1) : chosen,
    out,
  );
  if (isNone) out.fill(0);
  return out;
}

/** Receiver: adds one choice to another, in place. */
export function addChoice(target: Uint8Array, choice: Uint8Array): void {
  addCiphertext(
    SUM_PARAMETERS,
    checkCiphertext(SUM_PARAMETERS, target),
    checkCiphertext(SUM_PARAMETERS, choice),
  );
}

/** What the receiver sends back, and what it keeps for the recipient. */
export interface MaskedSum {
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  /** Σ of the mask over all slots, mod t. Secret from the sender. */
  readonly foldedMask: bigint;
}

/**
 * Receiver: hides the chosen values' sum. A fresh encryption of a uniform mask makes every slot
 * uniform and the ciphertext's randomness its own; flooding drowns the noise that would tell which
 * slots were chosen from the sender, who knows its own randomness.
 * @param secret - 32 fresh bytes, for this call alone.
 */
export function maskSum(
  stream: StreamPrimitive,
  evaluator: BgvEvaluator,
  encryptor: BgvEncryptor,
  choices: Uint8Array | undefined,
  secret: Uint8Array,
): MaskedSum {
  if (secret.length !== SECRET_BYTES) {
    throw new ProtocolError('length-wrong', `a mask needs ${SECRET_BYTES} random bytes`);
  }
  const { plainModulus } = SUM_PARAMETERS;
  const mask = uniformSlots(stream.open(secret, MASK_SEGMENT), plainModulus, SUM_SLOTS);
  const ciphertext = new Uint8Array(SUM_CIPHERTEXT_BYTES);
  encryptor.encrypt(mask, ciphertext);
  if (choices !== undefined) addChoice(ciphertext, choices);
  const noise = stream.open(secret, FLOOD_SEGMENT);
  const fresh = (): BigUint64Array<ArrayBuffer> => uniformSlots(noise, plainModulus, SUM_SLOTS);
  const flooded = checkCiphertext(SUM_PARAMETERS, ciphertext);
  floodCiphertext(SUM_PARAMETERS, evaluator, fresh, FLOOD_DIGITS, flooded);
  const foldedMask = fold(mask);
  mask.fill(0n);
  return { ciphertext, foldedMask };
}

/**
 * Sender: all slots of a masked sum in one number mod t, which is uniform to it.
 * @throws ProtocolError `ciphertext-invalid`
 */
export function foldMasked(decryptor: BgvDecryptor, ciphertext: Uint8Array): bigint {
  const slots = decryptor.decrypt(checkCiphertext(SUM_PARAMETERS, ciphertext));
  const folded = fold(slots);
  slots.fill(0n);
  return folded;
}

function fold(slots: BigUint64Array): bigint {
  let sum = 0n;
  for (const slot of slots) sum += slot;
  return sum % SUM_PARAMETERS.plainModulus;
}
