/** The side of the engine without LPN that holds the secret map: the PSI sender. */
import { equalBytes, sumBlocks, xorInto } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';
import { chooseTransfers } from './base-ot.ts';
import type { OtSenderCorrelation, VoleMachine, VoleParams } from './correlation.ts';
import {
  CHECKED_SUMS,
  ROWS,
  WORD_BYTES,
  codeGenerator,
  keyStreams,
  otTerms,
  rowChunks,
  streamRows,
} from './ot-terms.ts';
import { CHECK, CHOICES, openSession, type VoleSession } from './session.ts';

const ELEMENT_BYTES = 16;

/**
 * Runs the sender's side. The choices s are drawn here, for this session alone.
 * @throws ProtocolError as `runVoleSender`
 * Leaks: nothing but the size. Cost: see the README.
 */
export async function runOtSender(
  channel: PsiChannel,
  params: VoleParams,
  machine: VoleMachine,
): Promise<OtSenderCorrelation> {
  const { primitives, randomBytes } = machine;
  const terms = otTerms(params);
  const session = await openSession(
    primitives.hash,
    channel,
    terms.session,
    'sender',
    randomBytes(32),
    new Uint8Array(0),
    32,
  );
  const choices = randomBytes(WORD_BYTES);
  const base = chooseTransfers(primitives, randomBytes, session.id, session.peerExtra, choices);
  await session.send(CHOICES, base.message);
  const map = codeGenerator(session, primitives.stream);
  maskWords(map, choices);
  const streams = keyStreams(primitives.stream, base.keys);
  const q = new Uint8Array((params.size + CHECKED_SUMS) * WORD_BYTES);
  for (const { first, count } of rowChunks(params.size + CHECKED_SUMS)) {
    const sizeBytes = count * WORD_BYTES;
    const rows = new Uint8Array(await session.receive(ROWS, sizeBytes));
    maskWords(rows, choices);
    xorInto(rows, streamRows(primitives.vole, streams, count).subarray(0, sizeBytes));
    q.set(rows, first * WORD_BYTES);
  }
  await checkRows(session, machine, map, q);
  return { map, q: q.subarray(0, params.size * WORD_BYTES) };
}

/** The peer opens sums of its rows and of P, each hidden by a row that is used for nothing else. */
async function checkRows(
  session: VoleSession,
  machine: VoleMachine,
  map: Uint8Array,
  q: Uint8Array,
): Promise<void> {
  const sumBytes = CHECKED_SUMS * WORD_BYTES;
  const opened = await session.receiveSealed(CHECK, sumBytes + CHECKED_SUMS * ELEMENT_BYTES);
  const expected = new Uint8Array(opened.subarray(0, sumBytes));
  machine.primitives.vole.openMap(map).addTo(expected, opened.subarray(sumBytes));
  if (!equalBytes(expected, sumBlocks(q, sumBytes))) {
    throw new ProtocolError('transcript-mismatch', 'the OT correlation does not hold');
  }
}

/** words ∧ mask, word by word. */
function maskWords(words: Uint8Array, mask: Uint8Array): void {
  const aligned = new Uint8Array(mask);
  const by = new Uint32Array(aligned.buffer);
  const view = new Uint32Array(words.buffer, words.byteOffset, words.length / 4);
  for (let at = 0; at < view.length; at++) view[at] = (view[at] ?? 0) & (by[at % by.length] ?? 0);
}
