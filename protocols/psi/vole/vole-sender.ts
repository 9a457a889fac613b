/** The side of a VOLE session that holds Δ: the PSI sender. */
import { concatBytes, equalBytes, sumBlocks, xorInto } from '../../common/bytes.ts';
import type { LeafStore } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';
import { chooseTransfers } from './base-ot.ts';
import type { SenderCorrelation, VoleMachine } from './correlation.ts';

import { noisyVoleSender } from './noisy-vole.ts';
import { extendSender } from './ot-extension.ts';
import { CHECK, CHOICES, EXTENSION, NOISE, openSession, type VoleSession } from './session.ts';
import { maskSums } from './tree-sums.ts';
import {
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
 * Runs the sender's side. Δ is drawn here, for this session alone.
 * @throws ProtocolError on any message out of form, place or bounds, and `transcript-mismatch` where
 *   one was changed on its way or the correlation does not hold; there is no result then
 * Leaks: nothing but the size. Cost: see the README.
 */
export async function runVoleSender(
  channel: PsiChannel,
  params: LpnVoleParams,
  machine: VoleMachine,
): Promise<SenderCorrelation> {
  const { primitives, randomBytes } = machine;
  const terms = voleTerms(params);
  const nonce = randomBytes(32);
  const none = new Uint8Array(0);
  const session = await openSession(
    primitives.hash,
    channel,
    terms.session,
    'sender',
    nonce,
    none,
    32,
  );
  const keys = sessionKeys(session, machine, params);
  const leaves = primitives.vole.openLeaves(leafShape(terms.shape, false));
  try {
    const delta = await shareNoise(session, terms, machine, keys, leaves);
    const all = leaves.compress(keys.code).leaves;
    await checkCorrelation(session, machine, delta, all);
    return { delta, b: all.subarray(0, params.size * ELEMENT_BYTES) };
  } finally {
    leaves.close();
  }
}

/** Base transfers, extension and trees; the leaves are this side's share of Δ · noise. */
async function shareNoise(
  session: VoleSession,
  terms: VoleTerms,
  machine: VoleMachine,
  keys: SessionKeys,
  leaves: LeafStore,
): Promise<Uint8Array> {
  const { primitives, randomBytes } = machine;
  const { blocks } = terms.shape;
  const chooser = randomBytes(ELEMENT_BYTES);
  const delta = randomBytes(ELEMENT_BYTES);
  const base = chooseTransfers(
    primitives,
    randomBytes,
    session.id,
    session.peerExtra,
    concatBytes([chooser, delta]),
  );
  await session.send(CHOICES, base.message);
  // While the peer works on its answer.
  const { levels, totals } = leaves.grow(keys.tree, randomBytes(blocks * ELEMENT_BYTES));
  const [chooserKeys, deltaKeys] = splitKeys(base.keys);
  const answer = await session.receive(EXTENSION, terms.extensionBytes + terms.valuesBytes);
  const forRows = answer.subarray(0, terms.extensionBytes);
  const forValues = answer.subarray(terms.extensionBytes);
  const pads = extendSender(primitives, chooser, chooserKeys, CHOICE_SEGMENT, keys.rows, forRows);
  xorInto(totals, noisyVoleSender(primitives, delta, deltaKeys, VALUE_SEGMENT, forValues));
  await session.sendSealed(NOISE, concatBytes([maskSums(levels, pads), totals]));
  return delta;
}

/** The peer opens sums of its elements, each hidden by one that is used for nothing else. */
async function checkCorrelation(
  session: VoleSession,
  { primitives }: VoleMachine,
  delta: Uint8Array,
  all: Uint8Array,
): Promise<void> {
  const sumBytes = CHECKED_SUMS * ELEMENT_BYTES;
  const opened = await session.receiveSealed(CHECK, 2 * sumBytes);
  const expected = sumBlocks(all, sumBytes);
  primitives.gf128.accumulate(expected, delta, opened.subarray(0, sumBytes));
  if (!equalBytes(expected, opened.subarray(sumBytes))) {
    throw new ProtocolError('transcript-mismatch', 'the VOLE correlation does not hold');
  }
}
