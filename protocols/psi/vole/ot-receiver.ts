/** The side of the engine without LPN that brings P: the PSI receiver. */
import { concatBytes, sumBlocks, xorInto } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';
import { deriveTransfers, offerTransfers } from './base-ot.ts';
import type { OtReceiverCorrelation, VoleMachine, VoleParams } from './correlation.ts';
import {
  CHECKED_SUMS,
  ROWS,
  WIDTH,
  WORD_BYTES,
  codeGenerator,
  keyStreams,
  otTerms,
  rowChunks,
  streamRows,
} from './ot-terms.ts';
import { CHECK, CHOICES, openSession } from './session.ts';

const ELEMENT_BYTES = 16;

/**
 * Runs the receiver's side.
 *
 * Secret: P and what comes out.
 * @param p - size × 16 bytes; copied.
 * @throws ProtocolError as `runVoleReceiver`
 * Leaks: nothing but the size. Cost: see the README.
 */
export async function runOtReceiver(
  channel: PsiChannel,
  params: VoleParams,
  machine: VoleMachine,
  p: Uint8Array,
): Promise<OtReceiverCorrelation> {
  const { primitives, randomBytes } = machine;
  const terms = otTerms(params);
  if (p.length !== params.size * ELEMENT_BYTES) {
    throw new ProtocolError('length-wrong', `P has ${params.size} elements`);
  }
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
  const all = concatBytes([p, randomBytes(CHECKED_SUMS * ELEMENT_BYTES)]);
  const message = await session.receive(CHOICES, terms.choicesBytes);
  const keys = deriveTransfers(primitives, session.id, offer, message, WIDTH);
  const [zeros, ones] = keys.map((list) => keyStreams(primitives.stream, list));
  const encode = primitives.vole.openMap(codeGenerator(session, primitives.stream));
  const t = new Uint8Array((params.size + CHECKED_SUMS) * WORD_BYTES);
  for (const { first, count } of rowChunks(params.size + CHECKED_SUMS)) {
    const sizeBytes = count * WORD_BYTES;
    const own = streamRows(primitives.vole, zeros ?? [], count).subarray(0, sizeBytes);
    const rows = streamRows(primitives.vole, ones ?? [], count).subarray(0, sizeBytes);
    xorInto(rows, own);
    encode.addTo(rows, all.subarray(first * ELEMENT_BYTES, (first + count) * ELEMENT_BYTES));
    t.set(own, first * WORD_BYTES);
    await session.send(ROWS, rows);
  }
  const sums = [
    sumBlocks(t, CHECKED_SUMS * WORD_BYTES),
    sumBlocks(all, CHECKED_SUMS * ELEMENT_BYTES),
  ];
  await session.sendSealed(CHECK, concatBytes(sums));
  return { t: t.subarray(0, params.size * WORD_BYTES) };
}
