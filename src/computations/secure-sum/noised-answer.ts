/**
 * A domain's answer with its noise on every cell. What leaves afterwards, in either round, is this
 * and never the answer before it: both rounds carry the same noise, so the second tells nothing of
 * the counts that the first did not.
 */
import type { AggregateAnswer } from '../../catalog/data-source.ts';
import type { WordStream } from '../../disclosure/noise-stream.ts';
import type { NoisePlan, VectorNoise } from '../../disclosure/noise-plan.ts';
import { cellPlaces, noiseShares } from '../../disclosure/noise-vector.ts';
import { InvariantError } from '../../errors.ts';
import type { CountedCells } from '../../disclosure/stage.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import { countedLanes } from './lanes.ts';
import type { Shape } from './shape.ts';

const WORD_BITS = 64n;

/** Where a domain's noise for a named vector of the run's question comes from. */
export type NoiseOf = (label: string) => WordStream;

/**
 * The answer with this domain's shares: counts may be negative (two's complement).
 * @param noiseOf - the same streams for the same question.
 */
export async function noisedAnswer(
  shape: Shape,
  noise: NoisePlan,
  answer: AggregateAnswer,
  noiseOf: NoiseOf,
): Promise<AggregateAnswer> {
  const groups = shape.groups.map(({ column }) => column);
  const places = cellPlaces(groups, shape.radices, groups.toSorted());
  const noised = async (lanes: Uint8Array, vector: VectorNoise): Promise<Uint8Array> => {
    const shares = await noiseShares(vector, noiseOf(vector.label), shape.cells, places);
    return lanes.length === shape.cells * 8 ? added64(lanes, shares) : added128(lanes, shares);
  };
  const columns: AggregateAnswer['columns'][number][] = [];
  for (const [index, column] of answer.columns.entries()) {
    const own = noise.columns[index];
    if (own === undefined) throw new InvariantError('internal', 'a column without its noise');
    const squares =
      column.squares === undefined || own.squares === undefined
        ? undefined
        : await noised(column.squares, own.squares);
    columns.push({
      nonNull: await noised(column.nonNull, own.nonNull),
      sums: await noised(column.sums, own.sum),
      squares,
    });
  }
  return { ...answer, counts: await noised(answer.counts, noise.rows), columns };
}

/** What each domain adds to the vectors of round 1, so that no noised count there is negative. */
function offsetOf(vector: VectorNoise | undefined): number {
  return Number(vector?.tail ?? 0n) + 1;
}

function countVectors(noise: NoisePlan): readonly VectorNoise[] {
  return [noise.rows, ...noise.columns.map(({ nonNull }) => nonNull)];
}

/** The lanes of round 1: noised counts, moved up to be above zero in every cell. */
export function offsetCounts(noise: NoisePlan, noised: AggregateAnswer): readonly Uint8Array[] {
  const vectors = countVectors(noise);
  return countedLanes(noised).map((lanes, index) => {
    const offset = BigInt(offsetOf(vectors[index]));
    const out = lanes.slice();
    const view = viewOf(out);
    for (let at = 0; at < out.length; at += 8) {
      view.setBigInt64(at, view.getBigInt64(at, true) + offset, true);
    }
    return out;
  });
}

/** The most that an opened count can be before the offsets come off. */
export function offsetCountMax(noise: NoisePlan, rowsMaxTotal: number, parties: number): number {
  const largest = Math.max(...countVectors(noise).map(offsetOf));
  return rowsMaxTotal + 2 * parties * largest;
}

/** Opened counts without the offsets: noised totals, which may be negative. Every party counts. */
export function withoutOffsets(
  noise: NoisePlan,
  opened: readonly CountedCells[],
  parties: number,
): readonly CountedCells[] {
  const vectors = countVectors(noise);
  return opened.map(({ counts, contributors }, index) => {
    const offsets = parties * offsetOf(vectors[index]);
    return { counts: counts.map((count) => count - offsets), contributors };
  });
}

function added64(lanes: Uint8Array, shares: Float64Array): Uint8Array {
  const out = lanes.slice();
  const view = viewOf(out);
  for (const [cell, share] of shares.entries()) {
    view.setBigInt64(cell * 8, view.getBigInt64(cell * 8, true) + BigInt(share), true);
  }
  return out;
}

function added128(lanes: Uint8Array, shares: Float64Array): Uint8Array {
  const out = lanes.slice();
  const view = viewOf(out);
  for (const [cell, share] of shares.entries()) {
    const at = cell * 16;
    const whole = (view.getBigInt64(at + 8, true) << WORD_BITS) | view.getBigUint64(at, true);
    const sum = whole + BigInt(share);
    view.setBigUint64(at, BigInt.asUintN(64, sum), true);
    view.setBigInt64(at + 8, BigInt.asIntN(64, sum >> WORD_BITS), true);
  }
  return out;
}
