/** The sender's filter: made once for a contract and a version of the data, then only read. */
import { concatBytes, releaseBytes } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import {
  type Arrange,
  paddedElements,
  ROW_BYTES,
  settledElements,
  type PsiMachine,
} from '../blinded-set.ts';
import { ELEMENT_BYTES } from '../element.ts';
import { inOrder, regroup } from '../flow.ts';
import { type PsiParams, wireItems } from '../params.ts';
import { resizeRecords } from '../records.ts';
import { SortedList } from '../sorted-list.ts';
import { cutOutputs, encodeFilter, filterBytes, filterShape, type FilterShape } from './filter.ts';
import { FILTER_DIGEST_BYTES, FILTER_PIECE_BYTES } from './messages.ts';
import { OUTPUT_BYTES, type OprfEngine } from './oprf.ts';

/** What a party of the unbalanced match brings. */
export interface OprfMachine extends PsiMachine {
  readonly oprf: OprfEngine;
}

/** A filter as both sides speak of it. */
export interface FilterFacts {
  readonly shape: FilterShape;
  /** Of the digests of its pieces. */
  readonly digest: Uint8Array;
}

export interface BuiltFilter extends FilterFacts {
  /** Items with a key, before duplicates were settled, and different keys among them. */
  readonly items: number;
  readonly distinct: number;
}

/**
 * Evaluates the own set and codes it. Padding is evaluated like items: what nobody can ask for looks
 * random to everybody else in any case, but the time it takes would tell how much of it there is.
 * @param digests - as for `prepareSet`.
 * @param key - clamped. Secret.
 * @param keep - gets each piece in turn; resolves when it is kept.
 * @throws ProtocolError `set-too-large`, `parameter-invalid`
 * Cost: one hash to the curve and one multiplication an item.
 */
export async function buildFilter(
  params: PsiParams,
  machine: OprfMachine,
  digests: AsyncIterable<Uint8Array>,
  key: Uint8Array,
  keep: (index: number, piece: Uint8Array) => Promise<void>,
): Promise<BuiltFilter> {
  const shapeOfRecords = { recordBytes: OUTPUT_BYTES, keyBytes: OUTPUT_BYTES };
  const outputs = new SortedList(shapeOfRecords, machine.openSpill);
  try {
    const derive = async (elements: AsyncIterable<Uint8Array>): Promise<void> => {
      const pieces = regroup(elements, params.chunkItems * (ELEMENT_BYTES + ROW_BYTES));
      const derived = inOrder(pieces, machine.oprf.parallel, (piece) =>
        machine.oprf.derive(withoutRows(piece), key),
      );
      for await (const records of derived) {
        await outputs.add(records);
        releaseBytes(records);
        machine.onProgress?.('blind', outputs.size);
      }
    };
    const fits = (items: number): boolean => wireItems(params, items) <= params.setSizeMax;
    const arrange: Arrange = (settled, keys) => paddedElements(params, machine, settled, keys, []);
    const tally = await settledElements(params, machine, digests, fits, arrange, derive);
    const shape = filterShape(outputs.size, params.peerSizeMax ?? params.setSizeMax);
    const digested = new FilterDigest(machine.oprf);
    let index = 0;
    const coded = encodeFilter(shape, cut(shape, outputs), FILTER_PIECE_BYTES);
    for await (const piece of coded) {
      digested.add(piece);
      await keep(index, piece);
      index += 1;
    }
    return { shape, digest: digested.finish(), ...tally };
  } finally {
    await outputs.close();
  }
}

async function* cut(shape: FilterShape, outputs: SortedList): AsyncGenerator<Uint8Array> {
  for await (const records of outputs.sorted()) {
    cutOutputs(shape, records, OUTPUT_BYTES);
    yield records;
  }
}

function withoutRows(piece: Uint8Array): Uint8Array {
  const record = ELEMENT_BYTES + ROW_BYTES;
  const out = resizeRecords(piece, record, ELEMENT_BYTES);
  releaseBytes(piece);
  return out;
}

/** How many pieces carry a filter. */
export function filterPieces(shape: FilterShape): number {
  return Math.ceil(filterBytes(shape) / FILTER_PIECE_BYTES);
}

/** Bytes of one of its pieces. */
export function filterPieceBytes(shape: FilterShape, index: number): number {
  return Math.min(FILTER_PIECE_BYTES, filterBytes(shape) - index * FILTER_PIECE_BYTES);
}

/** SHA-256 over the digests of pieces, so that each is hashed as it comes by. */
export class FilterDigest {
  readonly #sha256: OprfEngine['sha256'];
  readonly #digests: Uint8Array[] = [];

  constructor({ sha256 }: Pick<OprfEngine, 'sha256'>) {
    this.#sha256 = sha256;
  }

  add(piece: Uint8Array): void {
    this.#digests.push(this.#sha256(piece));
  }

  finish(): Uint8Array {
    const digest = this.#sha256(concatBytes(this.#digests));
    if (digest.length === FILTER_DIGEST_BYTES) return digest;
    throw new ProtocolError('parameter-invalid', 'SHA-256 gives 32 bytes');
  }
}
