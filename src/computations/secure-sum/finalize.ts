/** From opened totals to the released table; and a last look at whether they can be totals at all. */
import { setImmediate } from 'node:timers/promises';
import type { Contract } from '../../contracts/contract.ts';
import { aggregatePlanOf } from '../../contracts/plan-fits.ts';
import { OTHER_LABEL, type Measure } from '../../contracts/plan.ts';
import { AbortError } from '../../errors.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import type { Release } from '../computation.ts';
import { roundedRelease } from '../rounded-release.ts';
import { decimalText, roundedQuotient } from './rational.ts';
import type { MeasuredColumn, Shape } from './shape.ts';
import { selectedCells } from './suppression.ts';

const WORD = 2 ** 32;
/** Cells between two turns of the event loop, some 15 ms: other runs and heartbeats go on meanwhile. */
export const CELLS_A_TURN = 10_000;

interface ColumnTotal {
  readonly column: MeasuredColumn;
  readonly nonNull: bigint;
  readonly sum: bigint;
  readonly squares: bigint | undefined;
}

/**
 * Rows of the cells that were released, labelled; a measure whose column was suppressed is null.
 * Sums are exact decimals; a mean is per non-null row; means and sample variances are the exact
 * rational, rounded once.
 *
 * @param totals - vectors of round 2 over all cells.
 * Of noised totals only the counts are held against anything.
 * @throws AbortError `transcript-mismatch` where the totals cannot be sums of what was declared:
 *   a party's masks did not cancel.
 */
export async function finalize(
  contract: Contract,
  shape: Shape,
  totals: readonly Uint8Array[],
): Promise<Release> {
  const views = totals.map(viewOf);
  const selected = selectedCells(shape);
  const parties = contract.holders.length;
  const rowsMost = shape.rowsMaxTotal + parties * Number(shape.noise?.rows.tail ?? 0n);
  const rows: (string | number | null)[][] = [];
  let selectedCount = 0;
  for (let cell = 0; cell < selected.length; cell++) {
    if (cell % CELLS_A_TURN === CELLS_A_TURN - 1) await setImmediate();
    const count = countAt(views[0], cell);
    const isSelected = selected[cell] === 1;
    if (isSelected) selectedCount++;
    const isReleased = count > 0;
    if (isReleased && (!isSelected || count < contract.disclosure.smallestCell)) throw impossible();
    if (count > rowsMost) throw impossible();
    const columns = shape.columns.map((column) =>
      shape.noise === undefined
        ? totalOf(column, views, cell, count)
        : noisedTotalOf(column, views, cell),
    );
    if (!isReleased) continue;
    rows.push([
      ...labelsOf(shape, cell),
      ...aggregatePlanOf(contract).measures.map((measure) => valueOf(measure, count, columns)),
    ]);
  }
  const release = {
    columns: [
      ...aggregatePlanOf(contract).groups.map(({ column }) => column),
      ...aggregatePlanOf(contract).measures.map((measure) => measure.as),
    ],
    rows,
    suppressedCells: selectedCount - rows.length,
    releasedCells: rows.length,
  };
  return roundedRelease(release, contract);
}

function valueOf(
  measure: Measure,
  count: number,
  columns: readonly ColumnTotal[],
): string | number | null {
  if (measure.fn === 'count') return count;
  const total = columns.find(({ column }) => column.column === measure.column);
  if (total === undefined || total.nonNull === 0n) return null;
  const { sum, nonNull, squares, column } = total;
  const unit = 10n ** BigInt(column.scale);
  switch (measure.fn) {
    case 'sum':
      return decimalText(sum, column.scale);
    case 'avg':
      return roundedQuotient(sum, nonNull * unit);
    case 'var': {
      if (squares === undefined || nonNull < 2n) return null;
      const spread = nonNull * squares - sum * sum;
      // Only noise makes it negative: the nearest variance there is.
      return roundedQuotient(spread < 0n ? 0n : spread, nonNull * (nonNull - 1n) * unit * unit);
    }
  }
}

/** A column's totals of a cell, held against what the bounds allow. */
function totalOf(
  column: MeasuredColumn,
  views: readonly DataView[],
  cell: number,
  count: number,
): ColumnTotal {
  const nonNullCount = countAt(views[column.sumVector - 1], cell);
  if (nonNullCount > count) throw impossible();
  const squaresView = column.squares ? views[column.sumVector + 1] : undefined;
  if (nonNullCount === 0) {
    const isZero =
      wordsAreZero(views[column.sumVector], cell * 8, 8) &&
      (squaresView === undefined || wordsAreZero(squaresView, cell * 16, 16));
    if (!isZero) throw impossible();
    return { column, nonNull: 0n, sum: 0n, squares: undefined };
  }
  const nonNull = BigInt(nonNullCount);
  const sum = views[column.sumVector]?.getBigInt64(cell * 8, true) ?? 0n;
  if (sum < nonNull * BigInt(column.minimum) || sum > nonNull * BigInt(column.maximum)) {
    throw impossible();
  }
  if (squaresView === undefined) return { column, nonNull, sum, squares: undefined };
  const low = squaresView.getBigUint64(cell * 16, true);
  const squares = (squaresView.getBigUint64(cell * 16 + 8, true) << 64n) | low;
  // Cauchy and Schwarz: no values have a sum this large beside squares this small.
  if (nonNull * squares < sum * sum) throw impossible();
  return { column, nonNull, sum, squares };
}

/** A noised column's totals of a cell: noise leaves no bound between them to check. */
function noisedTotalOf(
  column: MeasuredColumn,
  views: readonly DataView[],
  cell: number,
): ColumnTotal {
  const nonNull = views[column.sumVector - 1]?.getBigInt64(cell * 8, true) ?? 0n;
  const sum = views[column.sumVector]?.getBigInt64(cell * 8, true) ?? 0n;
  if (nonNull < 0n) throw impossible();
  const view = column.squares ? views[column.sumVector + 1] : undefined;
  if (view === undefined) return { column, nonNull, sum, squares: undefined };
  const low = view.getBigUint64(cell * 16, true);
  return { column, nonNull, sum, squares: (view.getBigInt64(cell * 16 + 8, true) << 64n) | low };
}

/** The labels of a cell's groups, in their order. */
export function labelsOf(shape: Shape, cell: number): string[] {
  const labels: string[] = [];
  let rest = cell;
  for (let group = shape.groups.length - 1; group >= 0; group--) {
    const radix = shape.radices[group] ?? 1;
    labels.unshift(shape.groups[group]?.labels[rest % radix] ?? OTHER_LABEL);
    rest = Math.floor(rest / radix);
  }
  return labels;
}

function countAt(view: DataView | undefined, cell: number): number {
  if (view === undefined) return 0;
  return view.getUint32(cell * 8, true) + view.getUint32(cell * 8 + 4, true) * WORD;
}

function wordsAreZero(view: DataView | undefined, at: number, lengthBytes: number): boolean {
  for (let word = at; word < at + lengthBytes; word += 4) {
    if (view !== undefined && view.getUint32(word, true) !== 0) return false;
  }
  return true;
}

function impossible(): AbortError {
  return new AbortError('transcript-mismatch', 'The totals are not sums the holders could have.');
}
