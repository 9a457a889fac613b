/** A source's answer as the vectors of both rounds, checked before anything of it leaves. */
import type { AggregateAnswer } from '../../catalog/data-source.ts';
import { AbortError, PolicyError } from '../../errors.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import { laneBytes } from '../../../protocols/common/rings.ts';
import type { Shape } from './shape.ts';

const WORD = 2 ** 32;

/**
 * The answer has the planned shape, and no more rows than the overflow proof allows.
 * @throws AbortError `domain-failed`; PolicyError `dataset-drifted`.
 */
export function verifyAnswer(shape: Shape, answer: AggregateAnswer, rowsMax: number): void {
  const vectors = [...countedLanes(answer), ...measuredLanes(answer)];
  const rings = [...countedLanes(answer).map(() => 'mod64' as const), ...shape.measures.vectors];
  const fits =
    answer.cells === shape.cells &&
    answer.columns.length === shape.columns.length &&
    vectors.length === rings.length &&
    rings.every((ring, index) => vectors[index]?.length === shape.cells * laneBytes(ring));
  if (!fits) {
    throw new AbortError('domain-failed', 'The data source answered in another shape.');
  }
  if (totalOf(answer.counts) > rowsMax) {
    throw new PolicyError('dataset-drifted', 'The dataset has outgrown its declared row cap.', {
      rule: `at most ${rowsMax} rows`,
      remedy: 'Agree on a contract with a larger row cap.',
    });
  }
}

/**
 * What round 1 counts: the rows, then each measured column's non-null values; of persons where the
 * answer is about them, as many rows of one person are still one person. Objections last.
 */
export function countedLanes(answer: AggregateAnswer): readonly Uint8Array[] {
  const { units, counts, columns, objections = [] } = answer;
  if (units !== undefined) return [units.counts, ...units.nonNull, ...objections];
  return [counts, ...columns.map((column) => column.nonNull), ...objections];
}

/** The vectors of round 2, in its layout's order. */
export function measuredLanes(answer: AggregateAnswer): readonly Uint8Array[] {
  return [
    answer.counts,
    ...answer.columns.flatMap(({ nonNull, sums, squares }) =>
      squares === undefined ? [nonNull, sums] : [nonNull, sums, squares],
    ),
  ];
}

/** For each vector of round 2, the map of its column. */
export function measuredMaps(shape: Shape, maps: readonly Uint8Array[]): readonly Uint8Array[] {
  const map = (index: number): Uint8Array => maps[index] ?? new Uint8Array(shape.cells);
  return [
    map(0),
    ...shape.columns.flatMap(({ squares }, column) =>
      Array.from({ length: squares ? 3 : 2 }, () => map(column + 1)),
    ),
  ];
}

function totalOf(lanes: Uint8Array): number {
  const view = viewOf(lanes);
  let total = 0;
  for (let at = 0; at < lanes.length; at += 8) {
    total += view.getUint32(at, true) + view.getUint32(at + 4, true) * WORD;
  }
  return total;
}
