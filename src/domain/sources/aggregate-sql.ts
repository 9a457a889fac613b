/**
 * The one statement of a grouped pass. Inner part: one hash aggregation over cheap group codes.
 * Outer part: codes become cells through the dictionaries, which are temporary tables filled by
 * the appender, so that no label is ever part of a statement.
 */
import type { AggregateQuery } from '../../catalog/data-source.ts';
import { CELLS_MAX, OTHER_LABEL } from '../../contracts/plan.ts';
import { InputError } from '../../errors.ts';
import { boundedTotals, type CellRows } from './bounded-sql.ts';
import {
  columnOf,
  groupSql,
  laneSql,
  squareSql,
  wordsSql,
  type ColumnBook,
  type GroupSql,
} from './column-sql.ts';
import { concat, integer, list, numbered, sql, type Sql } from './sql-text.ts';

/** Words of 32 bits in each kind of lane. */
export const COUNT_WORDS = 2;
export const SUM_WORDS = 2;
export const SQUARE_WORDS = 4;

/** A dictionary as rows of its temporary table: a group's text, and its position. */
interface DictionaryTable {
  readonly name: Sql;
  readonly labels: readonly string[];
  readonly positions: readonly number[];
  /** Where what the dictionary does not list belongs; undefined where it was not chosen. */
  readonly other: number | undefined;
}

export interface AggregateStatement {
  readonly statement: Sql;
  readonly tables: readonly DictionaryTable[];
  readonly cells: number;
}

/**
 * Cells of a query: the product of its dictionaries, each with its `other`. Row-major: the first
 * group is the most significant digit.
 * @throws InputError `too-many-cells`
 */
export function cellsOf(query: AggregateQuery): number {
  let cells = 1;
  for (const group of query.groups) cells *= group.labels.length + 1;
  if (cells > CELLS_MAX) {
    throw new InputError('too-many-cells', 'The groups have more cells than one run may have.', {
      remedy: `at most ${CELLS_MAX} cells`,
    });
  }
  return cells;
}

/**
 * Renders the statement. Result columns: the cell, then for counts and each sum's lanes their
 * 32-bit words, least significant first.
 * @throws InputError `column-unknown`, `parameter-invalid`, `too-many-cells`
 */
export function aggregateStatement(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
): AggregateStatement {
  const { cells, tables, from } = cellRows(book, relation, query);
  const { groups, joins, cell } = from;
  const totals: Sql[] = [sql`sum(n) AS n`];
  const words: Sql[] = wordsSql(sql`n`, COUNT_WORDS);
  for (const [index, sum] of query.sums.entries()) {
    const [n, s, q] = [numbered('n', index), numbered('s', index), numbered('q', index)];
    totals.push(sql`sum(${n}) AS ${n}`, sql`coalesce(sum(${s}), 0) AS ${s}`);
    words.push(...wordsSql(n, COUNT_WORDS), ...wordsSql(s, SUM_WORDS));
    if (!sum.squares) continue;
    totals.push(sql`coalesce(sum(${q}), 0) AS ${q}`);
    words.push(...wordsSql(q, SQUARE_WORDS));
  }
  const summed =
    query.perUnit === undefined
      ? sql`SELECT ${cell} AS cell, ${list(totals)} FROM (${innerStatement(book, relation, query, groups)}) ${concat(joins)} GROUP BY cell`
      : boundedTotals(book, query, query.perUnit, from);
  const statement = sql`SELECT cell, ${list(words)} FROM (
    ${summed}
  ) WHERE cell IS NOT NULL AND n IS NOT NULL`;
  return { statement, tables, cells };
}

/** Where a query's rows come from and how its dictionaries make cells of them. */
export function cellRows(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
): {
  readonly cells: number;
  readonly tables: readonly DictionaryTable[];
  readonly from: CellRows;
} {
  const cells = cellsOf(query);
  const groups = query.groups.map((group) => groupSql(columnOf(book, group.column)));
  const tables = query.groups.map((group, index) =>
    dictionaryTable(group.labels, query.chosen[index], index),
  );
  const cell = cellSql(query, tables);
  const joins = tables.map((table, index) => {
    const text = groups[index]?.text(numbered('g', index)) ?? numbered('g', index);
    return sql`LEFT JOIN temp.main.${table.name} AS ${table.name} ON ${table.name}.label = ${text}`;
  });
  return { cells, tables, from: { relation, groups, joins, cell } };
}

function innerStatement(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
  groups: readonly GroupSql[],
): Sql {
  const lanes = query.sums.map((sum) => laneSql(columnOf(book, sum.column), sum));
  const codes = groups.map((group, index) => sql`${group.code} AS ${numbered('g', index)}`);
  const codeNames = groups.map((_, index) => numbered('g', index));
  const prepared = lanes.map((lane, index) => sql`${lane.prepared} AS ${numbered('p', index)}`);
  const values = lanes.map(
    (lane, index) => sql`${lane.lane(numbered('p', index))} AS ${numbered('v', index)}`,
  );
  const totals: Sql[] = [sql`count(*) AS n`];
  for (const [index, sum] of query.sums.entries()) {
    const value = numbered('v', index);
    totals.push(sql`count(${value}) AS ${numbered('n', index)}`);
    totals.push(sql`sum(${value}) AS ${numbered('s', index)}`);
    if (!sum.squares) continue;
    const square = squareSql(value, lanes[index]?.squareFits ?? false);
    totals.push(sql`sum(${square}) AS ${numbered('q', index)}`);
  }
  const rows = list([...codes, ...prepared, sql`1 AS one`]);
  const clamped = list([...codeNames, ...values, sql`1 AS one`]);
  const grouping = codeNames.length === 0 ? sql`` : sql`GROUP BY ${list(codeNames)}`;
  return sql`SELECT ${list([...codeNames, ...totals])} FROM (
    SELECT ${clamped} FROM (SELECT ${rows} FROM ${relation})
  ) ${grouping}`;
}

export function cellSql(query: AggregateQuery, tables: readonly DictionaryTable[]): Sql {
  let cell: Sql = sql`0`;
  for (const [index, table] of tables.entries()) {
    const radix = integer((query.groups[index]?.labels.length ?? 0) + 1);
    const other = table.other === undefined ? sql`NULL` : integer(table.other);
    const position = sql`${table.name}.position`;
    const digit = sql`CASE WHEN ${position} IS NULL THEN ${other} WHEN ${position} >= 0 THEN ${position} END`;
    cell = sql`(${cell}) * ${radix} + ${digit}`;
  }
  return sql`CAST(${cell} AS INTEGER)`;
}

/**
 * A label that is not chosen keeps its row, with position −1, so that it reaches neither its own
 * cell nor `other`: without the row it would be taken for unlisted.
 */
export function dictionaryTable(
  labels: readonly string[],
  chosen: readonly string[] | undefined,
  index: number,
): DictionaryTable {
  const chosenLabels = chosen === undefined ? undefined : new Set(chosen);
  const listed = new Set(labels);
  if (listed.size !== labels.length) {
    throw new InputError('parameter-invalid', 'A dictionary lists a label twice.');
  }
  for (const label of chosenLabels ?? []) {
    if (label !== OTHER_LABEL && !listed.has(label)) {
      throw new InputError('parameter-invalid', 'A chosen label is not in the dictionary.');
    }
  }
  const isChosen = (label: string): boolean => chosenLabels?.has(label) ?? true;
  return {
    name: numbered('d', index),
    labels,
    positions: labels.map((label, position) => (isChosen(label) ? position : -1)),
    other: isChosen(OTHER_LABEL) ? labels.length : undefined,
  };
}
