/**
 * The grouped pass with every privacy unit's contribution bounded: what noise is measured by. A unit
 * counts in so many cells, with so many rows in each; cells and not the finer values that make
 * them, or one cell could take what was allowed for many.
 */
import type { AggregateQuery } from '../../catalog/data-source.ts';
import { InputError } from '../../errors.ts';
import {
  columnOf,
  laneSql,
  squareSql,
  textOf,
  type ColumnBook,
  type GroupSql,
} from './column-sql.ts';
import { concat, integer, list, numbered, sql, type Sql } from './sql-text.ts';

/** Where rows come from, and how the dictionaries make cells of them. */
export interface CellRows {
  readonly relation: Sql;
  readonly groups: readonly GroupSql[];
  readonly joins: readonly Sql[];
  readonly cell: Sql;
}

/**
 * Cells with their totals, as the outer statement reads them. Which rows count is fixed by the data
 * alone, so that the same question sums the same rows: a unit's cells in the order of a hash that
 * differs from unit to unit, so that no label is favoured; its rows in a cell by a hash of
 * their values, so that none are favoured, and then by those: among equal ones it does not matter. Rows that name no unit count together as one.
 * @throws InputError `query-not-supported` where the dataset names no privacy unit.
 */
export function boundedTotals(
  book: ColumnBook,
  query: AggregateQuery,
  perUnit: NonNullable<AggregateQuery['perUnit']>,
  from: CellRows,
): Sql {
  const lanes = query.sums.map((sum) => laneSql(columnOf(book, sum.column), sum));
  const values = lanes.map((_, index) => numbered('v', index));
  const totals: Sql[] = [sql`CAST(count(*) AS HUGEINT) AS n`];
  for (const [index, sum] of query.sums.entries()) {
    const value = numbered('v', index);
    totals.push(sql`CAST(count(${value}) AS HUGEINT) AS ${numbered('n', index)}`);
    totals.push(sql`coalesce(sum(${value}), 0) AS ${numbered('s', index)}`);
    if (!sum.squares) continue;
    const square = squareSql(value, lanes[index]?.squareFits ?? false);
    totals.push(sql`coalesce(sum(${square}), 0) AS ${numbered('q', index)}`);
  }
  // Rows with values first: with one row a unit, a unit that has a value counts as having one.
  const missing = values.map((value) => sql`${value} IS NULL`);
  const rowOrder =
    values.length === 0 ? sql`cell` : list([...missing, sql`hash(${list(values)})`, ...values]);
  return sql`SELECT cell, ${list(totals)} FROM (
    SELECT *, dense_rank() OVER (PARTITION BY unit ORDER BY hash(unit, cell), cell) AS cell_rank,
      row_number() OVER (PARTITION BY unit, cell ORDER BY ${rowOrder}) AS row_rank
    FROM (${placedRows(book, query, from)})
    WHERE cell IS NOT NULL
  ) WHERE cell_rank <= ${integer(perUnit.cellsMax)} AND row_rank <= ${integer(perUnit.rowsPerCellMax)}
  GROUP BY cell`;
}

/**
 * Rows as `cell`, the clamped values `v0`, `v1` … and `unit`; the cell is NULL where it was not chosen.
 * @param unit - what names it, over the source's rows; the privacy unit unless stated.
 * @throws InputError `query-not-supported` where the dataset names no privacy unit.
 */
export function placedRows(
  book: ColumnBook,
  query: AggregateQuery,
  from: CellRows,
  unit: Sql = textOf(book, unitOf(book)),
): Sql {
  const lanes = query.sums.map((sum) => laneSql(columnOf(book, sum.column), sum));
  const rows = list([
    ...from.groups.map((group, index) => sql`${group.code} AS ${numbered('g', index)}`),
    ...lanes.map((lane, index) => sql`${lane.prepared} AS ${numbered('p', index)}`),
    sql`${unit} AS unit`,
  ]);
  const placed = list([
    sql`${from.cell} AS cell`,
    ...lanes.map(
      (lane, index) => sql`${lane.lane(numbered('p', index))} AS ${numbered('v', index)}`,
    ),
    sql`unit`,
  ]);
  return sql`SELECT ${placed} FROM (SELECT ${rows} FROM ${from.relation}) ${concat(from.joins)}`;
}

function unitOf(book: ColumnBook): string {
  if (book.privacyUnit !== undefined) return book.privacyUnit;
  throw new InputError('query-not-supported', 'The dataset names no privacy unit.', {
    rule: 'contributions are bounded per privacy unit',
  });
}
