/**
 * How much of each cell's sum its largest units have: what dominance terms are held against. A
 * unit's contribution is the size of its own sum, after clamping, as the answer sums it. Where the
 * dataset names no privacy unit every row is one; rows that name none count together as one.
 */
import type { AggregateQuery, Concentrations } from '../../catalog/data-source.ts';
import { assertInvariant } from '../../errors.ts';
import { placedRows, type CellRows } from './bounded-sql.ts';
import type { ColumnBook } from './column-sql.ts';
import { integer, numbered, sql, type Sql } from './sql-text.ts';

/** Rows of one summed column: the cell, then total, first, second and top of its units, each below 2^63. */
export function concentrationStatement(
  book: ColumnBook,
  query: AggregateQuery,
  from: CellRows,
  column: number,
  largest: number,
): Sql {
  const value = numbered('v', column);
  const isByUnit = book.privacyUnit !== undefined;
  const placed = isByUnit
    ? placedRows(book, query, from)
    : placedRows(book, query, from, sql`NULL`);
  return ranked(
    isByUnit
      ? sql`SELECT cell, abs(sum(${value})) AS amount FROM (${placed}) AS placed
          WHERE cell IS NOT NULL AND ${value} IS NOT NULL GROUP BY cell, unit`
      : sql`SELECT cell, abs(${value}) AS amount FROM (${placed}) AS placed
          WHERE cell IS NOT NULL AND ${value} IS NOT NULL`,
    largest,
  );
}

/** @param amounts - rows of `cell` and `amount`, a row a unit. */
export function ranked(amounts: Sql, largest: number): Sql {
  const of = (places: Sql): Sql => sql`coalesce(sum(amount) FILTER (WHERE ${places}), 0)`;
  return sql`SELECT cell, sum(amount) AS total, ${of(sql`place = 1`)} AS first_amount,
      ${of(sql`place = 2`)} AS second_amount, ${of(sql`place <= ${integer(largest)}`)} AS top
    FROM (SELECT cell, amount, row_number() OVER (PARTITION BY cell ORDER BY amount DESC) AS place
      FROM (${amounts}) AS amounts) AS ranked_amounts
    GROUP BY cell`;
}

/** Of cells that nobody contributes to. */
export function emptyConcentrations(cells: number): Concentrations {
  const amounts = (): BigUint64Array => new BigUint64Array(cells);
  return { totals: amounts(), firsts: amounts(), seconds: amounts(), tops: amounts() };
}

/** One row of `ranked`, as numbers or as their text. */
export function writeConcentration(all: Concentrations, row: readonly unknown[]): void {
  const [cell, ...amounts] = row.map((value) => {
    assertInvariant(
      typeof value === 'bigint' || typeof value === 'number' || typeof value === 'string',
      'a ranked row is of numbers',
    );
    return BigInt(value);
  });
  const at = Number(cell);
  assertInvariant(at >= 0 && at < all.totals.length && amounts.length === 4, 'the cell exists');
  const [total = 0n, first = 0n, second = 0n, top = 0n] = amounts;
  all.totals[at] = total;
  all.firsts[at] = first;
  all.seconds[at] = second;
  all.tops[at] = top;
}
