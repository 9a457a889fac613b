import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AggregateQuery } from '../../src/catalog/data-source.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/duckdb-engine.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
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

const LABELS = ['a', 'it\'s "x"; DROP TABLE t; --', '北京', '😀', '%_\\', ' spaced '];

const kind = fc.option(
  fc.oneof(fc.constantFrom(...LABELS), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 })),
);
const at = fc.option(
  fc
    .date({
      min: new Date('1969-11-01T00:00:00Z'),
      max: new Date('2030-12-31T23:59:59Z'),
      noInvalidDate: true,
    })
    .map((date) => date.toISOString().slice(0, 19).replace('T', ' ')),
);
const whole = fc.option(
  fc.oneof(fc.integer({ min: -60, max: 60 }), fc.maxSafeInteger()).map(String),
);
const exact = fc.option(
  fc
    .tuple(fc.bigInt({ min: -(10n ** 14n), max: 10n ** 14n }), fc.integer({ min: 0, max: 6 }))
    .map(([units, digits]) => {
      const text = (units < 0n ? -units : units).toString().padStart(digits + 1, '0');
      const cut = text.length - digits;
      const sign = units < 0n ? '-' : '';
      return digits === 0 ? `${sign}${text}` : `${sign}${text.slice(0, cut)}.${text.slice(cut)}`;
    }),
);
const real = fc.option(
  fc.oneof(
    fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    fc.integer({ min: -40, max: 40 }).map((half) => half / 2),
    fc.double({ min: -1e300, max: 1e300, noNaN: true }),
  ),
);
const rows: fc.Arbitrary<Row[]> = fc.array(fc.record({ at, kind, whole, exact, real }), {
  maxLength: 40,
});

const GROUPS: readonly { column: string; labels: string[] }[] = [
  { column: 'kind', labels: LABELS },
  { column: 'hour', labels: ['00', '07', '23'] },
  { column: 'month', labels: ['1969-12', '1970-01', '2001-06'] },
  { column: 'weekday', labels: ['1', '2', '6', '7'] },
  { column: 'size', labels: ['<-10', '-10..<0', '0..<25', '>=25'] },
];
const bounded = fc
  .tuple(
    fc.constantFrom('whole', 'exact', 'real'),
    fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }),
    fc.bigInt({ min: 0n, max: 10n ** 12n }),
    fc.boolean(),
    fc.integer({ min: 0, max: 6 }),
    fc.boolean(),
  )
  .map(([column, low, width, isNarrow, scale, squares]) => {
    const minimum = isNarrow ? -((low < 0n ? -low : low) % 10_000n) : low;
    const maximum = isNarrow ? width % 10_000n : low + width;
    return { column, minimum: String(minimum), maximum: String(maximum), scale, squares };
  });
const query: fc.Arbitrary<AggregateQuery> = fc
  .record({
    groups: fc.subarray([...GROUPS], { maxLength: 3 }),
    picks: fc.array(
      fc.option(fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), { nil: undefined }),
      {
        minLength: 3,
        maxLength: 3,
      },
    ),
    sums: fc.array(bounded, { maxLength: 4 }),
  })
  .map(({ groups, picks, sums }) => ({
    groups,
    chosen: groups.map((group, index) => {
      const pick = picks[index];
      return pick === undefined
        ? undefined
        : [...group.labels, OTHER_LABEL].filter((_, label) => pick[label]);
    }),
    sums,
  }));

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
