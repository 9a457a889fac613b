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
  type Section,
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
 * Secret: `counted` and `factor`.
 * @param counted - for the rows, then for each measured column: u64 lanes of the block's cells.
 * @returns the body, uniform to whoever lacks a pair's or the output mask's key.
 * @throws ProtocolError `length-wrong`, or `value-out-of-range` for a count above 2^53 − 1.
 * Leaks: the number of cells.
 */
export function maskCounts(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  counted: readonly Uint8Array[],
  factor: Uint8Array,
): Uint8Array {
  const { layout, block } = task;
  const body = new Uint8Array(bodyBytes(layout, block));
  const parts = sections(layout, block);
  for (const [index, lanes] of counted.entries()) {
    const [counts, holders, countTags, holderTags] = quadruple(body, parts, index);
    exactly(lanes, counts.length);
    counts.set(lanes);
    markContributors(counts, holders);
    countTags.set(counts);
    holderTags.set(holders);
    primitives.lanes.multiplyField(countTags, factor);
    primitives.lanes.multiplyField(holderTags, factor);
  }
  if (counted.length * VECTORS_PER_COUNT !== parts.length) {
    throw new ProtocolError('length-wrong', 'the round counts another number of things');
  }
  maskBody(primitives, task, body);
  return body;
}

/**
 * Round 1, opening: takes the output mask off the totals and checks every tag, so that totals a
 * gateway shifted, dropped a party from, swapped or replayed do not open.
 *
 * Secret: `factor`, and the counts until suppression.
 * @param task - its keys are the output mask's, with sign −1.
 * @param countMax - no count can be above the holders' row caps together.
 * @throws ProtocolError `tag-mismatch`; `value-out-of-range`; `length-wrong`.
 */
export function openCounts(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  totals: Uint8Array,
  factor: Uint8Array,
  countMax: number,
  parties: number,
): readonly OpenedCounts[] {
  const { layout, block } = task;
  exactly(totals, bodyBytes(layout, block));
  if (!isCanonicalField(totals)) {
    throw new ProtocolError('value-out-of-range', 'a total is not a field element');
  }
  const body = totals.slice();
  maskBody(primitives, task, body);
  const parts = sections(layout, block);
  const opened: OpenedCounts[] = [];
  for (let index = 0; index * VECTORS_PER_COUNT < parts.length; index++) {
    const [counts, holders, countTags, holderTags] = quadruple(body, parts, index);
    checkTags(primitives, counts, countTags, factor);
    checkTags(primitives, holders, holderTags, factor);
    opened.push(readCounts(counts, holders, countMax, parties));
  }
  return opened;
}

/**
 * Round 2: a block of measures, with every lane that may not be released set to zero, masked.
 *
 * Secret: `lanes`.
 * @param lanes - a vector's lanes of the block's cells each, in the layout's order.
 * @param permitted - for each vector, 1 a cell that may be released, 0 one that may not.
 * @throws ProtocolError `length-wrong`.
 * Leaks: the number of cells.
 */
export function maskMeasures(
  primitives: Pick<Primitives, 'stream' | 'lanes'>,
  task: BlockTask,
  lanes: readonly Uint8Array[],
  permitted: readonly Uint8Array[],
): Uint8Array {
  const { layout, block } = task;
  const body = new Uint8Array(bodyBytes(layout, block));
  for (const [vector, { ring, offset, length }] of sections(layout, block).entries()) {
    const cells = permitted[vector] ?? new Uint8Array();
    const values = lanes[vector] ?? new Uint8Array();
    const width = laneBytes(ring);
    exactly(values, length);
    exactly(cells, length / width);
    const section = body.subarray(offset, offset + length);
    section.set(values);
    for (const [cell, bit] of cells.entries()) {
      if (bit !== 1) section.fill(0, cell * width, (cell + 1) * width);
    }
  }
  maskBody(primitives, task, body);
  return body;
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

function quadruple(
  body: Uint8Array,
  parts: readonly Section[],
  index: number,
): [Uint8Array, Uint8Array, Uint8Array, Uint8Array] {
  const at = (vector: number): Uint8Array => {
    const part = parts[index * VECTORS_PER_COUNT + vector];
    if (part === undefined) throw new ProtocolError('length-wrong', 'more counts than vectors');
    return body.subarray(part.offset, part.offset + part.length);
  };
  return [at(0), at(1), at(2), at(3)];
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

function checkTags(
  primitives: Pick<Primitives, 'lanes'>,
  values: Uint8Array,
  tags: Uint8Array,
  factor: Uint8Array,
): void {
  const expected = values.slice();
  primitives.lanes.multiplyField(expected, factor);
  if (!equalBytes(expected, tags)) {
    throw new ProtocolError('tag-mismatch', 'the totals are not the sum of what the parties sent');
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
