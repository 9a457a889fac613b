/**
 * Matching by groups of the receiver's. Each of its items carries the number of its group, a byte in
 * the open behind the blinded point and again behind the answer: the sender sees how many items a
 * group has, padded, and nothing else of it; the receiver sees which of the sender's places match in
 * which group, and still not which of its own items do.
 */
import { releaseBytes } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { PsiMachine } from './blinded-set.ts';
import { receiveChunks, type PsiChannel } from './exchange.ts';
import { ascending, inOrder } from './flow.ts';
import { POINTS } from './messages.ts';
import {
  EVALUATED_BYTES,
  POINT_BYTES,
  bucketOf,
  type PsiGroups,
  type PsiParams,
} from './params.ts';
import { resizeRecords } from './records.ts';

/** Bytes of a group's number behind a record; none where there are no groups. */
export function tagBytesOf(params: PsiParams): number {
  return params.groups === undefined ? 0 : 1;
}

/** A group's items on the wire, where sizes are padded to buckets. */
export function groupBucket({ itemsMin }: PsiGroups, items: number): number {
  return bucketOf(Math.max(items, itemsMin));
}

/** Counts items by their groups as they pass. */
export class CellTally {
  readonly items: Uint32Array;

  constructor({ cells }: PsiGroups) {
    this.items = new Uint32Array(cells);
  }

  /** @throws ProtocolError `message-malformed` for a group that there is not */
  add(cell: number): void {
    if (cell >= this.items.length) {
      throw new ProtocolError('message-malformed', `there is no group ${cell}`);
    }
    this.items[cell] = (this.items[cell] ?? 0) + 1;
  }

  /**
   * Sender: every group is as large as its padding makes it.
   * @throws ProtocolError `length-wrong`
   */
  requirePadded(groups: PsiGroups, slots: number): void {
    const isPadded = (items: number): boolean =>
      groups.sizes === 'noised' ? items >= slots : items === groupBucket(groups, items);
    if (this.items.every(isPadded)) return;
    throw new ProtocolError('length-wrong', 'the peer did not pad each of its groups');
  }
}

/**
 * Sender: the receiver's points, checked and blinded a second time, each with its group behind it,
 * in the order they came.
 * @throws as `receiveEvaluated`, and as `CellTally`
 */
export async function* receiveTagged(
  channel: PsiChannel,
  params: PsiParams,
  machine: PsiMachine,
  secret: Uint8Array,
  peerItems: number,
  tally: CellTally,
): AsyncGenerator<Uint8Array> {
  const recordBytes = POINT_BYTES + tagBytesOf(params);
  const inTurn = ascending(recordBytes, POINT_BYTES);
  const records = receiveChunks(channel, params, POINTS, peerItems, recordBytes);
  yield* inOrder(records, machine.engine.parallel, async (piece) => {
    const points = resizeRecords(inTurn(piece), recordBytes, POINT_BYTES);
    const tags = new Uint8Array(piece.length / recordBytes);
    for (let i = 0; i < tags.length; i++) {
      const tag = piece[i * recordBytes + POINT_BYTES] ?? 0;
      tags[i] = tag;
      tally.add(tag);
    }
    releaseBytes(piece);
    return withTags(await machine.engine.evaluate(points, secret), tags);
  });
}

/** Each evaluated point with its group behind it. */
function withTags(evaluated: Uint8Array, tags: Uint8Array): Uint8Array {
  const recordBytes = EVALUATED_BYTES + 1;
  const out = resizeRecords(evaluated, EVALUATED_BYTES, recordBytes);
  tags.forEach((tag, i) => {
    out[i * recordBytes + EVALUATED_BYTES] = tag;
  });
  releaseBytes(evaluated);
  return out;
}
