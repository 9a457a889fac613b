/** What sender and receiver do alike: greet, send their own points, evaluate the other's. */
import { releaseBytes } from '../common/bytes.ts';
import type { BlindedSet, PsiMachine } from './blinded-set.ts';
import { ascending, inOrder, regroup } from './flow.ts';
import {
  HELLO,
  POINTS,
  encodeChunk,
  encodeHello,
  parseChunk,
  parseHello,
  type PsiRole,
} from './messages.ts';
import { POINT_BYTES, chunkCount, type PsiParams } from './params.ts';
import { resizeRecords } from './records.ts';

/** The way to the peer: a sealed channel, or anything that keeps order and wholeness. */
export interface PsiChannel {
  /**
   * Resolves once the message is accepted: a slow peer holds the sender back. From then on the bytes
   * of `payload` are the caller's again, who may use them up.
   */
  send(kind: string, payload: Uint8Array): Promise<void>;
  /** The peer's next message, which must be of this kind, in a buffer of the caller's own. */
  receive(kind: string): Promise<Uint8Array>;
}

/** Exchanges hellos; answers how many items the peer will send. @throws ProtocolError */
export async function greet(
  channel: PsiChannel,
  params: PsiParams,
  role: PsiRole,
  ownItems: number,
): Promise<number> {
  const peerRole = role === 'sender' ? 'receiver' : 'sender';
  // At the same time: a channel may hold a message back until the other side takes it.
  const [, hello] = await Promise.all([
    channel.send(HELLO, encodeHello(params, role, ownItems)),
    channel.receive(HELLO),
  ]);
  return parseHello(params, peerRole, hello);
}

/** Told to a loop that nothing it does is wanted any more. */
export interface StopFlag {
  readonly isStopped: boolean;
}

/**
 * Sends the own points and takes the peer's at the same time; when one fails, the other stops at
 * its next step.
 */
export async function bothWays(
  send: (stop: StopFlag) => Promise<void>,
  receive: (stop: StopFlag) => Promise<void>,
): Promise<void> {
  const stop = { isStopped: false };
  try {
    await Promise.all([send(stop), receive(stop)]);
  } finally {
    stop.isStopped = true;
  }
}

/**
 * Sends the own points, in the order of their values.
 * @param tagBytes - of what stands behind each point, how much goes with it.
 */
export async function sendPoints(
  channel: PsiChannel,
  params: PsiParams,
  set: BlindedSet,
  stop: StopFlag,
  tagBytes = 0,
): Promise<void> {
  const wireBytes = POINT_BYTES + tagBytes;
  const pieces = regroup(
    withoutTail(set.points.sorted(), set.points.shape.recordBytes, wireBytes),
    params.chunkItems * wireBytes,
  );
  let index = 0;
  for await (const piece of pieces) {
    if (stop.isStopped) return;
    await sendChunk(channel, POINTS, index, piece, wireBytes);
    index += 1;
  }
}

/** Sends a chunk of a list, which is used up. */
export async function sendChunk(
  channel: PsiChannel,
  kind: string,
  index: number,
  records: Uint8Array,
  recordBytes: number,
): Promise<void> {
  const message = encodeChunk(index, records, recordBytes);
  releaseBytes(records);
  await channel.send(kind, message);
  releaseBytes(message);
}

/**
 * The peer's points, checked and blinded a second time, in the order they came.
 * @throws ProtocolError `point-invalid`, `point-repeated`, `message-malformed`,
 *   `message-unexpected`, `length-wrong`
 */
export async function* receiveEvaluated(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  secret: Uint8Array,
  peerItems: number,
): AsyncGenerator<Uint8Array> {
  const inTurn = ascending(POINT_BYTES, POINT_BYTES);
  const points = receiveChunks(channel, params, POINTS, peerItems, POINT_BYTES);
  yield* inOrder(points, machine.engine.parallel, (piece) =>
    machine.engine.evaluate(inTurn(piece), secret),
  );
}

/** The chunks of one list, each checked for its place and size; what comes out is the caller's. */
export async function* receiveChunks(
  channel: PsiChannel,
  params: PsiParams,
  kind: string,
  items: number,
  recordBytes: number,
): AsyncGenerator<Uint8Array> {
  const chunks = chunkCount(params, items);
  for (let index = 0; index < chunks; index++) {
    yield parseChunk(params, index, items, recordBytes, await channel.receive(kind));
  }
}

/** The first `keepBytes` of each record; what comes is used up. */
export async function* withoutTail(
  source: AsyncIterable<Uint8Array>,
  recordBytes: number,
  keepBytes: number,
): AsyncGenerator<Uint8Array> {
  for await (const records of source) {
    const out = resizeRecords(records, recordBytes, keepBytes);
    releaseBytes(records);
    yield out;
  }
}
