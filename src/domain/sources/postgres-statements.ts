/** The statements over a PostgreSQL table: what it holds, its version, a grouped pass, key columns. */
import type { AnonymityQuestion } from '../../catalog/anonymity.ts';
import type { AggregateQuery } from '../../catalog/data-source.ts';
import type { DatasetRegistration } from '../../catalog/dataset.ts';
import { InputError } from '../../errors.ts';
import { cellsOf, cellSql, dictionaryTable } from './aggregate-sql.ts';
import type { ColumnBook } from './column-sql.ts';
import { ranked } from './concentration-sql.ts';
import { postgresGroup, postgresLane, postgresText } from './postgres-sql.ts';
import { concat, identifier, integer, list, literal, numbered, sql, type Sql } from './sql-text.ts';

/** A statement with what is bound to its parameters, in order. */
export interface Bound {
  readonly statement: Sql;
  readonly values: readonly unknown[];
}

/** The table itself, quoted. */
export function tableName(schema: string, table: string): Sql {
  return sql`${identifier(schema)}.${identifier(table)}`;
}

/** The rows that may be computed on. */
export function postgresRelation(
  registration: DatasetRegistration,
  from: Sql,
  book: ColumnBook,
  granted: readonly string[],
): Sql {
  const { consent } = registration;
  if (consent === undefined) return sql`(SELECT * FROM ${from}) AS source_rows`;
  if (granted.length === 0) return sql`(SELECT * FROM ${from} WHERE 1 = 0) AS source_rows`;
  const text = postgresText(book, consent.column);
  return sql`(SELECT * FROM ${from} WHERE ${text} IN (${list(granted.map(literal))})) AS source_rows`;
}

/**
 * How many rows, and two sums of row hashes over the registered columns: they change whenever the
 * multiset of rows does, but for accidents of one in 2^64.
 */
export function versionStatement(registration: DatasetRegistration, from: Sql): Sql {
  const columns = registration.columns
    .filter((column) => column.derived === undefined)
    .map((column) => identifier(column.sourceName ?? column.name));
  const hashed = (seed: number): Sql =>
    sql`CAST(coalesce(sum(CAST(hashtextextended(r, ${integer(seed)}) AS numeric)), 0) AS text)`;
  return sql`SELECT CAST(count(*) AS text), ${hashed(0)}, ${hashed(1)}
    FROM (SELECT CAST(ROW(${list(columns)}) AS text) AS r FROM ${from}) AS rows_as_text`;
}

/** Rows with their group codes and lanes, and how the dictionaries make cells of them. */
interface LanedRows {
  readonly laned: Sql;
  readonly joins: readonly Sql[];
  readonly cell: Sql;
  readonly values: readonly unknown[];
}

function lanedRows(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
  byUnit: boolean,
): LanedRows {
  const groups = query.groups.map((group) => postgresGroup(book, group.column));
  const tables = query.groups.map((group, index) =>
    dictionaryTable(group.labels, query.chosen[index], index),
  );
  const joins = tables.map(({ name }, index) => {
    const text = groups[index]?.text(numbered('g', index)) ?? numbered('g', index);
    const [labels, positions] = [parameter(2 * index + 1), parameter(2 * index + 2)];
    return sql`LEFT JOIN unnest(CAST(${labels} AS text[]), CAST(${positions} AS integer[])) AS ${name}(label, position) ON ${name}.label = ${text}`;
  });
  const rows = list([
    ...groups.map((group, index) => sql`${group.code} AS ${numbered('g', index)}`),
    ...query.sums.map((sum, index) => sql`${postgresLane(book, sum)} AS ${numbered('v', index)}`),
    ...(byUnit ? [sql`${postgresText(book, unitOf(book))} AS unit`] : []),
    sql`1 AS one`,
  ]);
  return {
    laned: sql`(SELECT ${rows} FROM ${relation}) AS laned`,
    joins,
    cell: cellSql(query, tables),
    values: tables.flatMap(({ labels, positions }) => [labels, positions]),
  };
}

/**
 * Result columns: the cell, its rows, then for each sum its non-null rows, its sum and, where asked
 * for, its squares; all as text.
 * @throws InputError `column-unknown`, `parameter-invalid`, `too-many-cells`, `query-not-supported`
 */
export function postgresAggregate(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
): Bound & { readonly cells: number } {
  const cells = cellsOf(query);
  const from = lanedRows(book, relation, query, query.perUnit !== undefined);
  const { laned, joins, cell, values } = from;
  const totals =
    query.perUnit === undefined
      ? groupedTotals(query, query.groups.length, laned, joins, cell)
      : boundedTotals(query, query.perUnit, laned, joins, cell);
  const texts = query.sums.flatMap((sum, index) => [
    sql`CAST(${numbered('n', index)} AS text)`,
    sql`CAST(${numbered('s', index)} AS text)`,
    ...(sum.squares ? [sql`CAST(${numbered('q', index)} AS text)`] : []),
  ]);
  const columns = list([sql`CAST(cell AS text)`, sql`CAST(n AS text)`, ...texts]);
  return {
    statement: sql`SELECT ${columns} FROM (${totals}) AS totals WHERE cell IS NOT NULL AND n IS NOT NULL`,
    values,
    cells,
  };
}

/**
 * Who is in each cell, as `unit-sql.ts`: the cell, then the digest of the unit, and for each summed
 * column that of the unit with its count, sum and sum of squares in the cell; all as text.
 * @throws InputError `query-not-supported` where the dataset names no privacy unit.
 */
export function postgresUnitItems(book: ColumnBook, relation: Sql, query: AggregateQuery): Bound {
  const { laned, joins, cell, values } = lanedRows(book, relation, query, true);
  const lanes = query.sums.map((_, index) => numbered('v', index));
  const totals = laneTotals({
    ...query,
    sums: query.sums.map((sum) => ({ ...sum, squares: true })),
  });
  // NULL is one unit, and another one than any text.
  const unit = sql`CASE WHEN unit IS NULL THEN ${literal('0')} ELSE concat(${literal('1')}, unit) END`;
  const contributions = query.sums.map((_, index) => {
    const parts = (['n', 's', 'q'] as const).flatMap((name) => [
      sql`CAST(${numbered(name, index)} AS text)`,
      literal(' '),
    ]);
    return sql`concat(${list([...parts, unit])})`;
  });
  const digests = [unit, ...contributions].map((text) => sql`md5(${text})`);
  return {
    statement: sql`SELECT CAST(cell AS text), ${list(digests)} FROM (
      SELECT ${list([sql`cell`, sql`unit`, ...totals])} FROM (
        SELECT ${list([sql`${cell} AS cell`, ...lanes, sql`unit`])} FROM ${laned} ${concat(joins)}) AS placed
      WHERE cell IS NOT NULL GROUP BY cell, unit) AS units ORDER BY units.cell`,
    values,
  };
}

/** As `concentration-sql.ts`, all as text. @throws InputError `column-unknown` */
export function postgresConcentration(
  book: ColumnBook,
  relation: Sql,
  query: AggregateQuery,
  column: number,
  largest: number,
): Bound {
  const isByUnit = book.privacyUnit !== undefined;
  const { laned, joins, cell, values } = lanedRows(book, relation, query, isByUnit);
  const value = numbered('v', column);
  const unit = isByUnit ? [sql`unit`] : [];
  const placed = sql`(SELECT ${list([sql`${cell} AS cell`, value, ...unit])} FROM ${laned} ${concat(joins)}) AS placed
    WHERE cell IS NOT NULL AND ${value} IS NOT NULL`;
  const amounts = isByUnit
    ? sql`SELECT cell, abs(sum(${value})) AS amount FROM ${placed} GROUP BY cell, unit`
    : sql`SELECT cell, abs(${value}) AS amount FROM ${placed}`;
  const columns = ['cell', 'total', 'first_amount', 'second_amount', 'top'].map(
    (name) => sql`CAST(${identifier(name)} AS text)`,
  );
  return {
    statement: sql`SELECT ${list(columns)} FROM (${ranked(amounts, largest)}) AS ranked_cells`,
    values,
  };
}

/** Rows by cheap codes first, then codes to cells. */
function groupedTotals(
  query: AggregateQuery,
  groupCount: number,
  laned: Sql,
  joins: readonly Sql[],
  cell: Sql,
): Sql {
  const codes = Array.from({ length: groupCount }, (_, index) => numbered('g', index));
  const inner = list([...codes, sql`count(*) AS n`, ...laneTotals(query)]);
  const grouping = codes.length === 0 ? sql`` : sql`GROUP BY ${list(codes)}`;
  const outer: Sql[] = [sql`sum(n) AS n`];
  for (const [index, sum] of query.sums.entries()) {
    const [n, s, q] = [numbered('n', index), numbered('s', index), numbered('q', index)];
    outer.push(sql`sum(${n}) AS ${n}`, sql`coalesce(sum(${s}), 0) AS ${s}`);
    if (sum.squares) outer.push(sql`coalesce(sum(${q}), 0) AS ${q}`);
  }
  return sql`SELECT ${cell} AS cell, ${list(outer)}
    FROM (SELECT ${inner} FROM ${laned} ${grouping}) AS grouped ${concat(joins)} GROUP BY 1`;
}

/** As `bounded-sql.ts`: so many cells a unit, so many rows in each, chosen by the data alone. */
function boundedTotals(
  query: AggregateQuery,
  perUnit: NonNullable<AggregateQuery['perUnit']>,
  laned: Sql,
  joins: readonly Sql[],
  cell: Sql,
): Sql {
  const values = query.sums.map((_, index) => numbered('v', index));
  // Rows with values first: with one row a unit, a unit that has a value counts as having one.
  const missing = values.map((value) => sql`${value} IS NULL`);
  const rowOrder = values.length === 0 ? sql`cell` : list([...missing, hashOf(values), ...values]);
  return sql`SELECT cell, ${list([sql`count(*) AS n`, ...laneTotals(query)])} FROM (
    SELECT *, dense_rank() OVER (PARTITION BY unit ORDER BY ${hashOf([sql`unit`, sql`cell`])}, cell) AS cell_rank,
      row_number() OVER (PARTITION BY unit, cell ORDER BY ${rowOrder}) AS row_rank
    FROM (SELECT ${list([sql`${cell} AS cell`, ...values, sql`unit`])} FROM ${laned} ${concat(joins)}) AS placed
    WHERE cell IS NOT NULL) AS ranked
    WHERE cell_rank <= ${integer(perUnit.cellsMax)} AND row_rank <= ${integer(perUnit.rowsPerCellMax)}
    GROUP BY cell`;
}

/** An order that favours no value. */
function hashOf(parts: readonly Sql[]): Sql {
  return sql`md5(concat_ws(${literal(',')}, ${list(parts)}))`;
}

/** Totals of lanes over rows; sums of bigint are numeric, so they cannot overflow. */
function laneTotals(query: AggregateQuery): Sql[] {
  return query.sums.flatMap((sum, index) => {
    const value = numbered('v', index);
    return [
      sql`count(${value}) AS ${numbered('n', index)}`,
      sql`coalesce(sum(${value}), 0) AS ${numbered('s', index)}`,
      ...(sum.squares
        ? [sql`coalesce(sum(CAST(${value} AS numeric) * ${value}), 0) AS ${numbered('q', index)}`]
        : []),
    ];
  });
}

/**
 * Columns as text, in the order asked for. Rows of several come in an order that their content alone
 * fixes: a table has none, and of a key's rows the first has its value or its group, which must be the
 * same wherever the version, and with it the noise, is the same. @throws InputError `column-unknown`
 */
export function postgresColumns(book: ColumnBook, relation: Sql, columns: readonly string[]): Sql {
  const texts = columns.map(
    (name, index) => sql`${postgresText(book, name)} AS ${numbered('v', index)}`,
  );
  const rows = sql`SELECT ${list(texts)} FROM ${relation}`;
  if (texts.length < 2) return rows;
  const values = texts.map((_, index) => numbered('v', index));
  return sql`SELECT ${list(values)} FROM (${rows}) AS texts ORDER BY ${list([hashOf(values), ...values])}`;
}

/** As `anonymity-sql.ts`. @throws InputError `column-unknown` */
export function postgresAnonymity(
  book: ColumnBook,
  relation: Sql,
  question: AnonymityQuestion,
): Sql {
  const keys = question.quasiIdentifiers.map(
    (name, index) => sql`${postgresText(book, name)} AS ${numbered('g', index)}`,
  );
  const values = question.sensitive.map(
    (name, index) => sql`${postgresText(book, name)} AS ${numbered('v', index)}`,
  );
  const { privacyUnit } = question;
  const unit =
    privacyUnit === undefined ? sql`1 AS u` : sql`${postgresText(book, privacyUnit)} AS u`;
  // A row without a unit is nobody's known row: it hides nobody and is taken for one more unit.
  const units =
    privacyUnit === undefined
      ? sql`count(*)`
      : sql`count(DISTINCT u) + count(*) FILTER (WHERE u IS NULL)`;
  const diversity = question.sensitive.map((_, index) => {
    const value = numbered('v', index);
    return sql`count(DISTINCT ${value}) + CAST(count(*) > count(${value}) AS integer) AS ${numbered('d', index)}`;
  });
  const below = (size: number): Sql => sql`coalesce(sum(n) FILTER (WHERE n < ${integer(size)}), 0)`;
  const figures = [
    sql`coalesce(sum(r), 0)`,
    sql`coalesce(sum(n), 0)`,
    sql`count(*)`,
    sql`coalesce(min(n), 0)`,
    below(2),
    below(5),
    below(10),
    ...question.sensitive.map((_, index) => sql`coalesce(min(${numbered('d', index)}), 0)`),
  ].map((figure) => sql`CAST(${figure} AS text)`);
  const names = list(question.quasiIdentifiers.map((_, index) => numbered('g', index)));
  return sql`SELECT ${list(figures)} FROM (
    SELECT count(*) AS r, ${list([sql`${units} AS n`, ...diversity])}
    FROM (SELECT ${list([...keys, ...values, unit])} FROM ${relation}) AS asked GROUP BY ${names}
  ) AS classes`;
}

function unitOf(book: ColumnBook): string {
  if (book.privacyUnit !== undefined) return book.privacyUnit;
  throw new InputError('query-not-supported', 'The dataset names no privacy unit.', {
    rule: 'contributions are bounded per privacy unit',
  });
}

/** The place of a bound value. */
function parameter(index: number): Sql {
  return `$${BigInt(index)}` as Sql;
}
