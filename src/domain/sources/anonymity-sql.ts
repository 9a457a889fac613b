/** The statement of an anonymity examination: one pass over classes, then one over their sizes. */
import type { DuckDBDataChunk } from '@duckdb/node-api';
import type { AnonymityFigures, AnonymityQuestion } from '../../catalog/anonymity.ts';
import { textOf, type ColumnBook } from './column-sql.ts';
import { integer, list, numbered, sql, type Sql } from './sql-text.ts';

/** Renders the examination. @throws InputError `column-unknown` */
export function anonymityStatement(
  book: ColumnBook,
  relation: Sql,
  question: AnonymityQuestion,
): Sql {
  const keys = question.quasiIdentifiers.map(
    (name, index) => sql`${textOf(book, name)} AS ${numbered('g', index)}`,
  );
  const values = question.sensitive.map(
    (name, index) => sql`${textOf(book, name)} AS ${numbered('v', index)}`,
  );
  const unit =
    question.privacyUnit === undefined
      ? sql`1 AS u`
      : sql`${textOf(book, question.privacyUnit)} AS u`;
  // A row without a unit is nobody's known row: it hides nobody and is taken for one more unit.
  const units =
    question.privacyUnit === undefined
      ? sql`count(*)`
      : sql`count(DISTINCT u) + count(*) FILTER (WHERE u IS NULL)`;
  const diversity = question.sensitive.map((_, index) => {
    const value = numbered('v', index);
    return sql`count(DISTINCT ${value}) + CAST(count(*) > count(${value}) AS INTEGER) AS ${numbered('d', index)}`;
  });
  const names = question.quasiIdentifiers.map((_, index) => numbered('g', index));
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
  ].map((figure, index) => sql`CAST(${figure} AS DOUBLE) AS ${numbered('s', index)}`);
  return sql`SELECT ${list(figures)} FROM (
    SELECT count(*) AS r, ${list([sql`${units} AS n`, ...diversity])}
    FROM (SELECT ${list([...keys, ...values, unit])} FROM ${relation}) GROUP BY ${list(names)}
  )`;
}

/** The figures out of the statement's only row. */
export function readFigures(chunk: DuckDBDataChunk, question: AnonymityQuestion): AnonymityFigures {
  const figure = (index: number): number => Number(chunk.getColumnVector(index).getItem(0));
  return {
    rows: figure(0),
    units: figure(1),
    classes: figure(2),
    k: figure(3),
    unique: figure(4),
    below5: figure(5),
    below10: figure(6),
    l: question.sensitive.map((column, index) => ({ column, distinct: figure(7 + index) })),
  };
}
