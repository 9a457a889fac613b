/** The table of a match by groups, out of what its holders told the recipient. */
import type { Release } from '../computations/computation.ts';
import type { MatchGroups, MatchShape } from '../computations/psi/shape.ts';
import { OTHER_LABEL } from '../contracts/plan.ts';
import { malformedMatch, sumOfHalves } from './match-halves.ts';

/** A number that is shown, in as many digits as every other. */
const NUMBER = /^\d{10}$/;
const WITHHELD = /^-{10}$/;

/**
 * A row for each group that is shown, `(other)` the last: it gathers what no label lists and, where
 * the answer is exact, every group that is too small to be shown by itself.
 * @param received - the receiver's: a number a group, and its half where values are summed.
 * @param sent - the sender's halves; absent where nothing is summed.
 * @throws AbortError `transcript-mismatch`
 */
export function openGroups(
  { plan, cells, sumBounds }: MatchShape,
  groups: MatchGroups,
  received: Release['rows'],
  sent: Release['rows'] | undefined,
): Release {
  const isSum = plan.sum !== undefined;
  if (received.length !== cells || (isSum && sent?.length !== cells)) throw malformedMatch();
  const rows = received.flatMap(([number, half], cell) => {
    const text = String(number);
    if (WITHHELD.test(text)) return [];
    if (!NUMBER.test(text)) throw malformedMatch();
    const label = groups.labels[cell] ?? OTHER_LABEL;
    const sum = isSum ? [sumOfHalves(sent?.[cell]?.[0], half, sumBounds?.scale ?? 0)] : [];
    return [[label, Number(text), ...sum]];
  });
  return {
    columns: [
      plan.group?.as ?? groups.column,
      'shared',
      ...(plan.sum === undefined ? [] : [plan.sum.as]),
    ],
    rows,
    suppressedCells: cells - rows.length,
    releasedCells: rows.length,
  };
}
