import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AggregateQuery } from '../../src/catalog/data-source.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { LABELS, query, rows } from '../support/source-arbitraries.ts';
import {
  FORMATS,
  inTemporaryDirectory,
  naiveAggregate,
  plainAnswer,
  registrationOf,
  writeTable,
  type Format,
  type Row,
} from '../support/source-tables.ts';

async function answerOf(format: Format, table: readonly Row[], asked: AggregateQuery) {
  return inTemporaryDirectory(async (directory) => {
    await writeTable(directory, format, table);
    const source = await openDuckDbSource({
      registration: registrationOf(format, LABELS),
      directory,
      spillDirectory: join(directory, 'spill'),
      limits: { ...DEFAULT_ENGINE_LIMITS, threads: 1, memoryMiB: 256 },
    });
    try {
      return plainAnswer(await source.aggregate(asked));
    } finally {
      await source.close();
    }
  });
}

describe('DuckDB aggregate', () => {
  it.each(FORMATS)('equals the naive reference over random tables in %s', async (format) => {
    await fc.assert(
      fc.asyncProperty(rows, query, async (table, asked) => {
        expect(await answerOf(format, table, asked)).toEqual(naiveAggregate(table, asked));
      }),
      { numRuns: 60 },
    );
  });

  it('takes an unlisted, a missing and an unreadable group value for other', async () => {
    const base = { whole: null, exact: null, real: null };
    const table: Row[] = [
      { ...base, at: '2001-01-01 07:30:00', kind: 'a' },
      { ...base, at: null, kind: 'a' },
      { ...base, at: 'not a time', kind: 'unlisted' },
    ];
    const asked: AggregateQuery = {
      groups: [{ column: 'hour', labels: ['07'] }],
      chosen: [undefined],
      sums: [],
    };
    expect((await answerOf('csv', table, asked)).counts).toEqual([1n, 2n]);
  });

  it('clamps what is beyond every number type, and counts NaN in no sum', async () => {
    const base = { at: null, kind: null, whole: null, exact: null };
    const huge = '9'.repeat(60);
    const table: Row[] = [
      { ...base, whole: huge, exact: huge, real: 1e300 },
      { ...base, whole: `-${huge}`, exact: `-${huge}`, real: -1e300 },
      { ...base, whole: 'nan', exact: 'nan', real: Number.NaN },
      { ...base, whole: 'x', exact: '', real: Number.POSITIVE_INFINITY },
    ];
    const bounds = { minimum: '-500', maximum: '700', scale: 2, squares: false };
    const asked: AggregateQuery = {
      groups: [],
      chosen: [],
      sums: ['whole', 'exact', 'real'].map((column) => ({ column, ...bounds })),
    };
    const { columns } = await answerOf('csv', table, asked);
    expect(columns.map((column) => [column.nonNull[0], column.sums[0]])).toEqual([
      [2n, 200n],
      [2n, 200n],
      [3n, 900n],
    ]);
  });
});
