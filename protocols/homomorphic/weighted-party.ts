/** Holder of a weighted sum: multiplies what it cannot read by cells that nobody else may read. */
import type { BgvEncryptor, BgvEvaluator, BgvParameters, Ciphertext } from '../common/bgv.ts';
import { addCiphertext, checkCiphertext, ciphertextSizeBytes } from '../common/bgv-ciphertext.ts';
import { floodCiphertext } from '../common/bgv-flooding.ts';
import { lengthPrefixed } from '../common/bytes.ts';
import type { KeyStream, Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { MaskPeer } from './masks.ts';
import { uniformSlots } from './uniform-slots.ts';
import {
  checkPlace,
  FLOOD_DIGITS,
  outputsPerCiphertext,
  WEIGHTS_CHECK_SLOTS,
  WEIGHTS_DEGREE,
  WEIGHTS_PAYLOAD_SLOTS,
  weightsParameters,
  type WeightsPlace,
} from './weights-params.ts';

const KEY_BYTES = 32;
const LABEL = 'weir/secret-weights/v1/';

export interface WeighInput {
  readonly place: WeightsPlace;
  /** The recipient's ciphertext for this place, as it came. */
  readonly weights: Uint8Array;
  /**
   * This holder's cells, outputs × perOutput, all of them. What is here counts as released: it has
   * passed disclosure control and taken its noise already.
   */
  readonly cells: readonly bigint[];
  /** Every neighbour of the run, each once. */
  readonly peers: readonly MaskPeer[];
  /** Secret from the gateway; known to the holders and the recipient. */
  readonly tagKey: Uint8Array;
  /** 32 fresh bytes of this holder alone: its zero-sum masks and its flooding. */
  readonly ownSecret: Uint8Array;
  /** True at one holder of the run: it adds the check shares. */
  readonly isFirst: boolean;
  readonly descriptorHash: Uint8Array;
}

/**
 * weights ⊙ cells, made to show nothing but its part of the sum: pairwise masks hide this holder's
 * part among the others', zero-sum masks of its own hide single products within an output, a fresh
 * encryption re-randomises, and flooding hides the noise.
 *
 * Secret: everything but `place` and `weights`.
 * @throws ProtocolError `ciphertext-invalid` for weights of another form, before load.
 */
export function weighCells(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  evaluator: BgvEvaluator,
  encryptor: BgvEncryptor,
  input: WeighInput,
): Uint8Array<ArrayBuffer> {
  const { place, peers } = input;
  checkPlace(place);
  const parameters = weightsParameters(place.residue);
  const weights = checkWeights(parameters, input.weights);
  if (peers.length < 1 || peers.length >= place.shape.holders)
    throw new ProtocolError('parameter-invalid', 'every other party of the run needs a mask key');
  const product = new Uint8Array(ciphertextSizeBytes(parameters));
  const addend = new Uint8Array(ciphertextSizeBytes(parameters));
  const cells = cellSlots(primitives, input);
  evaluator.multiplyPlain(weights, cells, product);
  const masks = maskSlots(primitives, input);
  encryptor.encrypt(masks, addend);
  const sum = checkCiphertext(parameters, product);
  addCiphertext(parameters, sum, checkCiphertext(parameters, addend));
  const noise = streamOf(primitives, 'flood', input.ownSecret, input.descriptorHash, place);
  const fresh = (): BigUint64Array<ArrayBuffer> =>
    uniformSlots(noise, parameters.plainModulus, WEIGHTS_DEGREE);
  floodCiphertext(parameters, evaluator, fresh, FLOOD_DIGITS, sum);
  cells.fill(0n);
  masks.fill(0n);
  return product;
}

/** What the check slots of a place sum to over the holders: known to them and the recipient. */
export function checkShares(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  place: WeightsPlace,
  tagKey: Uint8Array,
  descriptorHash: Uint8Array,
): BigUint64Array<ArrayBuffer> {
  const { plainModulus } = weightsParameters(place.residue);
  const stream = streamOf(primitives, 'check', tagKey, descriptorHash, place);
  return uniformSlots(stream, plainModulus, WEIGHTS_CHECK_SLOTS);
}

/** A ciphertext with a zero polynomial would show its products in the clear. */
function checkWeights(parameters: BgvParameters, bytes: Uint8Array): Ciphertext {
  const weights = checkCiphertext(parameters, bytes);
  if (weights.subarray(weights.length / 2).every((byte) => byte === 0))
    throw new ProtocolError('ciphertext-invalid', 'the weights are not encrypted');
  return weights;
}

function cellSlots(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  input: WeighInput,
): BigUint64Array<ArrayBuffer> {
  const { place, cells } = input;
  const { shape } = place;
  if (cells.length !== shape.outputs * shape.perOutput)
    throw new ProtocolError('length-wrong', `${cells.length} cells`);
  const { plainModulus } = weightsParameters(place.residue);
  const perCiphertext = outputsPerCiphertext(shape) * shape.perOutput;
  const first = place.index * perCiphertext;
  const slots = new BigUint64Array(WEIGHTS_DEGREE);
  for (const [slot, cell] of cells.slice(first, first + perCiphertext).entries()) {
    const clamped = clamp(cell, shape.cellMax) % plainModulus;
    slots[slot] = clamped < 0n ? clamped + plainModulus : clamped;
  }
  if (input.isFirst)
    slots.set(
      checkShares(primitives, place, input.tagKey, input.descriptorHash),
      WEIGHTS_PAYLOAD_SLOTS,
    );
  return slots;
}

/** Clamped to what planning proved to fit: a refusal here would tell of an extreme. */
function clamp(value: bigint, bound: bigint): bigint {
  if (value > bound) return bound;
  return value < -bound ? -bound : value;
}

/** Pairwise masks in every slot, and masks of this holder's own that cancel over each output. */
function maskSlots(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  input: WeighInput,
): BigUint64Array<ArrayBuffer> {
  const { place, descriptorHash } = input;
  const { plainModulus } = weightsParameters(place.residue);
  const own = streamOf(primitives, 'zero-sum', input.ownSecret, descriptorHash, place);
  const slots = uniformSlots(own, plainModulus, WEIGHTS_DEGREE);
  const { perOutput } = place.shape;
  const covered = outputsPerCiphertext(place.shape) * perOutput;
  for (let from = 0; from < covered; from += perOutput) {
    let sum = 0n;
    for (const slot of slots.subarray(from, from + perOutput - 1)) sum += slot;
    slots[from + perOutput - 1] = (plainModulus - (sum % plainModulus)) % plainModulus;
  }
  // Check slots come back as sent: nothing of this holder's own may be in them.
  slots.fill(0n, WEIGHTS_PAYLOAD_SLOTS);
  for (const { sign, secret } of input.peers) {
    const stream = streamOf(primitives, 'mask', secret, descriptorHash, place);
    for (const [slot, mask] of uniformSlots(stream, plainModulus, WEIGHTS_DEGREE).entries()) {
      const addend = sign === 1 ? mask : plainModulus - mask;
      slots[slot] = ((slots[slot] ?? 0n) + addend) % plainModulus;
    }
  }
  return slots;
}

/** A key a purpose and residue, a segment a ciphertext: no stream serves twice. */
function streamOf(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  purpose: 'mask' | 'zero-sum' | 'flood' | 'check',
  secret: Uint8Array,
  descriptorHash: Uint8Array,
  place: WeightsPlace,
): KeyStream {
  const info = lengthPrefixed([LABEL + purpose, Uint8Array.of(place.residue)]);
  const key = primitives.hash.hkdfSha256(secret, descriptorHash, info, KEY_BYTES);
  return primitives.stream.open(key, place.index);
}
