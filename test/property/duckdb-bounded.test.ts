import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AggregateQuery } from '../../src/catalog/data-source.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import {
  inTemporaryDirectory,
  plainAnswer,
  registrationOf,
  writeTable,
  type Row,
} from '../support/source-tables.ts';
import { join } from 'node:path';

const LABELS = ['a', 'b', 'c', 'd'];
const BOUND = 50n;

/** Units are the values of `whole`; some rows name none. Days of one month share a cell. */
const rows: fc.Arbitrary<Row[]> = fc.array(
  fc.record({
    at: fc.constantFrom('2001-06-01 07:00:00', '2001-06-02 08:00:00', '2001-07-03 07:30:00', null),
    kind: fc.constantFrom(...LABELS, 'unlisted', 'also unlisted', null),
    whole: fc.constantFrom('1', '2', '3', '4', null),
    exact: fc.option(fc.integer({ min: -80, max: 80 }).map(String)),
    real: fc.constant(null),
  }),
  { minLength: 1, maxLength: 60 },
);

const QUERY: AggregateQuery = {
  groups: [
    { column: 'kind', labels: LABELS },
    { column: 'month', labels: ['2001-06', '2001-07'] },
  ],
  chosen: [undefined, undefined],
  sums: [{ column: 'exact', minimum: '-50', maximum: '50', scale: 0, squares: true }],
};

async function answers(
  table: readonly Row[],
  queries: readonly AggregateQuery[],
): Promise<readonly ReturnType<typeof plainAnswer>[]> {
  return inTemporaryDirectory(async (directory) => {
    await writeTable(directory, 'csv', table);
    const source = await openDuckDbSource({
      registration: { ...registrationOf('csv', LABELS), privacyUnit: 'whole' },
      directory,
      spillDirectory: join(directory, 'spill'),
      limits: DEFAULT_ENGINE_LIMITS,
    });
    try {
      const all: ReturnType<typeof plainAnswer>[] = [];
      for (const query of queries) all.push(plainAnswer(await source.aggregate(query)));
      return all;
    } finally {
      await source.close();
    }
  });
}

describe('bounded contributions', () => {
  it('one unit more or less changes at most so many cells, each by so many rows and values', async () => {
    const limits = fc.record({
      cellsMax: fc.integer({ min: 1, max: 3 }),
      rowsPerCellMax: fc.integer({ min: 1, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(
        rows,
        limits,
        fc.constantFrom('1', '2', null),
        async (table, perUnit, unit) => {
          const without = table.filter((row) => row.whole !== unit);
          if (without.length === 0) return;
          const query = { ...QUERY, perUnit };
          const [[full, again], [less]] = [
            await answers(table, [query, query]),
            await answers(without, [query]),
          ];
          expect(again).toEqual(full);
          const changed = full!.counts.map((count, cell) => count - less!.counts[cell]!);
          expect(changed.every((by) => by >= 0n && by <= BigInt(perUnit.rowsPerCellMax))).toBe(
            true,
          );
          expect(changed.filter((by) => by !== 0n).length).toBeLessThanOrEqual(perUnit.cellsMax);
          const [mine, theirs] = [full!.columns[0]!, less!.columns[0]!];
          for (const [cell, by] of changed.entries()) {
            const sum = mine.sums[cell]! - theirs.sums[cell]!;
            const squares = mine.squares![cell]! - theirs.squares![cell]!;
            expect(sum >= -by * BOUND && sum <= by * BOUND).toBe(true);
            expect(squares >= 0n && squares <= by * BOUND * BOUND).toBe(true);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('bounds that nobody reaches change nothing; without bounds one unit changes more (control)', async () => {
    const table: Row[] = Array.from({ length: 20 }, (_, index) => ({
      at: `2001-06-0${(index % 4) + 1} 07:00:00`,
      kind: LABELS[index % 4]!,
      whole: '1',
      exact: String(index),
      real: null,
    }));
    const wide = { ...QUERY, perUnit: { cellsMax: 100, rowsPerCellMax: 100 } };
    const tight = { ...QUERY, perUnit: { cellsMax: 1, rowsPerCellMax: 2 } };
    const [plain, same, bounded] = await answers(table, [QUERY, wide, tight]);
    expect(same).toEqual(plain);
    const total = (answer: typeof plain): bigint =>
      answer!.counts.reduce((sum, count) => sum + count, 0n);
    expect(total(plain)).toBe(20n);
    expect(total(bounded)).toBe(2n);
  });

  it('a dataset without a privacy unit is refused', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeTable(directory, 'csv', [
        { at: null, kind: 'a', whole: '1', exact: '1', real: null },
      ]);
      const source = await openDuckDbSource({
        registration: registrationOf('csv', LABELS),
        directory,
        spillDirectory: join(directory, 'spill'),
        limits: DEFAULT_ENGINE_LIMITS,
      });
      const perUnit = { cellsMax: 1, rowsPerCellMax: 1 };
      await expect(source.aggregate({ ...QUERY, perUnit })).rejects.toMatchObject({
        code: 'query-not-supported',
      });
      await source.close();
    });
  });
});
