import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { aggregatePlanOf } from '../../src/contracts/plan-fits.ts';
import type { AggregatePlan, Arguments } from '../../src/contracts/plan.ts';
import { secureSum } from '../../src/computations/secure-sum/secure-sum.ts';
import { decimalText, roundedQuotient } from '../../src/computations/secure-sum/rational.ts';
import { FIXED_CASE, prepare } from '../support/secure-sum-run.ts';

const { contract } = prepare(FIXED_CASE);

function refusal(change: Partial<Contract>, args: Arguments = {}): string | undefined {
  try {
    secureSum.estimate({ ...contract, ...change }, args);
    return undefined;
  } catch (error) {
    if (error instanceof InputError) return error.code;
    throw error;
  }
}

function bounded(maximum: bigint, rowsMax: number, squares: boolean): Partial<Contract> {
  return {
    datasets: [{ holder: contract.holders[0]!.id, dataset: 'd', version: 'any', rowsMax }],
    bounds: [{ column: 'x0', minimum: '0', maximum: maximum.toString(), scale: 0 }],
    plan: {
      ...aggregatePlanOf(contract),
      measures: [{ as: 'm', fn: squares ? 'var' : 'sum', column: 'x0' }],
    },
  };
}

describe('the planner', () => {
  it('states cells, lanes, quota units and who learns what', () => {
    const estimate = secureSum.estimate(contract, {});
    expect(estimate.cells).toBe(12);
    // Rows and two columns counted, two vectors each, and tags; then 1 + (1 + 1 + 2) + (1 + 1) words.
    expect(estimate.lanes).toBe(12 * (7 + 7));
    expect(estimate.units).toEqual({
      runs: 1n,
      rows: 3n * 1024n,
      bytes: 3n * 12n * 14n * 8n,
      'compute-milli-units': 1n,
      'micro-rho': 0n,
    });
    expect(estimate.learns.map(({ party }) => party)).toEqual([
      'gateway',
      ...contract.holders.map(({ id }) => id),
      contract.recipient.id,
    ]);
  });

  it('accepts what provably fits and refuses one step more', () => {
    const rows = 2 ** 20;
    const most = (1n << 43n) - 1n;
    expect(refusal(bounded(most, rows, false))).toBeUndefined();
    expect(refusal(bounded(most + 1n, rows, false))).toBe('overflow-possible');
    const negative = { ...bounded(0n, rows, false) };
    negative.bounds = [{ column: 'x0', minimum: `-${most + 1n}`, maximum: '0', scale: 0 }];
    expect(refusal(negative)).toBe('overflow-possible');
    // With bounds of at most 18 digits, a sum that fits 2^63 has squares that fit 2^127.
    expect(refusal(bounded(10n ** 18n, 8, true))).toBeUndefined();
    expect(refusal(bounded(10n ** 18n, 16, true))).toBe('overflow-possible');
  });

  it('refuses too many cells', () => {
    const labels = Array.from({ length: 4095 }, (_, index) => `${index}`);
    const sized = (extra: number): Partial<Contract> => ({
      plan: { ...aggregatePlanOf(contract), measures: [{ as: 'n', fn: 'count' }] },
      dictionaries: [
        { column: 'g0', labels },
        { column: 'g1', labels: labels.slice(0, 4095 - extra) },
      ],
    });
    expect(refusal(sized(0))).toBeUndefined();

    expect(
      refusal({
        ...sized(0),
        dictionaries: [
          { column: 'g0', labels },
          { column: 'g1', labels: [...labels, 'one more'] },
        ],
      }),
    ).toBe('too-many-cells');
  });

  it('refuses more than 256 holders', () => {
    const holders = (count: number): Partial<Contract> => ({
      holders: Array.from({ length: count }, (_, index) => ({
        ...contract.holders[0]!,
        id: `h-${index}` as Contract['holders'][number]['id'],
      })),
    });
    expect(refusal(holders(256))).toBeUndefined();
    expect(refusal(holders(257))).toBe('set-too-large');
  });

  it('selects whole cells of its groups, and nothing else', () => {
    const selecting = (
      select: AggregatePlan['select'],
      parameters: Contract['parameters'] = {},
    ): Partial<Contract> => ({ plan: { ...aggregatePlanOf(contract), select }, parameters });
    const parameter = {
      which: { kind: 'labels' as const, column: 'g0', labels: ['west', 'east'], most: 1 },
    };
    const byParameter = selecting([{ column: 'g0', in: { parameter: 'which' } }], parameter);
    const byValues = (values: string[], column = 'g0') =>
      refusal(selecting([{ column, in: { values } }]));
    expect(byValues(['east'])).toBeUndefined();
    expect(byValues(['east'], 'x0')).toBe('query-not-supported');
    expect(byValues(['north'])).toBe('parameter-invalid');
    expect(byValues(['east', 'east'])).toBe('parameter-invalid');
    const twice = { column: 'g0', in: { values: ['east'] } };
    expect(refusal(selecting([twice, twice]))).toBe('query-not-supported');
    expect(refusal(byParameter, { which: ['west'] })).toBeUndefined();
    expect(refusal(byParameter, {})).toBe('parameter-invalid');
    expect(refusal(byParameter, { which: ['west', 'east'] })).toBe('parameter-invalid');
    expect(refusal(byParameter, { which: ['north'] })).toBe('parameter-invalid');
    expect(refusal(byParameter, { which: ['west'], more: ['x'] })).toBe('parameter-invalid');
    expect(refusal({}, { which: ['west'] })).toBe('parameter-invalid');
  });

  it('refuses a group without a dictionary, a measure without bounds, and reversed bounds', () => {
    expect(refusal({ dictionaries: [] })).toBe('query-not-supported');
    expect(refusal({ bounds: [] })).toBe('query-not-supported');
    const [first, second] = contract.bounds;
    const reversed = { ...first!, minimum: '5', maximum: '4' };
    expect(refusal({ bounds: [reversed, second!] })).toBe('parameter-invalid');
  });
});

describe('exact rationals', () => {
  it('round once: nearest, ties to even, at any size', () => {
    const cases: readonly [bigint, bigint, number][] = [
      [1n, 3n, 1 / 3],
      [-2n, 3n, -2 / 3],
      [0n, 7n, 0],
      [(1n << 53n) + 1n, 1n, 2 ** 53],
      [(1n << 53n) + 3n, 1n, 2 ** 53 + 4],
      [((1n << 53n) + 1n) * 10n ** 30n + 1n, 10n ** 30n, 2 ** 53 + 2],
      [1n, 10n ** 40n, 1e-40],
      [10n ** 40n, 1n, 1e40],
    ];
    for (const [numerator, denominator, expected] of cases) {
      expect(roundedQuotient(numerator, denominator)).toBe(expected);
    }
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (a, b) => {
        // Division of exact doubles is the correctly rounded quotient by IEEE 754.
        expect(roundedQuotient(BigInt(a), BigInt(b)) + 0).toBe(a / b + 0);
      }),
    );
  });

  it('decimals keep every digit', () => {
    expect(decimalText(-5n, 2)).toBe('-0.05');
    expect(decimalText(12_345n, 2)).toBe('123.45');
    expect(decimalText(-9_223_372_036_854_775_807n, 9)).toBe('-9223372036.854775807');
    expect(decimalText(0n, 1)).toBe('0.0');
    expect(decimalText(7n, 0)).toBe('7');
  });
});
