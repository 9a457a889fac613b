/** A domain's part of a secure sum, block by block: mask the counts, open them, mask the measures. */
import { equalBytes, lengthPrefixed, viewOf } from '../common/bytes.ts';
import { isCanonicalField } from '../common/field61.ts';
import type { HashPrimitive, Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { laneBytes } from '../common/rings.ts';
import type { RoundKeys } from './keys.ts';
import {
  bodyBytes,
  COUNT_MAX,
  LABELS,
  sections,
  VECTORS_PER_COUNT,
  type Layout,
} from './params.ts';

const WORD = 2 ** 32;

/** What every masking step is told. */
export interface BlockTask {
  readonly layout: Layout;
  readonly block: number;
  /** Secret. */
  readonly keys: RoundKeys;
}

/** Opened counts of a block: for the rows, then for each measured column. */
export interface OpenedCounts {
  readonly counts: Float64Array;
  readonly contributors: Uint16Array;
}

/**
 * Round 1: a block of counts with contributing holders and tags, masked before it leaves.
 *
 * Secret: `counted` and `factors`.
 * @param counted - for the rows, then for each measured column: u64 lanes of the block's cells.
 * @returns the body, uniform to whoever lacks a pair's or the output mask's key.
 * @throws ProtocolError `length-wrong`, or `value-out-of-range` for a count above 2^53 − 1.
 * Leaks: the number of cells.
 */
export function maskCounts(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  counted: readonly Uint8Array[],
  factors: readonly Uint8Array[],
): Uint8Array {
  const body = new Uint8Array(bodyBytes(task.layout, task.block));
  const { vectors, tags } = countVectors(task, body);
  if (counted.length * VECTORS_PER_COUNT !== vectors.length) {
    throw new ProtocolError('length-wrong', 'the round counts another number of things');
  }
  for (const [index, lanes] of counted.entries()) {
    const counts = vectorAt(vectors, index * VECTORS_PER_COUNT);
    exactly(lanes, counts.length);
    counts.set(lanes);
    markContributors(counts, vectorAt(vectors, index * VECTORS_PER_COUNT + 1));
  }
  tags.set(tagsOf(primitives, vectors, factors));
  maskBody(primitives, task, body);
  return body;
}

/**
 * Round 1, opening: takes the output mask off the totals and checks every tag, so that totals a
 * gateway shifted, dropped a party from, swapped or replayed do not open.
 *
 * Secret: `factors`, and the counts until suppression.
 * @param task - its keys are the output mask's, with sign −1.
 * @param countMax - no count can be above the holders' row caps together.
 * @throws ProtocolError `tag-mismatch`; `value-out-of-range`; `length-wrong`.
 */
export function openCounts(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  totals: Uint8Array,
  factors: readonly Uint8Array[],
  countMax: number,
  parties: number,
): readonly OpenedCounts[] {
  exactly(totals, bodyBytes(task.layout, task.block));
  if (!isCanonicalField(totals)) {
    throw new ProtocolError('value-out-of-range', 'a total is not a field element');
  }
  const body = totals.slice();
  maskBody(primitives, task, body);
  const { vectors, tags } = countVectors(task, body);
  if (!equalBytes(tagsOf(primitives, vectors, factors), tags)) {
    throw new ProtocolError('tag-mismatch', 'the totals are not the sum of what the parties sent');
  }
  const opened: OpenedCounts[] = [];
  for (let index = 0; index < vectors.length; index += VECTORS_PER_COUNT) {
    const [counts, holders] = [vectorAt(vectors, index), vectorAt(vectors, index + 1)];
    opened.push(readCounts(counts, holders, countMax, parties));
  }
  return opened;
}

/**
 * Round 2: sets every lane of a block that may not be released to zero, and masks the block.
 *
 * Secret: `body` until this returns.
 * @param body - the vectors' lanes of the block's cells, one after another; changed in place, as a
 *   copy of each block would cost a third of the masking.
 * @param permitted - for each vector, 1 a cell that may be released, 0 one that may not.
 * @throws ProtocolError `length-wrong`.
 * Leaks: the number of cells.
 */
export function maskMeasures(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  body: Uint8Array,
  permitted: readonly Uint8Array[],
): void {
  exactly(body, bodyBytes(task.layout, task.block));
  for (const [vector, { ring, offset, length }] of sections(task.layout, task.block).entries()) {
    const cells = permitted[vector] ?? new Uint8Array();
    const width = laneBytes(ring);
    exactly(cells, length / width);
    clearWithheld(body.subarray(offset, offset + length), cells, width);
  }
  maskBody(primitives, task, body);
}

/** By words: a call for each withheld cell, or for each run of them, took longer than the masking. */
function clearWithheld(lanes: Uint8Array, permitted: Uint8Array, width: number): void {
  const view = viewOf(lanes);
  for (let cell = permitted.indexOf(0); cell !== -1 && cell < permitted.length; cell++) {
    if (permitted[cell] === 1) continue;
    for (let at = cell * width; at < (cell + 1) * width; at += 4) view.setUint32(at, 0);
  }
}

/** What each party signs and all compare before round 2: the descriptor and every cell's fate. */
export function mapHash(
  hash: Pick<HashPrimitive, 'sha256'>,
  descriptorHash: Uint8Array,
  maps: readonly Uint8Array[],
): Uint8Array {
  return hash.sha256(lengthPrefixed([LABELS.map, descriptorHash, ...maps]));
}

function maskBody(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  body: Uint8Array,
): void {
  for (const [vector, { ring, offset, length }] of sections(task.layout, task.block).entries()) {
    const keys = task.keys[vector];
    if (keys === undefined || keys.length === 0) {
      // Without a mask the vector would leave in the clear.
      throw new ProtocolError('parameter-invalid', `vector ${vector} has no mask`);
    }
    const streams = keys.map(({ sign, key }) => ({
      sign,
      stream: primitives.stream.open(key, task.block),
    }));
    primitives.lanes.mask(ring, body.subarray(offset, offset + length), streams);
  }
}

/** The counted vectors of a body, and the tags behind them. */
function countVectors(
  { layout, block }: BlockTask,
  body: Uint8Array,
): { vectors: readonly Uint8Array[]; tags: Uint8Array } {
  const all = sections(layout, block).map(({ offset, length }) =>
    body.subarray(offset, offset + length),
  );
  return { vectors: all.slice(0, -1), tags: vectorAt(all, all.length - 1) };
}

/**
 * Σ α · vector, cell by cell. Whoever adds δ to the vectors of a cell, not all zero, must add Σ α · δ
 * to its tag: without the factors that is right once in 2^61 − 1 times.
 */
function tagsOf(
  primitives: Pick<Primitives, 'lanes'>,
  vectors: readonly Uint8Array[],
  factors: readonly Uint8Array[],
): Uint8Array {
  const tags = new Uint8Array(vectorAt(vectors, 0).length);
  for (const [index, vector] of vectors.entries()) {
    const product = vector.slice();
    primitives.lanes.multiplyField(product, vectorAt(factors, index));
    primitives.lanes.add('field61', tags, [product]);
  }
  return tags;
}

function vectorAt(vectors: readonly Uint8Array[], index: number): Uint8Array {
  const vector = vectors[index];
  if (vector === undefined) throw new ProtocolError('length-wrong', `no vector ${index}`);
  return vector;
}

/** Sets a holder's lane to 1 where it has at least one unit in the cell. */
function markContributors(counts: Uint8Array, holders: Uint8Array): void {
  const from = viewOf(counts);
  const to = viewOf(holders);
  for (let at = 0; at < counts.length; at += 8) {
    const count = numberAt(from, at);
    if (count > COUNT_MAX) throw new ProtocolError('value-out-of-range', 'a count is too large');
    to.setUint32(at, count > 0 ? 1 : 0, true);
  }
}

function readCounts(
  counts: Uint8Array,
  holders: Uint8Array,
  countMax: number,
  parties: number,
): OpenedCounts {
  const cells = counts.length / 8;
  const opened = { counts: new Float64Array(cells), contributors: new Uint16Array(cells) };
  const countView = viewOf(counts);
  const holderView = viewOf(holders);
  for (let cell = 0; cell < cells; cell++) {
    const count = numberAt(countView, cell * 8);
    const contributors = numberAt(holderView, cell * 8);
    if (count > countMax || contributors > parties || contributors > count) {
      throw new ProtocolError('value-out-of-range', 'a count is more than the holders can have');
    }
    opened.counts[cell] = count;
    opened.contributors[cell] = contributors;
  }
  return opened;
}

function numberAt(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * WORD;
}

function exactly(bytes: Uint8Array, lengthBytes: number): void {
  if (bytes.length !== lengthBytes) {
    throw new ProtocolError('length-wrong', `${bytes.length} bytes where ${lengthBytes} belong`);
  }
}
