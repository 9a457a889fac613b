/**
 * Who is in each cell, as 16 bytes that are equal for equal units: what sketches are made of. Hashes
 * here keep rows short; the sketch keys them, so that they need not be secret.
 */
import type { DuckDBDataChunk } from '@duckdb/node-api';
import type { AggregateQuery, UnitItems } from '../../catalog/data-source.ts';
import { assertInvariant } from '../../errors.ts';
import { placedRows, type CellRows } from './bounded-sql.ts';
import type { ColumnBook } from './column-sql.ts';
import { integer, list, literal, numbered, sql, type Sql } from './sql-text.ts';

const ITEM_WORDS = 4;

/**
 * Rows: the cell, then the words of the unit, and for each summed column the words of the unit with
 * its count, sum and sum of squares in the cell.
 * @throws InputError `query-not-supported` where the dataset names no privacy unit.
 */
export function unitItemsStatement(book: ColumnBook, query: AggregateQuery, from: CellRows): Sql {
  const totals = query.sums.flatMap((_, index) => {
    const value = numbered('v', index);
    return [
      sql`count(${value}) AS ${numbered('n', index)}`,
      sql`coalesce(sum(${value}), 0) AS ${numbered('s', index)}`,
      sql`coalesce(sum(CAST(${value} AS HUGEINT) * ${value}), 0) AS ${numbered('q', index)}`,
    ];
  });
  // NULL is one unit, and another one than any text.
  const unit = sql`CASE WHEN unit IS NULL THEN ${literal('0')} ELSE concat(${literal('1')}, unit) END`;
  const contributions = query.sums.map((_, index) => {
    const parts = (['n', 's', 'q'] as const).flatMap((name) => [
      sql`CAST(${numbered(name, index)} AS VARCHAR)`,
      literal(' '),
    ]);
    return sql`concat(${list([...parts, unit])})`;
  });
  const words = [unit, ...contributions].flatMap(itemWords);
  return sql`SELECT cell, ${list(words)} FROM (
    SELECT ${list([sql`cell`, sql`unit`, ...totals])} FROM (${placedRows(book, query, from)})
    WHERE cell IS NOT NULL GROUP BY cell, unit
  ) ORDER BY cell`;
}

function itemWords(text: Sql): Sql[] {
  return (['md5_number_lower', 'md5_number_upper'] as const).flatMap((half) => {
    const value =
      half === 'md5_number_lower' ? sql`md5_number_lower(${text})` : sql`md5_number_upper(${text})`;
    return [
      sql`CAST(${value} & CAST(${integer(0xffff_ffffn)} AS UBIGINT) AS UINTEGER)`,
      sql`CAST(${value} >> CAST(${integer(32)} AS UBIGINT) AS UINTEGER)`,
    ];
  });
}

/** A chunk of `unitItemsStatement`'s rows as bytes. */
export function readUnitItems(chunk: DuckDBDataChunk, kinds: number): UnitItems {
  const rows = chunk.rowCount;
  const cellVector = chunk.getColumnVector(0);
  const cells = new Uint32Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const cell = cellVector.getItem(row);
    assertInvariant(typeof cell === 'number', 'the cell is a number');
    cells[row] = cell;
  }
  const items = Array.from({ length: kinds }, (_, kind) => {
    const words = new Uint32Array(rows * ITEM_WORDS);
    for (let word = 0; word < ITEM_WORDS; word += 1) {
      const values = chunk.getColumnVector(1 + kind * ITEM_WORDS + word);
      for (let row = 0; row < rows; row += 1) {
        const value = values.getItem(row);
        assertInvariant(typeof value === 'number', 'words are never null');
        words[row * ITEM_WORDS + word] = value;
      }
    }
    return new Uint8Array(words.buffer);
  });
  return { cells, items };
}
