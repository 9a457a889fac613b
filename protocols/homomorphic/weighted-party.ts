/** Holder of a weighted sum: multiplies what it cannot read by cells that nobody else may read. */
import type { BgvEncryptor, BgvEvaluator, BgvParameters, Ciphertext } from '../common/bgv.ts';
import { addCiphertext, checkCiphertext, ciphertextSizeBytes } from '../common/bgv-ciphertext.ts';
import { floodCiphertext } from '../common/bgv-flooding.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { MaskPeer } from './masks.ts';
import { uniformSlots } from './uniform-slots.ts';
import {
  checkPlace,
  FLOOD_DIGITS,
  valuesAt,
  WEIGHTS_DEGREE,
  WEIGHTS_PART_SLOTS,
  WEIGHTS_PARTS,
  weightsParameters,
  type WeightsPlace,
} from './weights-params.ts';
import { weightsStream, weightsTags, type WeightsTag } from './weights-tags.ts';

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
  /** True at one holder of the run: it adds the pads. */
  readonly isFirst: boolean;
  readonly descriptorHash: Uint8Array;
}

/**
 * weights ⊙ shares of the cells. What this holder multiplies is its share of the holders' totals,
 * uniform by pairwise masks, so whatever the recipient made of its ciphertexts, and even together with the
 * gateway, no answer tells more than the totals of cells that were charged as released. Zero-sum masks of
 * this holder's own hide single products within an output, a fresh encryption re-randomises, and flooding
 * hides the noise.
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
  const tags = weightsTags(primitives, place, input.tagKey, input.descriptorHash);
  const product = new Uint8Array(ciphertextSizeBytes(parameters));
  const addend = new Uint8Array(ciphertextSizeBytes(parameters));
  const shares = shareSlots(primitives, input, tags);
  const masks = maskSlots(primitives, input, tags);
  try {
    evaluator.multiplyPlain(weights, shares, product);
    encryptor.encrypt(masks, addend);
    const sum = checkCiphertext(parameters, product);
    addCiphertext(parameters, sum, checkCiphertext(parameters, addend));
    const { ownSecret, descriptorHash } = input;
    const noise = weightsStream(primitives, 'flood', ownSecret, descriptorHash, place);
    const fresh = (): BigUint64Array<ArrayBuffer> =>
      uniformSlots(noise, parameters.plainModulus, WEIGHTS_DEGREE);
    floodCiphertext(parameters, evaluator, fresh, FLOOD_DIGITS, sum);
    return product;
  } finally {
    for (const secret of [shares, masks]) secret.fill(0n);
  }
}

/**
 * Accepts a recipient's ciphertext of weights, before anything native sees it.
 * @throws ProtocolError `ciphertext-invalid` for another length (truncated, compressed, seeded), a
 *   residue out of range, or a zero polynomial, which would show its products in the clear.
 */
export function checkWeights(parameters: BgvParameters, bytes: Uint8Array): Ciphertext {
  const weights = checkCiphertext(parameters, bytes);
  if (weights.subarray(weights.length / 2).every((byte) => byte === 0))
    throw new ProtocolError('ciphertext-invalid', 'the weights are not encrypted');
  return weights;
}

/** This holder's shares of the cells, and of the cells times each tag's factors. */
function shareSlots(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  input: WeighInput,
  tags: readonly WeightsTag[],
): BigUint64Array<ArrayBuffer> {
  const { place, cells, descriptorHash } = input;
  const { shape } = place;
  if (cells.length !== shape.outputs * shape.perOutput)
    throw new ProtocolError('length-wrong', `${cells.length} cells`);
  const { plainModulus } = weightsParameters(place.residue);
  const slots = new BigUint64Array(WEIGHTS_DEGREE);
  const { start, end } = valuesAt(place);
  for (let at = start; at < end; at++) {
    const clamped = clamp(cells[at] ?? 0n, shape.cellMax) % plainModulus;
    const cell = clamped < 0n ? clamped + plainModulus : clamped;
    const output = Math.floor(at / shape.perOutput);
    slots[at - start] = cell;
    for (const [tag, { factors }] of tags.entries())
      slots[slotOf(tag + 1, at - start)] = (cell * (factors[output] ?? 0n)) % plainModulus;
  }
  for (const { sign, secret } of input.peers) {
    const stream = weightsStream(primitives, 'share', secret, descriptorHash, place);
    for (const [slot, mask] of uniformSlots(stream, plainModulus, WEIGHTS_DEGREE).entries()) {
      const addend = sign === 1 ? mask : plainModulus - mask;
      slots[slot] = ((slots[slot] ?? 0n) + addend) % plainModulus;
    }
  }
  return slots;
}

/** Clamped to what planning proved to fit: a refusal here would tell of an extreme. */
function clamp(value: bigint, bound: bigint): bigint {
  if (value > bound) return bound;
  return value < -bound ? -bound : value;
}

/** Masks of this holder's own that cancel over each output and part; the first holder's pads. */
function maskSlots(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  input: WeighInput,
  tags: readonly WeightsTag[],
): BigUint64Array<ArrayBuffer> {
  const { place } = input;
  const { shape, index } = place;
  const { plainModulus } = weightsParameters(place.residue);
  const drawn = drawnMasks(primitives, input);
  const slots = drawn(index).slice();
  const { start, end } = valuesAt(place);
  const firstOutput = Math.floor(start / shape.perOutput);
  for (let output = firstOutput; output * shape.perOutput < end; output++) {
    const last = (output + 1) * shape.perOutput - 1;
    if (last >= end) break;
    for (let part = 0; part < WEIGHTS_PARTS; part++) {
      let sum = 0n;
      for (let at = output * shape.perOutput; at < last; at++) {
        const masks = drawn(Math.floor(at / WEIGHTS_PART_SLOTS));
        sum += masks[slotOf(part, at % WEIGHTS_PART_SLOTS)] ?? 0n;
      }
      const pad = (input.isFirst ? tags[part - 1]?.pads[output] : undefined) ?? 0n;
      const closing = (pad + plainModulus - (sum % plainModulus)) % plainModulus;
      slots[slotOf(part, last - start)] = closing;
    }
  }
  return slots;
}

/** Uniform slots of each ciphertext of the residue: an output may have begun in an earlier one. */
function drawnMasks(
  primitives: Pick<Primitives, 'hash' | 'stream'>,
  { place, ownSecret, descriptorHash }: WeighInput,
): (index: number) => BigUint64Array<ArrayBuffer> {
  const { plainModulus } = weightsParameters(place.residue);
  const known = new Map<number, BigUint64Array<ArrayBuffer>>();
  return (index) => {
    const before = known.get(index);
    if (before !== undefined) return before;
    const at = { ...place, index };
    const stream = weightsStream(primitives, 'zero-sum', ownSecret, descriptorHash, at);
    const slots = uniformSlots(stream, plainModulus, WEIGHTS_DEGREE);
    known.set(index, slots);
    return slots;
  };
}

function slotOf(part: number, at: number): number {
  return part * WEIGHTS_PART_SLOTS + at;
}
