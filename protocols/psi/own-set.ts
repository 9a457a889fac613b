/**
 * The number of shared items between a holder and an analyst that is not trusted to follow the
 * protocol. The holder is the receiver: it learns the number and decides what becomes of it. Its
 * list has one fixed length, whatever its data, and half of it are probes. Both sets come padded to
 * their room: neither a length nor the work until points come tells how full it is.
 */
import { releaseBytes } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { type BlindedSet, type PsiMachine } from './blinded-set.ts';
import { probeBaseElement } from './element.ts';
import {
  bothWays,
  greet,
  receiveChunks,
  receiveEvaluated,
  sendPoints,
  type PsiChannel,
  type StopFlag,
} from './exchange.ts';
import { inOrder, matchSorted } from './flow.ts';
import { EVALUATED } from './messages.ts';
import { EVALUATED_BYTES, POINT_BYTES, type PsiParams } from './params.ts';
import { PROBE_SEED_BYTES, type ProbeEngine, type ProbeOrigin } from './probes.ts';
import { checked } from './receiver.ts';
import { byValue, sendEvaluated } from './sender.ts';
import { resizeRecords } from './records.ts';
import { SortedList } from './sorted-list.ts';

/** The base of the run's probes under the sender's secret. */
export const RAISED = 'psi.raised';

/** Every byte of the row number that says a point is of no row. */
const NO_ROW_BYTE = 0xff;
/** Behind an evaluated point: whose it is. */
const OF_SENDER = 0;
const OF_PROBE = 1;
const TAGGED_BYTES = EVALUATED_BYTES + 1;

/** Both known before the run: neither length tells anything of the items. */
export interface OwnSetSizes {
  /** Room for the holder's items, a power of two; its list is twice as long. */
  readonly holderItems: number;
  /** What the analyst announced, a power of two. */
  readonly analystItems: number;
}

export interface ProbingMachine extends PsiMachine {
  readonly probe: ProbeEngine;
}

/**
 * The holder's part over its prepared set.
 * @param set - `sizes.holderItems` on the wire; it grows by as many probes.
 * @returns the number of shared items, exactly: for the holder's eyes.
 * @throws ProtocolError on any message out of form, place or bounds, and `probe-missing` where not
 *   every point was answered alike; there is no result then
 */
export async function runHolder(
  channel: PsiChannel,
  params: PsiParams,
  machine: ProbingMachine,
  set: BlindedSet,
  sizes: OwnSetSizes,
): Promise<number> {
  const listItems = 2 * sizes.holderItems;
  requireSize(set.wireItems, sizes.holderItems);
  const seed = machine.randomBytes(PROBE_SEED_BYTES);
  const theirs = new SortedList(
    { recordBytes: TAGGED_BYTES, keyBytes: EVALUATED_BYTES },
    machine.openSpill,
  );
  try {
    const base: ProbeOrigin = { kind: 'base', context: params.context };
    for await (const points of probes(params, machine, base, seed, sizes.holderItems)) {
      await addWithTail(set.points, points, POINT_BYTES, NO_ROW_BYTE);
    }
    const announced = await greet(channel, params, 'receiver', listItems);
    requireSize(announced, sizes.analystItems);
    const receive = async (stop: StopFlag): Promise<void> => {
      for await (const piece of receiveEvaluated(channel, params, machine, set.secret, announced)) {
        if (stop.isStopped) return;
        await addWithTail(theirs, piece, EVALUATED_BYTES, OF_SENDER);
        machine.onProgress?.('evaluate', theirs.size, announced);
      }
    };
    await bothWays((stop) => sendPoints(channel, params, set, stop), receive);
    const raised: ProbeOrigin = { kind: 'raised', point: await channel.receive(RAISED) };
    for await (const points of probes(params, machine, raised, seed, sizes.holderItems)) {
      const answers = resizeRecords(points, POINT_BYTES, EVALUATED_BYTES);
      releaseBytes(points);
      await addWithTail(theirs, answers, EVALUATED_BYTES, OF_PROBE);
    }
    return await countAnswered(channel, params, theirs, sizes);
  } finally {
    seed.fill(0);
    await theirs.close();
  }
}

/**
 * The analyst's part over its prepared set. It learns nothing here.
 * @param set - `sizes.analystItems` on the wire.
 * @throws ProtocolError on any message out of form, place or bounds; nothing further is sent then
 */
export async function runAnalyst(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  set: BlindedSet,
  sizes: OwnSetSizes,
): Promise<void> {
  requireSize(set.wireItems, sizes.analystItems);
  const announced = await greet(channel, params, 'sender', sizes.analystItems);
  requireSize(announced, 2 * sizes.holderItems);
  const evaluated = byValue(machine);
  try {
    let done = 0;
    const receive = async (stop: StopFlag): Promise<void> => {
      for await (const piece of receiveEvaluated(channel, params, machine, set.secret, announced)) {
        if (stop.isStopped) return;
        await evaluated.add(piece);
        done += piece.length / EVALUATED_BYTES;
        releaseBytes(piece);
        machine.onProgress?.('evaluate', done, announced);
      }
    };
    await bothWays((stop) => sendPoints(channel, params, set, stop), receive);
    const raised = await machine.engine.blind(probeBaseElement(params.context), set.secret);
    await channel.send(RAISED, raised);
    await sendEvaluated(channel, params, evaluated);
  } finally {
    await evaluated.close();
  }
}

/** Counts the shared items once every probe has its answer. */
async function countAnswered(
  channel: PsiChannel,
  params: PsiParams,
  theirs: SortedList,
  sizes: OwnSetSizes,
): Promise<number> {
  const answers = receiveChunks(channel, params, EVALUATED, 2 * sizes.holderItems, EVALUATED_BYTES);
  let shared = 0;
  let answered = 0;
  await matchSorted(
    { records: checked(theirs.sorted(), TAGGED_BYTES), recordBytes: TAGGED_BYTES },
    { records: checked(answers, EVALUATED_BYTES), recordBytes: EVALUATED_BYTES },
    EVALUATED_BYTES,
    (piece, at) => {
      if (piece[at + EVALUATED_BYTES] === OF_PROBE) answered += 1;
      else shared += 1;
    },
  );
  if (answered === sizes.holderItems) return shared;
  throw new ProtocolError('probe-missing', 'not every point was answered under one secret');
}

/** A chunk of probes at a time. */
async function* probes(
  params: PsiParams,
  machine: ProbingMachine,
  origin: ProbeOrigin,
  seed: Uint8Array,
  items: number,
): AsyncGenerator<Uint8Array> {
  async function* starts(): AsyncGenerator<number> {
    for (let first = 0; first < items; first += params.chunkItems) yield first;
  }
  yield* inOrder(starts(), machine.engine.parallel, (first) =>
    machine.probe({ origin, seed, first, count: Math.min(params.chunkItems, items - first) }),
  );
}

/** Adds records, each followed by one value up to the list's records; what was given is used up. */
async function addWithTail(
  list: SortedList,
  records: Uint8Array,
  recordBytes: number,
  tail: number,
): Promise<void> {
  const listBytes = list.shape.recordBytes;
  const out = resizeRecords(records, recordBytes, listBytes);
  releaseBytes(records);
  for (let at = 0; at < out.length; at += listBytes) {
    for (let i = recordBytes; i < listBytes; i++) out[at + i] = tail;
  }
  await list.add(out);
  releaseBytes(out);
}

function requireSize(items: number, due: number): void {
  if (items === due) return;
  throw new ProtocolError('length-wrong', `a list of ${due} items was due`);
}
