import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { estimateSecureSum } from '../../src/computations/secure-sum/estimate.ts';
import { shapeOf } from '../../src/computations/secure-sum/shape.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { cellPlaces, noiseShares } from '../../src/disclosure/noise-vector.ts';
import { questionOf } from '../../src/disclosure/question.ts';
import { microRhoOf } from '../../src/disclosure/zcdp.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';
import {
  caseNoise,
  FIXED_CASE,
  prepare,
  runAll,
  testPool,
  type Prepared,
  type RunCase,
} from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());

const TERMS: NoiseTerms = {
  mechanism: 'discrete-gaussian',
  microRhoPerRun: 100_000,
  deltaExponent: 9,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 2,
};
const NOISED: RunCase = {
  ...FIXED_CASE,
  columns: [FIXED_CASE.columns[0]!, { ...FIXED_CASE.columns[1]!, maximum: 10n ** 12n }],
  noiseSeed: 'noise',
};
const withNoise = (terms: NoiseTerms = TERMS): Partial<Contract> => ({
  disclosure: { smallestCell: 3, smallestContributors: 2, noise: terms },
});

/** Σ of all parties' shares for each cell of a vector, in the contract's order of groups. */
async function totalNoise(prepared: Prepared, which: 'rows' | 'sum'): Promise<number[]> {
  const shape = shapeOf(prepared.contract, {});
  const vector = which === 'rows' ? shape.noise!.rows : shape.noise!.columns[0]!.sum;
  const groups = shape.groups.map(({ column }) => column);
  const places = cellPlaces(groups, shape.radices, groups.toSorted());
  const totals = Array.from({ length: shape.cells }, () => 0);
  for (const { id } of prepared.descriptor.parties) {
    const stream = caseNoise('noise', id)(vector.label);
    const shares = await noiseShares(vector, stream, shape.cells, places);
    for (const [cell, share] of shares.entries()) totals[cell]! += share;
  }
  return totals;
}

async function released(
  run: RunCase,
  prepared: Prepared,
): Promise<readonly (readonly (string | number | null)[])[]> {
  const { release, domains } = await runAll(run, prepared, pool);
  for (const domain of domains) expect(domain).toEqual({ status: 'fulfilled', value: undefined });
  if (release.status !== 'fulfilled') throw release.reason;
  return release.value.rows;
}

describe('a noised secure sum', () => {
  it('is the exact one plus every domain’s shares, cut by the threshold on noised counts', async () => {
    const prepared = prepare(NOISED, {}, withNoise());
    const noise = await totalNoise(prepared, 'rows');
    const sums = await totalNoise(prepared, 'sum');
    const counts = Array.from({ length: prepared.cells }, () => 0);
    const totals = Array.from({ length: prepared.cells }, () => 0n);
    for (const { cell, values } of NOISED.parts.flat()) {
      counts[cell]! += 1;
      totals[cell]! += values[0] ?? 0n;
    }
    const expected = counts
      .map((count, cell) => ({ count: count + noise[cell]!, cell }))
      .filter(({ count }) => count >= 3);
    const rows = await released(NOISED, prepared);
    expect(rows.map((row) => row[2])).toEqual(expected.map(({ count }) => count));
    expect(expected.length).toBeGreaterThan(0);
    expect(noise.some((share) => share !== 0)).toBe(true);
    const shown = rows.map((row) => row[3]).filter((sum) => sum !== null);
    const exact = expected.map(({ cell }) => totals[cell]! + BigInt(sums[cell]!));
    for (const sum of shown) {
      expect(exact.map((units) => Number(units) / 100)).toContain(Number(sum));
    }
    // A cell nobody has anything in is noised like any other.
    expect(new Set(noise).size).toBeGreaterThan(3);
  });

  it('is the same table however often and in whatever order of groups it is asked', async () => {
    const first = prepare(NOISED, {}, withNoise());
    const plan = first.contract.plan as AggregatePlan;
    const turned = prepare(
      NOISED,
      {},
      {
        ...withNoise(),
        plan: {
          ...plan,
          groups: plan.groups.toReversed(),
          measures: plan.measures.map((measure) => ({ ...measure, as: `other_${measure.as}` })),
        },
      },
    );
    // The same rows under the other order of cells.
    const radices = NOISED.groups.map((labels) => labels.length + 1);
    const moved: RunCase = {
      ...NOISED,
      parts: NOISED.parts.map((part) =>
        part.map(({ cell, values }) => ({
          cell: (cell % radices[1]!) * radices[0]! + Math.floor(cell / radices[1]!),
          values,
        })),
      ),
    };
    const rows = await released(NOISED, first);
    const again = await released(NOISED, first);
    expect(again).toEqual(rows);
    const other = await released(moved, turned);
    const key = (row: readonly unknown[]): string => JSON.stringify(row);
    const back = other.map(([b, a, ...measures]) => [a, b, ...measures]);
    expect(back.map(key).toSorted()).toEqual(rows.map(key).toSorted());
  });

  it('explain says what it costs and how far off it is, and that it is not exact', () => {
    const { contract } = prepare(NOISED, {}, withNoise());
    const estimate = estimateSecureSum(contract, {});
    expect(estimate.exact).toBe(false);
    expect(estimate.units['micro-rho']).toBe(100_000n);
    const { noise } = shapeOf(contract, {});
    expect(estimate.noise?.deviations[0]).toEqual({
      of: 'rows',
      deviation: expect.closeTo(Math.sqrt(Number(noise!.rows.variance) * 3), 1),
    });
    expect(estimate.noise?.epsilon).toBeGreaterThan(2);
    const exact = estimateSecureSum(prepare(FIXED_CASE).contract, {});
    expect([exact.exact, exact.noise]).toEqual([true, undefined]);
  });

  it('costs no more than the contract says, whatever the columns', () => {
    const { contract } = prepare(NOISED, {}, withNoise());
    const { noise, columns, cells } = shapeOf(contract, {});
    let cost = microRhoOf({ squaredSensitivity: 1n, cells }, noise!.rows.variance, 2);
    for (const [index, column] of columns.entries()) {
      const bound = BigInt(column.maximum);
      const own = noise!.columns[index]!;
      cost += microRhoOf({ squaredSensitivity: 1n, cells }, own.nonNull.variance, 2);
      cost += microRhoOf({ squaredSensitivity: bound * bound, cells }, own.sum.variance, 2);
      if (own.squares === undefined) continue;
      cost += microRhoOf({ squaredSensitivity: bound ** 4n, cells }, own.squares.variance, 2);
    }
    expect(cost).toBeLessThanOrEqual(100_000n);
    expect(cost).toBeGreaterThan(90_000n);
  });

  it('counts the tail of the noise into the overflow proof', () => {
    const bound = (2n ** 62n / 3072n).toString();
    const bounds = [{ column: 'x0', minimum: '0', maximum: bound, scale: 0 }];
    const cramped: RunCase = {
      ...FIXED_CASE,
      columns: [{ minimum: 0n, maximum: 2n ** 50n, scale: 0, squares: false }],
    };
    expect(prepare(cramped, {}, { bounds }).cells).toBe(12);
    const quiet = { ...TERMS, microRhoPerRun: 100 };
    expect(() => prepare(cramped, {}, { bounds, ...withNoise(quiet) })).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/overflow-possible|parameter-invalid/),
      }),
    );
  });

  it('a run without a source of noise ends before anything leaves', async () => {
    const prepared = prepare(NOISED, {}, withNoise());
    const { noiseSeed: _, ...without } = NOISED;
    const { domains, release } = await runAll(without, prepared, pool);
    expect(release.status).toBe('rejected');
    expect(domains.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });
});

describe('what is one question', () => {
  const cast = makeCast();
  const base = makeContract(cast);
  const noisy = makeContract(cast, {
    disclosure: { ...base.disclosure, noise: TERMS },
    limits: { ...base.limits, microRhoTotal: 10_000_000 },
  });
  const parties = [{ id: 'east', ephemeralKey: 'x', datasetFingerprint: 'a'.repeat(64) }] as never;
  const ask = (contract: Contract, hours: string[] = ['6', '7']): string =>
    questionOf(contract, {
      arguments: { hours },
      parties,
      noise: contract.disclosure.noise ?? 'none',
      engine: 'secure-sum/1',
    });
  const planOf = (contract: Contract): AggregatePlan => contract.plan as AggregatePlan;

  it('names, order, repetition of measures, thresholds and who asks do not matter', () => {
    const question = ask(noisy);
    const plan = planOf(noisy);
    const paraphrases: Contract[] = [
      { ...noisy, id: '0190c9a0-0000-7000-8000-000000000002' as Contract['id'] },
      { ...noisy, plan: { ...plan, groups: plan.groups.toReversed() } },
      { ...noisy, plan: { ...plan, measures: [{ as: 'x', fn: 'sum', column: 'delay' }] } },
      { ...noisy, disclosure: { ...noisy.disclosure, smallestCell: 50 } },
      { ...noisy, analyst: { ...noisy.analyst, id: 'someone' as Contract['analyst']['id'] } },
      { ...noisy, dictionaries: noisy.dictionaries.toReversed() },
    ];
    for (const paraphrase of paraphrases) expect(ask(paraphrase)).toBe(question);
    expect(ask(noisy, ['7', '6'])).toBe(question);
  });

  it('other labels, bounds, scales, terms, data or parties do', () => {
    const seen = new Set([ask(noisy)]);
    const [delay] = noisy.bounds;
    const others: Contract[] = [
      { ...noisy, bounds: [{ ...delay!, maximum: '3001' }] },
      { ...noisy, bounds: [{ ...delay!, scale: 1 }] },
      { ...noisy, disclosure: { ...noisy.disclosure, noise: { ...TERMS, cellsPerUnit: 2 } } },
      { ...noisy, disclosure: { ...noisy.disclosure, noise: { ...TERMS, microRhoPerRun: 5 } } },
      { ...noisy, plan: { ...planOf(noisy), measures: [{ as: 'v', fn: 'var', column: 'delay' }] } },
    ];
    for (const other of others) seen.add(ask(other));
    seen.add(ask(noisy, ['6']));
    expect(seen.size).toBe(others.length + 2);
  });

  it('a contract counts on fewer honest domains than it has, and holds the budget of a run', () => {
    expect(() => checkContract(noisy)).not.toThrow();
    const tooMany = { ...noisy.disclosure, noise: { ...TERMS, honestDomains: 3 } };
    expect(() => checkContract({ ...noisy, disclosure: tooMany })).toThrow(/honest/);
    const poor = { ...noisy.limits, microRhoTotal: 99_999 };
    expect(() => checkContract({ ...noisy, limits: poor })).toThrow(/budget/);
    expect(() => checkContract({ ...noisy, protocol: { name: 'psi' } })).toThrow(
      /plans that match/,
    );
  });
});

describe('the order of cells', () => {
  it('places every cell of the canonical order once, under the same labels', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom<string>('a', 'b', 'c', 'd'), { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 4, maxLength: 4 }),
        (groups, sizes) => {
          const radices = groups.map((_, index) => sizes[index]!);
          const canonical = groups.toSorted();
          const cells = radices.reduce((product, radix) => product * radix, 1);
          const places =
            cellPlaces(groups, radices, canonical) ??
            Uint32Array.from({ length: cells }, (_, i) => i);
          expect(new Set(places).size).toBe(cells);
          const labels = (cell: number, order: readonly string[]): string => {
            let rest = cell;
            const out: string[] = [];
            for (const group of order.toReversed()) {
              const radix = radices[groups.indexOf(group)]!;
              out.push(`${group}${rest % radix}`);
              rest = Math.floor(rest / radix);
            }
            return out.toSorted().join();
          };
          for (const [cell, place] of places.entries()) {
            expect(labels(place, groups)).toBe(labels(cell, canonical));
          }
        },
      ),
    );
  });
});
