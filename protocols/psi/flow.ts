/** Streams of records: regrouping, bounded parallel work in order, and checks along the way. */
import { releaseBytes } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { compareKeys } from './sorted-list.ts';

/**
 * Whatever comes, in pieces of exactly `pieceBytes` and one shorter last piece; no empty piece. What
 * comes is used up, what goes is the caller's.
 */
export async function* regroup(
  source: AsyncIterable<Uint8Array>,
  pieceBytes: number,
): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(pieceBytes);
  let filled = 0;
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + pieceBytes - filled);
      piece.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === pieceBytes) {
        yield piece;
        piece = new Uint8Array(pieceBytes);
        filled = 0;
      }
    }
    releaseBytes(bytes);
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/**
 * `work` on each input, at most `most` at once, answers in the order of the inputs. The source is
 * asked for the next input only once there is room, so a slow consumer holds everything back.
 */
export async function* inOrder<Input, Output>(
  source: AsyncIterable<Input>,
  most: number,
  work: (input: Input) => Promise<Output>,
): AsyncGenerator<Output> {
  const pending: Promise<Output>[] = [];
  for await (const input of source) {
    const answer = work(input);
    // Its failure is met when its turn comes; until then it must not count as unhandled.
    answer.catch(() => {});
    pending.push(answer);
    const first = pending.length >= Math.max(most, 1) ? pending.shift() : undefined;
    if (first !== undefined) yield await first;
  }
  for (const answer of pending) yield await answer;
}

/**
 * Passes records on that ascend strictly, across pieces too: sorted order carries no information
 * beyond the set, and strict ascent means that no record repeats.
 * @throws ProtocolError `point-repeated`, or `message-malformed` where the order is another
 */
export function ascending(
  recordBytes: number,
  keyBytes: number,
): (records: Uint8Array) => Uint8Array {
  let last: Uint8Array | undefined;
  return (records) => {
    let before = last;
    let beforeAt = 0;
    for (let at = 0; at < records.length; at += recordBytes) {
      if (before !== undefined) {
        const order = compareKeys(before, beforeAt, records, at, keyBytes);
        if (order === 0) throw new ProtocolError('point-repeated', 'a list holds a point twice');
        if (order > 0) throw new ProtocolError('message-malformed', 'a list is not in order');
      }
      before = records;
      beforeAt = at;
    }
    if (records.length >= recordBytes) last = records.slice(records.length - recordBytes);
    return records;
  };
}

/**
 * Walks two strictly ascending streams side by side and tells each shared key. What comes is used up.
 * @param onMatch - gets the record of either stream: the piece it is in and where.
 */
export async function matchSorted(
  left: { readonly records: AsyncIterator<Uint8Array>; readonly recordBytes: number },
  right: { readonly records: AsyncIterator<Uint8Array>; readonly recordBytes: number },
  keyBytes: number,
  onMatch: (left: Uint8Array, leftAt: number, right: Uint8Array, rightAt: number) => void,
): Promise<void> {
  let [leftPiece, rightPiece] = [await nextPiece(left.records), await nextPiece(right.records)];
  let [leftAt, rightAt] = [0, 0];
  while (leftPiece !== undefined && rightPiece !== undefined) {
    const order = compareKeys(leftPiece, leftAt, rightPiece, rightAt, keyBytes);
    if (order === 0) onMatch(leftPiece, leftAt, rightPiece, rightAt);
    if (order <= 0) leftAt += left.recordBytes;
    if (order >= 0) rightAt += right.recordBytes;
    if (leftAt >= leftPiece.length) {
      [leftPiece, leftAt] = [await nextPiece(left.records, leftPiece), 0];
    }
    if (rightAt >= rightPiece.length) {
      [rightPiece, rightAt] = [await nextPiece(right.records, rightPiece), 0];
    }
  }
  // What is left over matches nothing, but its order is still to be checked by whoever yields it.
  while (leftPiece !== undefined) leftPiece = await nextPiece(left.records, leftPiece);
  while (rightPiece !== undefined) rightPiece = await nextPiece(right.records, rightPiece);
}

/** The next piece that is not empty; the one before is used up. */
async function nextPiece(
  records: AsyncIterator<Uint8Array>,
  before?: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (before !== undefined) releaseBytes(before);
  for (;;) {
    const next = await records.next();
    if (next.done === true) return undefined;
    if (next.value.length > 0) return next.value;
  }
}
