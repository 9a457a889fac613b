/** Random small tables and the queries that are asked of them, for every kind of source alike. */
import fc from 'fast-check';
import type { AggregateQuery } from '../../src/catalog/data-source.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';
import type { Row } from './source-tables.ts';

export const LABELS = ['a', 'it\'s "x"; DROP TABLE t; --', '北京', '😀', '%_\\', ' spaced '];

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
    .tuple(
      fc.bigInt({ min: 1n - 10n ** 14n, max: 10n ** 14n - 1n }),
      fc.integer({ min: 0, max: 6 }),
    )
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
export const rows: fc.Arbitrary<Row[]> = fc.array(fc.record({ at, kind, whole, exact, real }), {
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
export const query: fc.Arbitrary<AggregateQuery> = fc
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
