/** The party that learns nothing: sends its blinded points and evaluates the receiver's. */
import { releaseBytes } from '../common/bytes.ts';
import type { BlindedSet, PsiMachine } from './blinded-set.ts';
import {
  bothWays,
  greet,
  receiveEvaluated,
  sendPoints,
  type PsiChannel,
  type StopFlag,
} from './exchange.ts';
import { ascending, regroup } from './flow.ts';
import { EVALUATED, encodeChunk } from './messages.ts';
import { EVALUATED_BYTES, type PsiParams } from './params.ts';
import { PieceLog } from './piece-log.ts';
import { SortedList } from './sorted-list.ts';

/** What the sender knows afterwards. */
export interface SenderOutcome {
  /** Padded size of the receiver's set. */
  readonly peerItems: number;
}

/**
 * Runs the sender's part over a prepared set.
 *
 * Cardinality and sum: nothing that depends on the receiver's points is answered before all of them have
 * arrived and proved distinct, and the answer is in the order of its own values, so that no place
 * tells which point of the receiver it came from. Intersection: the answer is in the order the
 * points came, for the receiver to know them again.
 * @throws ProtocolError on any message out of form, place or bounds; nothing further is sent then
 */
export async function runSender(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  set: BlindedSet,
): Promise<SenderOutcome> {
  const peerItems = await greet(channel, params, 'sender', set.wireItems);
  const evaluated = params.mode === 'intersection' ? byArrival(machine) : byValue(machine);
  try {
    const receive = async (stop: StopFlag): Promise<void> => {
      let done = 0;
      const pieces = receiveEvaluated(channel, params, machine, set.secret, peerItems);
      for await (const piece of pieces) {
        if (stop.isStopped) return;
        await evaluated.add(piece);
        done += piece.length / EVALUATED_BYTES;
        releaseBytes(piece);
        machine.onProgress?.('evaluate', done, peerItems);
      }
    };
    await bothWays((stop) => sendPoints(channel, params, set, stop), receive);
    await sendEvaluated(channel, params, evaluated);
  } finally {
    await evaluated.close();
  }
  return { peerItems };
}

/** Answers the receiver's points, in the order they are kept. */
export async function sendEvaluated(
  channel: PsiChannel,
  params: PsiParams,
  evaluated: Evaluated,
): Promise<void> {
  let index = 0;
  for await (const piece of regroup(evaluated.read(), params.chunkItems * EVALUATED_BYTES)) {
    await channel.send(EVALUATED, encodeChunk(index, piece, EVALUATED_BYTES));
    releaseBytes(piece);
    index += 1;
  }
}

/** The receiver's points under both blinds, kept until all have arrived. */
interface Evaluated {
  add(piece: Uint8Array): Promise<void>;
  read(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

function byArrival(machine: PsiMachine): Evaluated {
  return new PieceLog(machine.openSpill);
}

/** Read in the order of their values, which tells no place. @throws ProtocolError `point-repeated` */
export function byValue(machine: PsiMachine): Evaluated {
  const shape = { recordBytes: EVALUATED_BYTES, keyBytes: EVALUATED_BYTES };
  const list = new SortedList(shape, machine.openSpill);
  return {
    add: (piece) => list.add(piece),
    async *read() {
      // Points that differ only in a low-order part pass the checks of their encodings and become
      // equal here: a receiver that sent such twins could tell one item apart without its place.
      const inTurn = ascending(EVALUATED_BYTES, EVALUATED_BYTES);
      for await (const records of list.sorted()) releaseBytes(inTurn(records));
      yield* list.sorted();
    },
    close: () => list.close(),
  };
}
