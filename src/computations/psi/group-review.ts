/** What an officer of the matching holder is shown of a match by groups before its result leaves. */
import { OTHER_LABEL } from '../../contracts/plan.ts';
import type { ReleaseReview } from '../computation.ts';
import { reviewOf } from './review.ts';

/** The receiver's groups as it knows them, with noise where the contract says so. */
export interface GroupNumbers {
  readonly labels: readonly string[];
  readonly numbers: Float64Array;
  /** For each group, the one that it is counted in. */
  readonly into: Uint8Array;
  /** 1 a group that is shown. */
  readonly permitted: Uint8Array;
}

/** Each group's number, and whether it is shown by itself, within the last one, or not at all. */
export function groupReview(ownItems: number, groups: GroupNumbers): ReleaseReview {
  const { labels, numbers, into, permitted } = groups;
  const shownAs = (cell: number): string => {
    const target = into[cell] ?? cell;
    if (permitted[target] !== 1) return 'withheld · 不公布';
    return target === cell ? 'released · 公布' : `in ${OTHER_LABEL} · 并入 ${OTHER_LABEL}`;
  };
  const rows = [...numbers].map((number, cell) => [
    labels[cell] ?? OTHER_LABEL,
    number,
    shownAs(cell),
  ]);
  return {
    lines: reviewOf(ownItems).lines,
    table: { columns: ['group · 组', 'shared · 共有', 'shown · 公布'], rows },
  };
}
