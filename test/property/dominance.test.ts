import fc from 'fast-check';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import type { AggregateQuery, Concentrations } from '../../src/catalog/data-source.ts';
import { isAsStrict, strictestDominance } from '../../src/contracts/dominance-terms.ts';
import { suppressComplements } from '../../src/disclosure/complementary.ts';
import { isDominated, type Concentration } from '../../src/disclosure/dominance.ts';
import { dominated } from '../../src/disclosure/dominated.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { flightsContract, publishFlights } from '../support/published-flights.ts';
import {
  inTemporaryDirectory,
  registrationOf,
  writeTable,
  type Row,
} from '../support/source-tables.ts';

const LARGEST = 2;
const rules = { percent: 10, largest: LARGEST, share: 85 };

/** The naive reference: what the largest of all contributions have. */
function concentrationOf(contributions: readonly bigint[], largest = LARGEST): Concentration {
  const sorted = contributions.toSorted((a, b) => (a > b ? -1 : a < b ? 1 : 0));
  const sum = (values: readonly bigint[]): bigint => values.reduce((all, one) => all + one, 0n);
  const [first = 0n, second = 0n] = sorted;
  return { total: sum(sorted), first, second, top: sum(sorted.slice(0, largest)) };
}

describe('dominance', () => {
  const judged = (values: readonly bigint[], terms: typeof rules): boolean =>
    isDominated(concentrationOf(values), terms);

  it('the p% rule: the second largest may not come within p% of the largest', () => {
    const only = { ...rules, share: 100 };
    expect(judged([1000n, 500n, 100n], only)).toBe(false);
    expect(judged([1000n, 500n, 99n], only)).toBe(true);
    expect(judged([1000n], only)).toBe(true);
    expect(judged([], only)).toBe(false);
    expect(judged([0n, 0n], only)).toBe(false);
  });

  it('the (n, k) rule: the n largest have at most k% of the total', () => {
    const only = { ...rules, percent: 0 };
    expect(judged([50n, 35n, 15n], only)).toBe(false);
    expect(judged([50n, 36n, 14n], only)).toBe(true);
  });

  it('terms that are stricter withhold whatever the milder ones do', () => {
    const terms = fc.record({
      percent: fc.nat({ max: 100 }),
      largest: fc.integer({ min: 1, max: 4 }),
      share: fc.integer({ min: 1, max: 100 }),
    });
    const contributions = fc.array(fc.bigInt({ min: 0n, max: 1000n }), { maxLength: 12 });
    fc.assert(
      fc.property(terms, terms, contributions, (one, other, values) => {
        const { dominance } = strictestDominance([{ dominance: one }, {}, { dominance: other }]);
        expect(dominance !== undefined && isAsStrict(dominance, one)).toBe(true);
        for (const milder of [one, other]) {
          if (!isDominated(concentrationOf(values, milder.largest), milder)) continue;
          expect(isDominated(concentrationOf(values, dominance!.largest), dominance!)).toBe(true);
        }
      }),
    );
    expect(strictestDominance([{}])).toEqual({});
  });
});

describe('what is withheld with a dominated cell', () => {
  it('a cell that any holder objects to, and of its line other cells with rows enough', () => {
    const permitted = new Uint8Array(4).fill(1);
    const cells = {
      counts: Float64Array.of(50, 4, 3, 90),
      contributors: new Uint16Array(4).fill(3),
      objections: Float64Array.of(1, 0, 0, 0),
    };
    dominated.apply(cells, { smallestCell: 5, smallestContributors: 1 }, permitted);
    expect([...permitted]).toEqual([0, 1, 1, 1]);
    const table = { radices: [4], selected: new Uint8Array(4).fill(1), ...cells };
    suppressComplements(table, 5, permitted);
    expect([...permitted]).toEqual([0, 0, 0, 1]);
  });

  it('control: the dominated cell’s own rows would pass for enough', () => {
    const permitted = Uint8Array.of(0, 1, 1, 1);
    const counts = Float64Array.of(50, 4, 3, 90);
    suppressComplements(
      { radices: [4], selected: new Uint8Array(4).fill(1), counts },
      5,
      permitted,
    );
    expect([...permitted]).toEqual([0, 1, 0, 1]);
  });
});

describe('what a holder demands of exact sums over persons', () => {
  const demanded = { percent: 10, largest: 2, share: 85 };
  const published = HOLDERS.map((holder) => ({
    ...publishFlights(holder),
    dominance: demanded,
    privacyUnit: 'delay',
  }));
  const contract = flightsContract(published);
  const rules = (changes: Partial<typeof contract.disclosure>): unknown[] => {
    const disclosure = { ...contract.disclosure, ...changes };
    return planRefusals({ ...contract, disclosure }, published, HOLDERS.slice(0, 1)).map(
      ({ code, facts }) => [code, facts.rule],
    );
  };

  it('is dominance terms as strict as its own, and complements withheld', () => {
    const complementary = true as const;
    expect(rules({ dominance: demanded, complementary })).toEqual([]);
    expect(rules({ dominance: { ...demanded, percent: 20 }, complementary })).toEqual([]);
    const weaker = [{ percent: 9 }, { share: 86 }, { largest: 1 }];
    for (const change of weaker) {
      const dominance = { ...demanded, ...change };
      expect(rules({ dominance, complementary })).toEqual([['cell-too-small', 'dominance']]);
    }
    expect(rules({ complementary })).toEqual([['cell-too-small', 'dominance']]);
    expect(rules({ dominance: demanded })).toEqual([['cell-too-small', 'privacyUnit']]);
  });
});

const LABELS = ['a', 'b'];
const QUERY: AggregateQuery = {
  groups: [{ column: 'kind', labels: LABELS }],
  chosen: [undefined],
  sums: [{ column: 'exact', minimum: '-50', maximum: '50', scale: 0, squares: false }],
};
const rows: fc.Arbitrary<Row[]> = fc.array(
  fc.record({
    at: fc.constant(null),
    kind: fc.constantFrom(...LABELS, 'unlisted', null),
    whole: fc.constantFrom('1', '2', '3', '4', null),
    exact: fc.option(fc.integer({ min: -80, max: 80 }).map(String)),
    real: fc.constant(null),
  }),
  { minLength: 1, maxLength: 40 },
);

/** Contributions of each cell: of units, or of rows where none is named. */
function contributionsOf(table: readonly Row[], byUnit: boolean): bigint[][] {
  const cells = [...LABELS, undefined].map(() => new Map<string, bigint>());
  for (const [index, { kind, whole, exact }] of table.entries()) {
    if (exact === null) continue;
    const at = LABELS.indexOf(kind ?? '');
    const cell = cells[at === -1 ? LABELS.length : at]!;
    const unit = byUnit ? String(whole) : String(index);
    const clamped = BigInt(Math.max(-50, Math.min(50, Number(exact))));
    cell.set(unit, (cell.get(unit) ?? 0n) + clamped);
  }
  return cells.map((cell) => [...cell.values()].map((value) => (value < 0n ? -value : value)));
}

function atCell(all: Concentrations, cell: number): Concentration {
  const { totals, firsts, seconds, tops } = all;
  return {
    total: totals[cell]!,
    first: firsts[cell]!,
    second: seconds[cell]!,
    top: tops[cell]!,
  };
}

describe('contributions in files', () => {
  it('are the largest units’ of each cell, or the largest rows’ where no unit is named', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.boolean(), async (table, byUnit) =>
        inTemporaryDirectory(async (directory) => {
          await writeTable(directory, 'csv', table);
          const registration = registrationOf('csv', LABELS);
          const source = await openDuckDbSource({
            registration: byUnit ? { ...registration, privacyUnit: 'whole' } : registration,
            directory,
            spillDirectory: join(directory, 'spill'),
            limits: DEFAULT_ENGINE_LIMITS,
          });
          try {
            const [answer] = await source.concentrations!(QUERY, LARGEST);
            for (const [cell, values] of contributionsOf(table, byUnit).entries()) {
              expect(atCell(answer!, cell)).toEqual(concentrationOf(values));
            }
          } finally {
            await source.close();
          }
        }),
      ),
      { numRuns: 12 },
    );
  });
});
