/** The side of a VOLE session without Δ: the PSI receiver. It chooses the noise. */
import { concatBytes, sumBlocks, viewOf, xorInto } from '../../common/bytes.ts';
import type { LeafStore } from '../../common/primitives.ts';
import type { PsiChannel } from '../exchange.ts';
import { deriveTransfers, offerTransfers, type OtOffer } from './base-ot.ts';
import type { ReceiverCorrelation, VoleMachine } from './correlation.ts';
import { noisyVoleReceiver } from './noisy-vole.ts';
import { extendReceiver } from './ot-extension.ts';
import { CHECK, CHOICES, EXTENSION, NOISE, openSession, type VoleSession } from './session.ts';
import { openSums, sideChoices } from './tree-sums.ts';
import {
  BASE_TRANSFERS,
  CHECKED_SUMS,
  CHOICE_SEGMENT,
  ELEMENT_BYTES,
  VALUE_SEGMENT,
  leafShape,
  sessionKeys,
  splitKeys,
  voleTerms,
  type LpnVoleParams,
  type SessionKeys,
  type VoleTerms,
} from './vole-terms.ts';

/**
 * Runs the receiver's side.
 * @throws ProtocolError on any message out of form, place or bounds, and `transcript-mismatch` where
 *   one was changed on its way; there is no result then
 * Leaks: nothing but the size. Cost: see the README.
 */
export async function runVoleReceiver(
  channel: PsiChannel,
  params: LpnVoleParams,
  machine: VoleMachine,
): Promise<ReceiverCorrelation> {
  const { primitives, randomBytes } = machine;
  const terms = voleTerms(params);
  const nonce = randomBytes(32);
  const offer = offerTransfers(primitives, randomBytes);
  const session = await openSession(
    primitives.hash,
    channel,
    terms.session,
    'receiver',
    nonce,
    offer.point,
    0,
  );
  const keys = sessionKeys(session, machine, params);
  const leaves = primitives.vole.openLeaves(leafShape(terms.shape, true));
  try {
    await placeNoise(session, terms, machine, keys, leaves, offer);
    const { leaves: c, noise: a } = leaves.compress(keys.code);
    const split = params.size * ELEMENT_BYTES;
    const sumBytes = CHECKED_SUMS * ELEMENT_BYTES;
    const sums = [sumBlocks(a, sumBytes), sumBlocks(c, sumBytes)];
    await session.sendSealed(CHECK, concatBytes(sums));
    return { a: a.subarray(0, split), c: c.subarray(0, split) };
  } finally {
    leaves.close();
  }
}

/** Base transfers, extension and trees; the leaves are this side's share of Δ · noise. */
async function placeNoise(
  session: VoleSession,
  terms: VoleTerms,
  machine: VoleMachine,
  keys: SessionKeys,
  leaves: LeafStore,
  offer: OtOffer,
): Promise<void> {
  const { primitives, randomBytes } = machine;
  const { blocks, depth } = terms.shape;
  const places = drawPlaces(randomBytes, blocks, depth);
  const values = randomBytes(blocks * ELEMENT_BYTES);
  const choices = sideChoices(places, depth, terms.rows);
  const message = await session.receive(CHOICES, terms.choicesBytes);
  const [zeros, ones] = deriveTransfers(primitives, session.id, offer, message, BASE_TRANSFERS);
  const [rowZeros, valueZeros] = splitKeys(zeros);
  const [rowOnes, valueOnes] = splitKeys(ones);
  const rowKeys = [rowZeros, rowOnes] as const;
  const rows = extendReceiver(primitives, rowKeys, CHOICE_SEGMENT, keys.rows, choices);
  const shared = noisyVoleReceiver(primitives, [valueZeros, valueOnes], VALUE_SEGMENT, values);
  await session.send(EXTENSION, concatBytes([rows.message, shared.message]));
  const answer = await session.receiveSealed(NOISE, terms.sumsBytes + blocks * ELEMENT_BYTES);
  const sums = openSums(answer.subarray(0, terms.sumsBytes), choices, rows.pads);
  // The missing leaf plus Δ · value: the sum of all leaves under the sender's share of that, less the
  // other leaves and the own share.
  const missing = leaves.growPunctured(keys.tree, places, sums);
  xorInto(missing, answer.subarray(terms.sumsBytes));
  xorInto(missing, shared.share);
  places.forEach((place, tree) => {
    const at = tree * ELEMENT_BYTES;
    const leaf = missing.subarray(at, at + ELEMENT_BYTES);
    leaves.place(tree, place, leaf, values.subarray(at, at + ELEMENT_BYTES));
  });
}

/** A place in each block, uniform: blocks are powers of two. */
function drawPlaces(
  randomBytes: VoleMachine['randomBytes'],
  blocks: number,
  depth: number,
): Uint32Array {
  const view = viewOf(randomBytes(blocks * 4));
  return Uint32Array.from({ length: blocks }, (_, i) => view.getUint32(4 * i) >>> (32 - depth));
}
