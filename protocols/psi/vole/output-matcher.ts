/** Walks two strictly ascending lists of outputs side by side. */
import { viewOf } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { compareKeys } from '../sorted-list.ts';

/** The own list stays; the other comes in pieces, each looked at once. */
export class OutputMatcher {
  readonly #own: Uint8Array;
  readonly #ownView: DataView;
  readonly #numbers: Uint32Array;
  readonly #outputBytes: number;
  #at = 0;
  #last: Uint8Array | undefined;

  /**
   * @param own - ascending outputs, at least 4 bytes each.
   * @param numbers - which item each is of.
   * @throws ProtocolError `point-repeated` where two of them are the same
   */
  constructor(own: Uint8Array, numbers: Uint32Array, outputBytes: number) {
    this.#own = own;
    this.#ownView = viewOf(own);
    this.#numbers = numbers;
    this.#outputBytes = outputBytes;
    requireAscent(own, outputBytes);
  }

  /** @see OkvsTable.match */
  match(piece: Uint8Array): Uint32Array {
    const bytes = this.#outputBytes;
    if (piece.length % bytes !== 0) {
      throw new ProtocolError('length-wrong', 'an output is cut short');
    }
    if (this.#last !== undefined && piece.length > 0) requireOrder(this.#last, 0, piece, 0, bytes);
    requireAscent(piece, bytes);
    if (piece.length > 0) this.#last = piece.slice(piece.length - bytes);
    const view = viewOf(piece);
    const found = new Uint32Array(piece.length / bytes);
    let count = 0;
    for (let at = 0; at < piece.length; at += bytes) {
      const head = view.getUint32(at);
      // Most of what is passed over differs in the first four bytes.
      while (this.#at < this.#own.length && this.#ownView.getUint32(this.#at) < head) {
        this.#at += bytes;
      }
      let order = -1;
      while (order < 0 && this.#at < this.#own.length) {
        order = compareKeys(this.#own, this.#at, piece, at, bytes);
        if (order < 0) this.#at += bytes;
      }
      if (order !== 0) continue;
      found[count] = this.#numbers[this.#at / bytes] ?? 0;
      count += 1;
    }
    return found.subarray(0, count);
  }
}

function requireAscent(list: Uint8Array, bytes: number): void {
  const view = viewOf(list);
  for (let at = bytes; at < list.length; at += bytes) {
    if (view.getUint32(at - bytes) >= view.getUint32(at)) {
      requireOrder(list, at - bytes, list, at, bytes);
    }
  }
}

function requireOrder(
  left: Uint8Array,
  leftAt: number,
  right: Uint8Array,
  rightAt: number,
  bytes: number,
): void {
  const order = compareKeys(left, leftAt, right, rightAt, bytes);
  if (order === 0) throw new ProtocolError('point-repeated', 'an item comes twice');
  if (order > 0) throw new ProtocolError('message-malformed', 'the outputs are not in order');
}
