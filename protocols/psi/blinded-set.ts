/**
 * A party's own set, made ready to be sent: duplicates settled, padded, hashed to the curve, blinded
 * with a fresh secret, and sorted by what came out.
 */
import { releaseBytes, viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { SECRET_BYTES, blindingSecret, type PsiEngine } from './blind.ts';
import {
  DIGEST_BYTES,
  ELEMENT_BYTES,
  dummyElements,
  sharedDummyElements,
  writeElement,
} from './element.ts';
import { inOrder, regroup } from './flow.ts';
import { POINT_BYTES, requireParams, wireItems, type PsiParams } from './params.ts';
import { copyBytes, resizeRecords } from './records.ts';
import { SortedList, compareKeys } from './sorted-list.ts';
import type { OpenSpill } from './spill.ts';

/** The two long steps: the own set blinded, the peer's points evaluated. */
export type PsiStep = 'blind' | 'evaluate';

/** What a party brings besides its items. */
export interface PsiMachine {
  readonly engine: PsiEngine;
  readonly openSpill: OpenSpill;
  /** Fresh random bytes; fixed only in tests. */
  readonly randomBytes: (count: number) => Uint8Array;
  /** Called after each piece of work; `total` only where it is no secret of this party. */
  readonly onProgress?: (step: PsiStep, done: number, total?: number) => void;
}

/** Bytes of a row number behind a record. */
export const ROW_BYTES = 4;
/** The row number of a dummy. */
export const NO_ROW = 0xffff_ffff;

/** Owns its list: `close` it when the run is over. */
export interface BlindedSet {
  /** This party's secret: drawn for this run, dropped with the set. */
  readonly secret: Uint8Array;
  /** `POINT_BYTES` each, followed by the row number, in ascending order of the points. */
  readonly points: SortedList;
  /** Items with a key, before duplicates were settled. */
  readonly items: number;
  /** Different keys among them. */
  readonly distinct: number;
  /** Items sent: after settling and padding. */
  readonly wireItems: number;
  /** Of a set by groups: how many of them are in each. */
  readonly cellItems?: Uint32Array;
  close(): Promise<void>;
}

/**
 * Reads a set and prepares it.
 *
 * Secret: the digests and the drawn blinding secret.
 * @param digests - pieces of whole join-key digests (`DIGEST_BYTES` each), in the order of the rows;
 *   used up.
 * @param sharedDummies - of each group's noise slots, how many get a dummy that the peer can have
 *   too; one entry where there are no groups. Secret.
 * @param secret - clamped, drawn for this set alone, where the caller needs more of it than that.
 * @throws ProtocolError `set-too-large`, `parameter-invalid`
 * Cost: one hash to the curve and one multiplication an item.
 */
export async function prepareSet(
  params: PsiParams,
  machine: PsiMachine,
  digests: AsyncIterable<Uint8Array>,
  sharedDummies: readonly number[] = [],
  secret?: Uint8Array,
): Promise<BlindedSet> {
  requireDummies(params, sharedDummies);
  const fits = (items: number): boolean => wireItems(params, items) <= params.setSizeMax;
  const arrange: Arrange = (settled, keys) =>
    paddedElements(params, machine, settled, keys, sharedDummies);
  return blindedSet(params, machine, digests, fits, arrange, secret);
}

/** Elements, each followed by four bytes that stay behind its point. */
export type Arrange = (settled: Settled, keys: SortedList) => AsyncIterable<Uint8Array>;

/**
 * Collects keys and blinds what is arranged of them.
 * @param fits - whether so many keys may be collected.
 * @throws ProtocolError `set-too-large`, `parameter-invalid`
 */
export async function blindedSet(
  params: PsiParams,
  machine: PsiMachine,
  digests: AsyncIterable<Uint8Array>,
  fits: (items: number) => boolean,
  arrange: Arrange,
  secret: Uint8Array = blindingSecret(machine.randomBytes(SECRET_BYTES)),
): Promise<BlindedSet> {
  const points = new SortedList(
    { recordBytes: POINT_BYTES + ROW_BYTES, keyBytes: POINT_BYTES },
    machine.openSpill,
  );
  const blind = async (elements: AsyncIterable<Uint8Array>): Promise<void> => {
    const pieces = regroup(elements, params.chunkItems * (ELEMENT_BYTES + ROW_BYTES));
    const blinded = inOrder(pieces, machine.engine.parallel, (piece) =>
      blindPiece(machine.engine, piece, secret),
    );
    for await (const records of blinded) {
      await points.add(records);
      releaseBytes(records);
      machine.onProgress?.('blind', points.size);
    }
  };
  try {
    const tally = await settledElements(params, machine, digests, fits, arrange, blind);
    const close = (): Promise<void> => {
      secret.fill(0);
      return points.close();
    };
    return { secret, points, ...tally, wireItems: points.size, close };
  } catch (error) {
    secret.fill(0);
    await points.close();
    throw error;
  }
}

/**
 * Collects keys and hands on what is arranged of them.
 * @param use - reads it to its end.
 * @throws as `blindedSet`
 */
export async function settledElements(
  params: PsiParams,
  machine: PsiMachine,
  digests: AsyncIterable<Uint8Array>,
  fits: (items: number) => boolean,
  arrange: Arrange,
  use: (elements: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<Pick<BlindedSet, 'items' | 'distinct'>> {
  requireParams(params);
  const keys = new SortedList(
    { recordBytes: DIGEST_BYTES + ROW_BYTES, keyBytes: DIGEST_BYTES },
    machine.openSpill,
  );
  try {
    await collectKeys(params, keys, digests, fits);
    const settled = new Settled(params);
    await use(arrange(settled, keys));
    return { items: keys.size, distinct: settled.distinct };
  } finally {
    await keys.close();
  }
}

function requireDummies(params: PsiParams, sharedDummies: readonly number[]): void {
  const slots = slotsOfCell(params);
  const isCount = (count: number): boolean =>
    Number.isInteger(count) && count >= 0 && count <= slots;
  if (sharedDummies.length > (params.groups?.cells ?? 1) || !sharedDummies.every(isCount)) {
    throw new ProtocolError('parameter-invalid', 'more shared dummies than noise slots');
  }
}

async function collectKeys(
  params: PsiParams,
  keys: SortedList,
  digests: AsyncIterable<Uint8Array>,
  fits: (items: number) => boolean,
): Promise<void> {
  for await (const piece of digests) {
    const count = piece.length / DIGEST_BYTES;
    if (!fits(keys.size + count)) {
      throw new ProtocolError('set-too-large', `the set has more than ${params.setSizeMax} items`);
    }
    const recordBytes = DIGEST_BYTES + ROW_BYTES;
    const records = resizeRecords(piece, DIGEST_BYTES, recordBytes);
    releaseBytes(piece);
    const view = viewOf(records);
    for (let i = 0; i < count; i++) {
      view.setUint32(i * recordBytes + DIGEST_BYTES, keys.size + i, true);
    }
    await keys.add(records);
    releaseBytes(records);
  }
}

/** Settles duplicates in sorted keys. */
export class Settled {
  readonly #params: PsiParams;
  /** Different keys seen so far. */
  distinct = 0;
  /** Items settled so far. */
  count = 0;

  constructor(params: PsiParams) {
    this.#params = params;
  }

  /** Elements, each followed by its row. */
  async *elements(keys: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const keyRecord = DIGEST_BYTES + ROW_BYTES;
    const record = ELEMENT_BYTES + ROW_BYTES;
    const last = new Uint8Array(DIGEST_BYTES);
    let occurrence = 0;
    for await (const piece of keys) {
      const out = new Uint8Array((piece.length / keyRecord) * record);
      let filled = 0;
      for (let at = 0; at < piece.length; at += keyRecord) {
        const isFirst = this.distinct === 0 || compareKeys(last, 0, piece, at, DIGEST_BYTES) !== 0;
        occurrence = isFirst ? 0 : occurrence + 1;
        if (isFirst) {
          this.distinct += 1;
          copyBytes(piece, at, last, 0, DIGEST_BYTES);
        } else if (this.#params.duplicates === 'distinct') {
          continue;
        }
        writeElement(out, filled, last, occurrence);
        copyBytes(piece, at + DIGEST_BYTES, out, filled + ELEMENT_BYTES, ROW_BYTES);
        filled += record;
      }
      releaseBytes(piece);
      this.count += filled / record;
      yield out.subarray(0, filled);
    }
  }
}

/** A whole set: its own elements, shared dummies, and dummies up to what goes on the wire. */
export async function* paddedElements(
  params: PsiParams,
  machine: PsiMachine,
  settled: Settled,
  keys: SortedList,
  sharedDummies: readonly number[],
): AsyncGenerator<Uint8Array> {
  yield* settled.elements(keys.sorted());
  let missing = wireItems(params, settled.count) - settled.count;
  for (const [cell, count] of sharedDummies.entries()) {
    yield* sharedFill(params, cell, count, NO_ROW);
    missing -= count;
  }
  yield* randomFill(params, machine, missing, NO_ROW);
}

/** Noise slots of each group; all of them where there are none. */
export function slotsOfCell(params: PsiParams): number {
  return params.noiseSlots / (params.groups?.cells ?? 1);
}

/** The first `count` shared dummies of a group, in pieces. */
export function* sharedFill(
  params: PsiParams,
  cell: number,
  count: number,
  tail: number,
): Generator<Uint8Array> {
  const from = cell * slotsOfCell(params);
  for (let first = 0; first < count; first += params.chunkItems) {
    const part = Math.min(params.chunkItems, count - first);
    yield withTail(sharedDummyElements(params.context, from + first, part), tail);
  }
}

/** So many dummies of this party's own, in pieces. */
export function* randomFill(
  params: PsiParams,
  { randomBytes }: PsiMachine,
  count: number,
  tail: number,
): Generator<Uint8Array> {
  for (let missing = count; missing > 0; missing -= params.chunkItems) {
    const part = Math.min(missing, params.chunkItems);
    yield withTail(dummyElements(randomBytes(part * DIGEST_BYTES), part), tail);
  }
}

/** Elements of no row, each with the number behind it that says so. */
function withTail(elements: Uint8Array, tail: number): Uint8Array {
  const record = ELEMENT_BYTES + ROW_BYTES;
  const out = resizeRecords(elements, ELEMENT_BYTES, record);
  releaseBytes(elements);
  const view = viewOf(out);
  for (let at = ELEMENT_BYTES; at < out.length; at += record) view.setUint32(at, tail, true);
  return out;
}

/** Blinds a piece of elements with rows into points with rows. */
async function blindPiece(
  engine: PsiEngine,
  piece: Uint8Array,
  secret: Uint8Array,
): Promise<Uint8Array> {
  const from = ELEMENT_BYTES + ROW_BYTES;
  const to = POINT_BYTES + ROW_BYTES;
  const elements = resizeRecords(piece, from, ELEMENT_BYTES);
  const points = await engine.blind(elements, secret);
  releaseBytes(elements);
  const out = resizeRecords(points, POINT_BYTES, to);
  for (let i = 0; i < piece.length / from; i++) {
    copyBytes(piece, i * from + ELEMENT_BYTES, out, i * to + POINT_BYTES, ROW_BYTES);
  }
  releaseBytes(points);
  releaseBytes(piece);
  return out;
}
