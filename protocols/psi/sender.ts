/** The party that learns nothing: sends its blinded points and evaluates the receiver's. */
import { releaseBytes } from '../common/bytes.ts';
import { slotsOfCell, type BlindedSet, type PsiMachine } from './blinded-set.ts';
import {
  bothWays,
  greet,
  receiveEvaluated,
  sendChunk,
  sendPoints,
  type PsiChannel,
  type StopFlag,
} from './exchange.ts';
import { ascending, regroup } from './flow.ts';
import { CellTally, receiveTagged, tagBytesOf } from './groups.ts';
import { EVALUATED } from './messages.ts';
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
  const recordBytes = EVALUATED_BYTES + tagBytesOf(params);
  const evaluated =
    params.mode === 'intersection' ? byArrival(machine) : byValue(machine, recordBytes);
  try {
    const receive = async (stop: StopFlag): Promise<void> => {
      let done = 0;
      const pieces = evaluatedPieces(channel, params, machine, set, peerItems);
      for await (const piece of pieces) {
        if (stop.isStopped) return;
        await evaluated.add(piece);
        done += piece.length / recordBytes;
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
  const recordBytes = EVALUATED_BYTES + tagBytesOf(params);
  let index = 0;
  for await (const piece of regroup(evaluated.read(), params.chunkItems * recordBytes)) {
    await sendChunk(channel, EVALUATED, index, piece, recordBytes);
    index += 1;
  }
}

/** The receiver's points under both blinds as they come; where it has groups, with them. */
async function* evaluatedPieces(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  { secret }: BlindedSet,
  peerItems: number,
): AsyncGenerator<Uint8Array> {
  const { groups } = params;
  if (groups === undefined) {
    yield* receiveEvaluated(channel, params, machine, secret, peerItems);
    return;
  }
  const tally = new CellTally(groups);
  yield* receiveTagged(channel, params, machine, secret, peerItems, tally);
  tally.requirePadded(groups, slotsOfCell(params));
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
export function byValue(machine: PsiMachine, recordBytes: number = EVALUATED_BYTES): Evaluated {
  const shape = { recordBytes, keyBytes: EVALUATED_BYTES };
  const list = new SortedList(shape, machine.openSpill);
  return {
    add: (piece) => list.add(piece),
    async *read() {
      // Points that differ only in a low-order part pass the checks of their encodings and become
      // equal here: a receiver that sent such twins could tell one item apart without its place.
      // In one order across all groups: one item in two of them would tell the difference.
      const inTurn = ascending(recordBytes, EVALUATED_BYTES);
      for await (const records of list.sorted()) releaseBytes(inTurn(records));
      yield* list.sorted();
    },
    close: () => list.close(),
  };
}
