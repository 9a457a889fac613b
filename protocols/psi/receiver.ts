/** The party that learns the result: how many items are shared, or which of its own. */
import { releaseBytes, viewOf } from '../common/bytes.ts';
import { NO_ROW, ROW_BYTES, type BlindedSet, type PsiMachine } from './blinded-set.ts';
import {
  bothWays,
  greet,
  receiveChunks,
  receiveEvaluated,
  sendPoints,
  type PsiChannel,
  type StopFlag,
} from './exchange.ts';
import { ascending, matchSorted, regroup } from './flow.ts';
import { CellTally, tagBytesOf } from './groups.ts';
import { EVALUATED } from './messages.ts';
import { EVALUATED_BYTES, POINT_BYTES, type PsiGroups, type PsiParams } from './params.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { copyBytes, resizeRecords, uint32At } from './records.ts';
import { SortedList } from './sorted-list.ts';

/** Bytes of a place in the sender's list. */
const PLACE_BYTES = 4;

/** What the receiver knows afterwards. */
export interface ReceiverOutcome {
  /** Shared items, duplicates counted as the parameters say. */
  readonly shared: number;
  /**
   * Intersection only: row numbers of the own items that are shared, ascending; absent where there
   * are more than `revealedMax`.
   */
  readonly rows: Uint32Array | undefined;
  /**
   * Sum only: a bit for each of the sender's items, in the order of its points, 1 where it is
   * shared. Secret: it goes into the choice of values and nowhere else.
   */
  readonly places: Uint8Array | undefined;
  /** By groups only. */
  readonly groups: GroupOutcome | undefined;
  /** Padded size of the sender's set. */
  readonly peerItems: number;
}

/** What the receiver knows of its groups. */
export interface GroupOutcome {
  /** Shared items of each. */
  readonly shared: Uint32Array;
  /**
   * Sum only: for each of the sender's items, in the order of its points, one more than the group it
   * is shared with, or 0. Secret, as `places`.
   */
  readonly cellOfPlace: Uint8Array | undefined;
}

/**
 * Runs the receiver's part over a prepared set.
 * @throws ProtocolError on any message out of form, place or bounds; there is no result then
 */
export async function runReceiver(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  set: BlindedSet,
): Promise<ReceiverOutcome> {
  const peerItems = await greet(channel, params, 'receiver', set.wireItems);
  const tailBytes = params.mode === 'sum' ? PLACE_BYTES : 0;
  const theirs = new SortedList(
    { recordBytes: EVALUATED_BYTES + tailBytes, keyBytes: EVALUATED_BYTES },
    machine.openSpill,
  );
  try {
    const receive = async (stop: StopFlag): Promise<void> => {
      const pieces = receiveEvaluated(channel, params, machine, set.secret, peerItems);
      for await (const piece of pieces) {
        if (stop.isStopped) return;
        const records = tailBytes === 0 ? piece : withPlaces(piece, theirs.size);
        await theirs.add(records);
        releaseBytes(piece);
        releaseBytes(records);
        machine.onProgress?.('evaluate', theirs.size, peerItems);
      }
    };
    const tagBytes = tagBytesOf(params);
    await bothWays((stop) => sendPoints(channel, params, set, stop, tagBytes), receive);
    const ours = receiveChunks(
      channel,
      params,
      EVALUATED,
      set.wireItems,
      EVALUATED_BYTES + tagBytes,
    );
    const none = { rows: undefined, places: undefined, groups: undefined, peerItems };
    if (params.groups !== undefined) {
      const groups = await sharedByGroup(ours, theirs, params.groups, set);
      return { ...none, groups, shared: groups.shared.reduce((sum, count) => sum + count, 0) };
    }
    if (params.mode === 'cardinality') return { ...none, shared: await countShared(ours, theirs) };
    if (params.mode === 'sum') return { ...none, ...(await sharedPlaces(ours, theirs)) };
    const revealedMax = params.revealedMax ?? set.wireItems;
    return { ...none, ...(await sharedRows(ours, theirs, set, machine, revealedMax)) };
  } finally {
    await theirs.close();
  }
}

/** Both lists as they must come: strictly ascending, so that neither side counts anything twice. */
export async function* checked(
  records: AsyncIterable<Uint8Array>,
  recordBytes: number,
): AsyncGenerator<Uint8Array> {
  const inTurn = ascending(recordBytes, EVALUATED_BYTES);
  for await (const piece of records) yield inTurn(piece);
}

async function countShared(ours: AsyncIterable<Uint8Array>, theirs: SortedList): Promise<number> {
  let shared = 0;
  await matchSorted(
    { records: checked(ours, EVALUATED_BYTES), recordBytes: EVALUATED_BYTES },
    { records: checked(theirs.sorted(), EVALUATED_BYTES), recordBytes: EVALUATED_BYTES },
    EVALUATED_BYTES,
    () => {
      shared += 1;
    },
  );
  return shared;
}

/** The sender's items that are shared, as bits by their places. */
async function sharedPlaces(
  ours: AsyncIterable<Uint8Array>,
  theirs: SortedList,
): Promise<{ shared: number; places: Uint8Array }> {
  const { recordBytes } = theirs.shape;
  const places = new Uint8Array(Math.ceil(theirs.size / 8));
  let shared = 0;
  await matchSorted(
    { records: checked(theirs.sorted(), recordBytes), recordBytes },
    { records: checked(ours, EVALUATED_BYTES), recordBytes: EVALUATED_BYTES },
    EVALUATED_BYTES,
    (piece, at) => {
      const place = uint32At(piece, at + EVALUATED_BYTES);
      places[place >> 3] = (places[place >> 3] ?? 0) | (1 << (place & 7));
      shared += 1;
    },
  );
  return { shared, places };
}

/** How many of each group are shared; and where values are summed, which of the sender's items are. */
async function sharedByGroup(
  ours: AsyncIterable<Uint8Array>,
  theirs: SortedList,
  groups: PsiGroups,
  set: BlindedSet,
): Promise<GroupOutcome> {
  const { recordBytes } = theirs.shape;
  const taggedBytes = EVALUATED_BYTES + 1;
  const isSum = recordBytes > EVALUATED_BYTES;
  const cellOfPlace = isSum ? new Uint8Array(theirs.size) : undefined;
  const shared = new Uint32Array(groups.cells);
  const answered = new CellTally(groups);
  const tallied = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of checked(ours, taggedBytes)) {
      for (let at = EVALUATED_BYTES; at < piece.length; at += taggedBytes) {
        answered.add(piece[at] ?? 0);
      }
      yield piece;
    }
  };
  await matchSorted(
    { records: checked(theirs.sorted(), recordBytes), recordBytes },
    { records: tallied(), recordBytes: taggedBytes },
    EVALUATED_BYTES,
    (left, leftAt, right, rightAt) => {
      const cell = right[rightAt + EVALUATED_BYTES] ?? 0;
      shared[cell] = (shared[cell] ?? 0) + 1;
      if (cellOfPlace === undefined) return;
      cellOfPlace[uint32At(left, leftAt + EVALUATED_BYTES)] = cell + 1;
    },
  );
  if (answered.items.every((count, cell) => count === set.cellItems?.[cell])) {
    return { shared, cellOfPlace };
  }
  throw new ProtocolError('message-malformed', 'the answers are not of the groups that were sent');
}

/** Each evaluated point followed by its place in the sender's list. */
function withPlaces(evaluated: Uint8Array, first: number): Uint8Array {
  const recordBytes = EVALUATED_BYTES + PLACE_BYTES;
  const count = evaluated.length / EVALUATED_BYTES;
  const out = resizeRecords(evaluated, EVALUATED_BYTES, recordBytes);
  const view = viewOf(out);
  for (let i = 0; i < count; i++) {
    view.setUint32(i * recordBytes + EVALUATED_BYTES, first + i, true);
  }
  return out;
}

/** Puts the own rows back behind the evaluated points, which come in the order these were sent. */
async function sharedRows(
  ours: AsyncIterable<Uint8Array>,
  theirs: SortedList,
  set: BlindedSet,
  machine: PsiMachine,
  revealedMax: number,
): Promise<{ shared: number; rows: Uint32Array | undefined }> {
  const recordBytes = EVALUATED_BYTES + ROW_BYTES;
  const withRows = new SortedList({ recordBytes, keyBytes: EVALUATED_BYTES }, machine.openSpill);
  const own = new RecordReader(set);
  const rows: number[] = [];
  let shared = 0;
  try {
    for await (const piece of ours) {
      const records = await own.attachRows(piece);
      releaseBytes(piece);
      await withRows.add(records);
      releaseBytes(records);
    }
    await matchSorted(
      { records: checked(withRows.sorted(), recordBytes), recordBytes },
      { records: checked(theirs.sorted(), EVALUATED_BYTES), recordBytes: EVALUATED_BYTES },
      EVALUATED_BYTES,
      (piece, at) => {
        const row = uint32At(piece, at + EVALUATED_BYTES);
        if (row === NO_ROW) throw new ProtocolError('message-malformed', 'a dummy matched');
        shared += 1;
        if (shared <= revealedMax) rows.push(row);
      },
    );
  } finally {
    await withRows.close();
  }
  return { shared, rows: shared > revealedMax ? undefined : Uint32Array.from(rows).sort() };
}

/** Reads the own points a second time, in step with the answers. */
class RecordReader {
  readonly #records: AsyncIterator<Uint8Array>;
  readonly #recordBytes: number;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(set: BlindedSet) {
    this.#recordBytes = set.points.shape.recordBytes;
    this.#records = regroup(set.points.sorted(), 1024 * this.#recordBytes);
  }

  /** Each evaluated point followed by the row of the own point it belongs to. */
  async attachRows(evaluated: Uint8Array): Promise<Uint8Array> {
    const count = evaluated.length / EVALUATED_BYTES;
    const recordBytes = EVALUATED_BYTES + ROW_BYTES;
    const out = resizeRecords(evaluated, EVALUATED_BYTES, recordBytes);
    for (let i = 0; i < count; i++) {
      if (this.#at >= this.#piece.length) await this.#refill();
      copyBytes(
        this.#piece,
        this.#at + POINT_BYTES,
        out,
        i * recordBytes + EVALUATED_BYTES,
        ROW_BYTES,
      );
      this.#at += this.#recordBytes;
    }
    return out;
  }

  async #refill(): Promise<void> {
    const next = await this.#records.next();
    if (next.done === true) {
      throw new ProtocolError('length-wrong', 'more answers came than points were sent');
    }
    releaseBytes(this.#piece);
    this.#piece = next.value;
    this.#at = 0;
  }
}
