/** The main job over real processes of the build: from the analyst's request to a verified receipt. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatedTerms } from '../../src/cli/analyst.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan, Arguments } from '../../src/contracts/plan.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';
import { verifyReceipt } from '../../src/contracts/receipt.ts';
import {
  isEnough,
  isNearest,
  type Rules,
  type Totals,
  unionTotals,
  wrongValue,
} from './support/reference.ts';
import { REGIONS, visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];

const RULES: Rules = { smallestCell: 3, smallestContributors: 3 };

const ALL: AggregatePlan['measures'] = [
  { as: 'visits', fn: 'count' },
  { as: 'ages', fn: 'sum', column: 'age' },
  { as: 'mean_age', fn: 'avg', column: 'age' },
  { as: 'cost_total', fn: 'sum', column: 'cost' },
  { as: 'mean_cost', fn: 'avg', column: 'cost' },
  { as: 'cost_variance', fn: 'var', column: 'cost' },
  { as: 'level_total', fn: 'sum', column: 'level' },
  { as: 'level_variance', fn: 'var', column: 'level' },
];

interface Case {
  readonly what: string;
  readonly groups: readonly string[];
  readonly select?: AggregatePlan['select'];
  readonly terms?: Partial<StatedTerms>;
  readonly args?: Arguments;
  /** Chosen labels of the first group. */
  readonly chosen?: readonly string[];
}

const CASES: readonly Case[] = [
  { what: 'no groups', groups: [] },
  { what: 'one group', groups: ['kind'] },
  { what: 'two groups', groups: ['region', 'kind'] },
  {
    what: 'two groups, cells chosen by a parameter',
    groups: ['region', 'kind'],
    select: [{ column: 'region', in: { parameter: 'regions' } }],
    terms: {
      parameters: {
        regions: { kind: 'labels', column: 'region', labels: [...REGIONS], most: 2 },
      },
    },
    args: { regions: ['south', 'north'] },
    chosen: ['north', 'south'],
  },
];

function planOf(one: Case): AggregatePlan {
  return {
    kind: 'aggregate',
    table: 'visits',
    groups: one.groups.map((column) => ({ column })),
    measures: ALL,
    select: one.select ?? [],
  };
}

let weir: TestWeir;

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 600) });
});
afterAll(() => weir?.close());

describe('the secure sum over processes equals DuckDB over the union of the parts', () => {
  it.each(CASES)('$what', async (one) => {
    const plan = planOf(one);
    const contract = await weir.agree(plan, one.terms, { disclosure: RULES });
    const run = await weir.analyst.run(contract, one.args ?? {}, () => undefined);
    const totals = await unionTotals(weir.directory, PARTIES, one.groups);
    const { columns, rows, suppressedCells, releasedCells } = run.result.release;
    expect(columns).toEqual([...one.groups, ...ALL.map((measure) => measure.as)]);

    const isChosen = (cell: string): boolean =>
      one.chosen?.includes(cell.split('|')[0] ?? '') ?? true;
    const expected = [...totals].filter(
      ([cell, { rows: count, holders }]) => isChosen(cell) && isEnough(count, holders, RULES),
    );
    const cellOf = (row: readonly unknown[]): string => row.slice(0, one.groups.length).join('|');
    expect(rows.map(cellOf).toSorted()).toEqual(expected.map(([cell]) => cell).toSorted());
    expect(faultsOf(plan, totals, rows)).toEqual([]);
    expect(releasedCells).toBe(rows.length);
    expect(suppressedCells).toBe(selectedCells(contract, one) - rows.length);

    // Whoever has the contract verifies the receipt, offline, trusting no gateway key in advance.
    const verified = verifyReceipt(run.receipt, { contract });
    expect(verified.countersignedBy.toSorted()).toEqual(PARTIES);
    expect(verified.missing).toEqual([]);
    expect(run.receipt.receipt.spends.map((spend) => spend.party).toSorted()).toEqual(PARTIES);
  });

  it('with what a draft states by itself, more cells are withheld and none is wrong', async () => {
    const plan = planOf({ what: '', groups: ['region', 'kind'] });
    const contract = await weir.agree(plan);
    expect(contract.contract.disclosure).toEqual({ ...RULES, complementary: true });
    const run = await weir.analyst.run(contract, {}, () => undefined);
    const totals = await unionTotals(weir.directory, PARTIES, ['region', 'kind']);
    const enough = [...totals.values()].filter((one) => isEnough(one.rows, one.holders, RULES));
    const { rows } = run.result.release;
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThan(enough.length);
    for (const row of rows) {
      const exact = totals.get(row.slice(0, 2).join('|'))!;
      expect(isEnough(exact.rows, exact.holders, RULES)).toBe(true);
      for (const [index, measure] of ALL.entries()) {
        const value = row[2 + index] ?? null;
        if (value !== null) expect(wrongValue(measure, exact, value, RULES)).toBeUndefined();
      }
    }
  });

  it('the data has what the cases are about', async () => {
    const cells = await unionTotals(weir.directory, PARTIES, ['region', 'kind']);
    const some = (isSo: (totals: Totals) => boolean): boolean => [...cells.values()].some(isSo);
    expect([...cells.keys()].some((cell) => cell.startsWith(OTHER_LABEL))).toBe(true);
    // Too few rows; rows of too few holders; rows enough, and too few values or holders with values.
    expect(some(({ rows }) => rows < 3n)).toBe(true);
    expect(some(({ rows, holders }) => rows >= 3n && holders < 3n)).toBe(true);
    expect(some(({ rows, holders, nonNull }) => holders === 3n && nonNull.age < rows)).toBe(true);
    expect(some(({ rows, nonNull }) => rows >= 3n && nonNull.age < 3n)).toBe(true);
    expect(
      some(({ holders, holdersWith, nonNull }) => {
        return holders === 3n && nonNull.age >= 3n && holdersWith.age < 3n;
      }),
    ).toBe(true);
    expect(some(({ sum }) => sum.level < 0n)).toBe(true);
  });

  it('the comparison notices a wrong last digit of each measure', async () => {
    const totals = (await unionTotals(weir.directory, PARTIES, [])).get('')!;
    const contract = await weir.agree(planOf(CASES[0]!), {}, { disclosure: RULES });
    const run = await weir.analyst.run(contract, {}, () => undefined);
    const [row] = run.result.release.rows;
    for (const [index, measure] of ALL.entries()) {
      const value = row?.[index];
      const wrong =
        typeof value === 'number'
          ? measure.fn === 'count'
            ? value + 1
            : value * (1 + Number.EPSILON)
          : String(value).replace(/\d$/, (digit) => String((Number(digit) + 1) % 10));
      expect(wrongValue(measure, totals, value ?? null, RULES)).toBeUndefined();
      expect(wrongValue(measure, totals, wrong, RULES)).toBeDefined();
    }
    expect(isNearest(0.1, 1n, 10n)).toBe(true);
    expect(isNearest(0.1 + Number.EPSILON / 8, 1n, 10n)).toBe(false);
  });
});

function faultsOf(
  plan: AggregatePlan,
  totals: ReadonlyMap<string, Totals>,
  rows: readonly (readonly (string | number | null)[])[],
): string[] {
  return rows.flatMap((row) => {
    const cell = row.slice(0, plan.groups.length).join('|');
    const exact = totals.get(cell);
    if (exact === undefined) return [`${cell} is not a cell of the union`];
    return plan.measures.flatMap((measure, index) => {
      const value = row[plan.groups.length + index] ?? null;
      const wrong = wrongValue(measure, exact, value, RULES);
      return wrong === undefined ? [] : [`${cell} ${measure.as}: ${wrong}`];
    });
  });
}

function selectedCells(contract: ContractBody, one: Case): number {
  return contract.contract.dictionaries.reduce(
    (cells, { labels }, group) =>
      cells * (group === 0 && one.chosen !== undefined ? one.chosen.length : labels.length + 1),
    1,
  );
}
