/**
 * A party's keys as the elements of a match by VOLE: duplicates settled, padded. Nothing is sorted:
 * which keys are the same is looked up in a table, all of it in memory.
 */
import { viewOf } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { DIGEST_BYTES, ELEMENT_BYTES, dummyElements, writeElement } from '../element.ts';
import { wireItems } from '../params.ts';
import type { ElementSource, VolePsiParams } from './psi-params.ts';

/** Elements of a piece. */
const PIECE_BITS = 16;
const PIECE_ITEMS: number = 1 << PIECE_BITS;
const DIGEST_WORDS = DIGEST_BYTES / 4;

export interface SettledElements {
  /** Pieces are the reader's, once. */
  readonly source: ElementSource;
  /** Of each element that is no dummy, in the order of the source: which of the keys it is. */
  readonly rows: Uint32Array;
  /** Keys before duplicates were settled. */
  readonly items: number;
  /** Different keys among them. */
  readonly distinct: number;
}

/**
 * Settles a set.
 *
 * Secret: everything but the padded size.
 * @param digests - pieces of whole join-key digests (`DIGEST_BYTES` each), in the order of the rows.
 * @throws ProtocolError `set-too-large`
 */
export async function settleElements(
  params: VolePsiParams,
  randomBytes: (count: number) => Uint8Array,
  digests: AsyncIterable<Uint8Array>,
): Promise<SettledElements> {
  const settler = new Settler(params);
  for await (const piece of digests) settler.add(piece);
  const { count, items, distinct } = settler;
  const total = wireItems(params, count);
  const pieces = settler.takePieces();
  for (let missing = total - count; missing > 0; missing -= PIECE_ITEMS) {
    const dummies = Math.min(missing, PIECE_ITEMS);
    pieces.push(dummyElements(randomBytes(dummies * DIGEST_BYTES), dummies));
  }
  return {
    source: {
      count: total,
      async *pieces() {
        yield* pieces;
      },
    },
    rows: settler.takeRows(),
    items,
    distinct,
  };
}

/**
 * The rows of elements that are shared, ascending.
 * @param numbers - of the elements, in the order of the source.
 * @throws ProtocolError `transcript-mismatch` where one of them is a dummy, which nobody else has
 */
export function sharedRows(
  { rows }: Pick<SettledElements, 'rows'>,
  numbers: Uint32Array,
): Uint32Array {
  return numbers
    .map((number) => {
      const row = rows[number];
      if (row !== undefined) return row;
      throw new ProtocolError('transcript-mismatch', 'a dummy matched');
    })
    .sort();
}

/** Open addressing on the digests' leading bits, which a hash of the run's context made. */
class Settler {
  readonly #params: VolePsiParams;
  /** Numbers of first occurrences plus one, in twice as many slots; untouched pages cost nothing. */
  #slots: Uint32Array;
  /** How often each first occurrence has come again. */
  #again: Uint32Array;
  #pieces: Uint8Array[] = [];
  /** Of the pieces: one made for each look at an element costs more than the look. */
  #views: DataView[] = [];
  #rows: Uint32Array;
  #count = 0;
  items = 0;
  distinct = 0;

  constructor(params: VolePsiParams) {
    this.#params = params;
    let slots = 16;
    while (slots < 2 * params.setSizeMax) slots *= 2;
    this.#slots = new Uint32Array(slots);
    this.#rows = new Uint32Array(params.setSizeMax);
    this.#again = new Uint32Array(params.duplicates === 'multiplicity' ? params.setSizeMax : 0);
  }

  /** Elements so far. */
  get count(): number {
    return this.#count;
  }

  add(digests: Uint8Array): void {
    const count = digests.length / DIGEST_BYTES;
    if (wireItems(this.#params, this.items + count) > this.#params.setSizeMax) {
      const { setSizeMax } = this.#params;
      throw new ProtocolError('set-too-large', `the set has more than ${setSizeMax} items`);
    }
    const view = viewOf(digests);
    for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
      const slot = this.#find(view, at);
      const known = this.#slots[slot] ?? 0;
      const row = this.items;
      this.items += 1;
      if (known === 0) {
        this.#slots[slot] = this.#count + 1;
        this.distinct += 1;
        this.#append(digests.subarray(at, at + DIGEST_BYTES), 0, row);
      } else if (this.#params.duplicates === 'multiplicity') {
        const occurrence = (this.#again[known - 1] ?? 0) + 1;
        this.#again[known - 1] = occurrence;
        this.#append(digests.subarray(at, at + DIGEST_BYTES), occurrence, row);
      }
    }
  }

  /** Pieces of the elements so far, which are the caller's from now on. */
  takePieces(): Uint8Array[] {
    const pieces = this.#pieces;
    const rest = this.#count % PIECE_ITEMS;
    const last = pieces.pop();
    if (last !== undefined) {
      pieces.push(rest === 0 ? last : last.slice(0, rest * ELEMENT_BYTES));
    }
    this.#pieces = [];
    this.#views = [];
    this.#slots = new Uint32Array(0);
    this.#again = new Uint32Array(0);
    return pieces;
  }

  takeRows(): Uint32Array {
    return this.#rows.slice(0, this.#count);
  }

  /** The slot of this digest's first occurrence, or the empty one where it belongs. */
  #find(digests: DataView, at: number): number {
    const mask = this.#slots.length - 1;
    let slot = digests.getUint32(at, true) & mask;
    for (;;) {
      const known = this.#slots[slot] ?? 0;
      if (known === 0 || this.#isSame(known - 1, digests, at)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isSame(element: number, digests: DataView, at: number): boolean {
    const own = this.#views[element >>> PIECE_BITS];
    if (own === undefined) return false;
    const start = (element % PIECE_ITEMS) * ELEMENT_BYTES + 1;
    for (let word = 0; word < DIGEST_WORDS; word++) {
      const offset = 4 * word;
      if (own.getUint32(start + offset, true) !== digests.getUint32(at + offset, true))
        return false;
    }
    return true;
  }

  #append(digest: Uint8Array, occurrence: number, row: number): void {
    const place = this.#count % PIECE_ITEMS;
    if (place === 0) {
      const fresh = new Uint8Array(PIECE_ITEMS * ELEMENT_BYTES);
      this.#pieces.push(fresh);
      this.#views.push(viewOf(fresh));
    }
    const piece = this.#pieces.at(-1);
    if (piece !== undefined) writeElement(piece, place * ELEMENT_BYTES, digest, occurrence);
    this.#rows[this.#count] = row;
    this.#count += 1;
  }
}
