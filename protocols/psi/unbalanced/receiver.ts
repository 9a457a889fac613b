/** The small side of an unbalanced match: learns which of its items the large side has. */
import { equalBytes, releaseBytes } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { NO_ROW, ROW_BYTES, type BlindedSet } from '../blinded-set.ts';
import {
  bothWays,
  receiveChunks,
  sendChunk,
  withoutTail,
  type PsiChannel,
  type StopFlag,
} from '../exchange.ts';
import { inOrder, matchSorted, regroup } from '../flow.ts';
import { parseChunkOf } from '../messages.ts';
import { POINT_BYTES, type PsiParams } from '../params.ts';
import type { ReceiverOutcome } from '../receiver.ts';
import { copyBytes, resizeRecords, uint32At } from '../records.ts';
import { SortedList } from '../sorted-list.ts';
import { cutOutputs, decodeFilter, filterShape, type FilterShape } from './filter.ts';
import {
  encodeOprfHello,
  NO_FILTER,
  OPRF_EVALUATED,
  OPRF_FILTER,
  OPRF_HELLO,
  OPRF_POINTS,
  parseOprfHello,
} from './messages.ts';
import { OUTPUT_BYTES, type BlindingPair } from './oprf.ts';
import { FilterDigest, filterPieceBytes, filterPieces, type OprfMachine } from './own-filter.ts';

/** What the receiver keeps of the sender's filter between runs. */
export interface KeptFilter {
  /** Of the filter kept whole; undefined where there is none. */
  digest(): Promise<Uint8Array | undefined>;
  /** A filter is coming: what is kept is no longer whole. */
  begin(): Promise<void>;
  keep(index: number, piece: Uint8Array): Promise<void>;
  /** All pieces are kept and make up this filter. */
  complete(digest: Uint8Array): Promise<void>;
  piece(index: number): Promise<Uint8Array>;
}

/**
 * Runs the receiver's part over a set that `prepareSet` blinded with the pair's secret.
 * @returns which rows are shared, as of an intersection; a chance agreement in one of 2^40 runs.
 * @throws ProtocolError on any message out of form, place or bounds, and where the kept filter is not
 *   what it was; there is no result then
 */
export async function runOprfReceiver(
  channel: PsiChannel,
  params: PsiParams,
  machine: OprfMachine,
  set: BlindedSet,
  pair: Pick<BlindingPair, 'inverse'>,
  kept: KeptFilter,
): Promise<ReceiverOutcome & { readonly isShipped: boolean }> {
  const own = { items: set.wireItems, filterDigest: (await kept.digest()) ?? NO_FILTER };
  const [, hello] = await Promise.all([
    channel.send(OPRF_HELLO, encodeOprfHello(params, 'receiver', own)),
    channel.receive(OPRF_HELLO),
  ]);
  const { items: peerItems, filterDigest } = parseOprfHello(params, 'sender', hello);
  const shape = filterShape(peerItems, params.setSizeMax);
  const isShipped = !equalBytes(filterDigest, own.filterDigest);
  if (isShipped) await takeFilter(channel, machine, shape, filterDigest, kept);
  const recordBytes = OUTPUT_BYTES + ROW_BYTES;
  const outputs = new SortedList({ recordBytes, keyBytes: OUTPUT_BYTES }, machine.openSpill);
  try {
    await bothWays(
      (stop) => sendBlinded(channel, params, set, stop),
      (stop) => receiveOutputs({ channel, params, machine, set, pair, shape }, outputs, stop),
    );
    const filter = { shape, digest: filterDigest };
    const found = await lookUp(machine, kept, filter, outputs, params.revealedMax ?? set.wireItems);
    return { ...found, places: undefined, groups: undefined, peerItems, isShipped };
  } finally {
    await outputs.close();
  }
}

async function takeFilter(
  channel: PsiChannel,
  machine: OprfMachine,
  shape: FilterShape,
  announced: Uint8Array,
  kept: KeptFilter,
): Promise<void> {
  await kept.begin();
  const digested = new FilterDigest(machine.oprf);
  for (let index = 0; index < filterPieces(shape); index++) {
    const message = await channel.receive(OPRF_FILTER);
    const piece = parseChunkOf(message, index, filterPieceBytes(shape, index), 1);
    digested.add(piece);
    await kept.keep(index, piece);
  }
  if (!equalBytes(digested.finish(), announced)) {
    throw new ProtocolError('transcript-mismatch', 'the filter is not the one that was announced');
  }
  await kept.complete(announced);
}

async function sendBlinded(
  channel: PsiChannel,
  params: PsiParams,
  set: BlindedSet,
  stop: StopFlag,
): Promise<void> {
  const points = withoutTail(set.points.sorted(), set.points.shape.recordBytes, POINT_BYTES);
  let index = 0;
  for await (const piece of regroup(points, params.chunkItems * POINT_BYTES)) {
    if (stop.isStopped) return;
    await sendChunk(channel, OPRF_POINTS, index, piece, POINT_BYTES);
    index += 1;
  }
}

interface Answering {
  readonly channel: PsiChannel;
  readonly params: PsiParams;
  readonly machine: OprfMachine;
  readonly set: BlindedSet;
  readonly pair: Pick<BlindingPair, 'inverse'>;
  readonly shape: FilterShape;
}

/** The own outputs, each with the row of the point that was asked for. */
async function receiveOutputs(
  { channel, params, machine, set, pair, shape }: Answering,
  outputs: SortedList,
  stop: StopFlag,
): Promise<void> {
  const { recordBytes } = set.points.shape;
  const asked = regroup(set.points.sorted(), params.chunkItems * recordBytes);
  const answers = inOrder(
    receiveChunks(channel, params, OPRF_EVALUATED, set.wireItems, POINT_BYTES),
    machine.oprf.parallel,
    (points) => machine.oprf.finalize(points, pair.inverse),
  );
  for await (const answer of answers) {
    if (stop.isStopped) return;
    const own = await asked.next();
    const records = own.done === true ? undefined : withRows(answer, own.value, recordBytes);
    if (records === undefined) {
      throw new ProtocolError('length-wrong', 'more answers came than points were sent');
    }
    cutOutputs(shape, records, OUTPUT_BYTES + ROW_BYTES);
    await outputs.add(records);
    releaseBytes(records);
    machine.onProgress?.('evaluate', outputs.size, set.wireItems);
  }
}

/** Both come in pieces of the same number of items, and are used up. */
function withRows(
  answer: Uint8Array,
  own: Uint8Array,
  ownRecordBytes: number,
): Uint8Array | undefined {
  const count = answer.length / OUTPUT_BYTES;
  if (own.length !== count * ownRecordBytes) return undefined;
  const recordBytes = OUTPUT_BYTES + ROW_BYTES;
  const out = resizeRecords(answer, OUTPUT_BYTES, recordBytes);
  for (let i = 0; i < count; i++) {
    const rowAt = i * ownRecordBytes + POINT_BYTES;
    copyBytes(own, rowAt, out, i * recordBytes + OUTPUT_BYTES, ROW_BYTES);
  }
  releaseBytes(answer);
  releaseBytes(own);
  return out;
}

async function lookUp(
  machine: OprfMachine,
  kept: KeptFilter,
  { shape, digest }: { readonly shape: FilterShape; readonly digest: Uint8Array },
  outputs: SortedList,
  revealedMax: number,
): Promise<Pick<ReceiverOutcome, 'shared' | 'rows'>> {
  const digested = new FilterDigest(machine.oprf);
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < filterPieces(shape); index++) {
      const piece = await kept.piece(index);
      digested.add(piece);
      yield piece;
    }
  };
  const rows: number[] = [];
  let shared = 0;
  await matchSorted(
    { records: outputs.sorted(), recordBytes: OUTPUT_BYTES + ROW_BYTES },
    { records: decodeFilter(shape, pieces()), recordBytes: OUTPUT_BYTES },
    OUTPUT_BYTES,
    (piece, at) => {
      const row = uint32At(piece, at + OUTPUT_BYTES);
      if (row === NO_ROW) throw new ProtocolError('message-malformed', 'a dummy matched');
      shared += 1;
      if (shared <= revealedMax) rows.push(row);
    },
  );
  if (!equalBytes(digested.finish(), digest)) {
    throw new ProtocolError('message-malformed', 'the kept filter is not what it was');
  }
  return { shared, rows: shared > revealedMax ? undefined : Uint32Array.from(rows).sort() };
}
