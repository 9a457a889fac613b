import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import {
  aggregatePlanOf,
  checkArguments,
  resolveSelection,
} from '../../src/contracts/plan-fits.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import type { Hash, PartyId } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';

const cast = makeCast();
const contract = makeContract(cast);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return 'accepted';
};

describe('a consistent contract', () => {
  it('is accepted', () => {
    expect(codeOf(() => checkContract(contract))).toBe('accepted');
  });

  const { holders, datasets, recipient, validity } = contract;
  const plan = aggregatePlanOf(contract);
  const lowOrder = encodeBase64url(new Uint8Array(32).fill(1, 0, 1));
  const renamed = { ...holders[0]!, id: 'gateway' as (typeof holders)[0]['id'] };
  const tier = (fromRun: number, perRunMicros: number, perComputeUnitMicros = 0) => ({
    fromRun,
    perRunMicros,
    perComputeUnitMicros,
  });
  const priced = (...tiers: readonly ReturnType<typeof tier>[]): Partial<Contract> => ({
    price: { ...contract.price, tiers: [...tiers] },
  });
  const dominance = { percent: 10, largest: 2, share: 85 };
  const noise = {
    mechanism: 'discrete-gaussian' as const,
    microRhoPerRun: 1000,
    deltaExponent: 9,
    cellsPerUnit: 1,
    rowsPerCell: 1,
    honestDomains: 2,
  };
  const counted: Partial<Contract> = {
    plan: { ...plan, measures: [{ as: 'flights', fn: 'count' }] },
    bounds: [],
  };
  const rounded = (...names: string[]): Partial<Contract> => ({
    disclosure: { ...contract.disclosure, rounding: names.map((as) => ({ as, base: '10' })) },
  });
  const weighted = {
    name: 'secret-weights' as const,
    weighingKeyHash: 'a'.repeat(64) as Hash,
    weights: { maximum: '10', scale: 0 },
  };
  it('may hold single contributors back, be noised, rounded or weighted', () => {
    const limits = { ...contract.limits, microRhoTotal: 1000 };
    const fitting: Partial<Contract>[] = [
      { disclosure: { ...contract.disclosure, dominance } },
      { disclosure: { ...contract.disclosure, noise }, limits },
      rounded('mean_delay', 'flights'),
      { ...counted, protocol: weighted },
    ];
    for (const changes of fitting) {
      expect(codeOf(() => checkContract({ ...contract, ...changes }))).toBe('accepted');
    }
  });
  it('may have price tiers that get lower', () => {
    const fits = { ...contract, ...priced(tier(10, 900_000, 10_000), tier(100, 900_000)) };
    expect(codeOf(() => checkContract(fits))).toBe('accepted');
  });
  const cases: [string, string, Partial<Contract>][] = [
    ['price tiers out of order', 'malformed-message', priced(tier(10, 9), tier(10, 8))],
    ['a tier that is dearer a run', 'malformed-message', priced(tier(10, 9), tier(20, 10))],
    ['a tier that is dearer a unit', 'malformed-message', priced(tier(10, 9, 10_001))],
    ['a holder twice', 'malformed-message', { holders: [...holders, holders[0]!] }],
    [
      'two holders with one key',
      'malformed-message',
      { holders: holders.with(0, { ...holders[0]!, signKey: holders[1]!.signKey }) },
    ],
    [
      'a holder with the analyst’s key',
      'malformed-message',
      { analyst: { ...contract.analyst, signKey: holders[1]!.signKey } },
    ],
    ['the name gateway', 'malformed-message', { holders: holders.with(0, renamed) }],
    [
      'a low-order signing key',
      'malformed-message',
      { holders: holders.with(0, { ...holders[0]!, signKey: lowOrder }) },
    ],
    [
      'a low-order encryption key',
      'malformed-message',
      { recipient: { ...recipient, encryptionKey: lowOrder } },
    ],
    [
      'a recipient who is no party',
      'malformed-message',
      { recipient: { ...recipient, id: 'stranger' as typeof recipient.id } },
    ],
    ['a holder without data', 'malformed-message', { datasets: datasets.slice(1) }],
    [
      'a holder with two datasets',
      'malformed-message',
      { datasets: [...datasets, { ...datasets[0]!, dataset: 'more' }] },
    ],
    ['too high a minimum', 'malformed-message', { minimumParties: 4 }],
    ['too low a minimum', 'malformed-message', { minimumParties: 1 }],
    [
      'a dataset of nobody among the holders',
      'malformed-message',
      { datasets: [...datasets, { ...datasets[0]!, holder: 'stranger' as PartyId }] },
    ],
    ['a protocol that matches', 'malformed-message', { protocol: { name: 'psi' } }],
    [
      'dominance terms beside noise',
      'malformed-message',
      {
        disclosure: { ...contract.disclosure, dominance, noise },
        limits: { ...contract.limits, microRhoTotal: 1000 },
      },
    ],
    [
      'dominance terms and no sum',
      'malformed-message',
      { ...counted, disclosure: { ...contract.disclosure, dominance } },
    ],
    ['a column rounded twice', 'malformed-message', rounded('mean_delay', 'mean_delay')],
    ['a group that is rounded', 'malformed-message', rounded('hour')],
    [
      'a weighted sum that is rounded',
      'query-not-supported',
      { ...counted, ...rounded('flights'), protocol: weighted },
    ],
    [
      'too many contributors',
      'malformed-message',
      { disclosure: { smallestCell: 3, smallestContributors: 4 } },
    ],
    [
      'validity backwards',
      'malformed-message',
      { validity: { notBefore: validity.notAfter, notAfter: validity.notBefore } },
    ],
    ['no such time zone', 'malformed-message', { timeZone: 'Asia/Atlantis' }],
    ['an offset for a time zone', 'malformed-message', { timeZone: '+08:00' }],
    ['a column without dictionary', 'column-unknown', { dictionaries: [] }],
    ['a column without bounds', 'column-unknown', { bounds: [] }],
    [
      'an idle dictionary',
      'malformed-message',
      { dictionaries: [...contract.dictionaries, { column: 'idle', labels: ['a'] }] },
    ],
    [
      'bounds twice',
      'malformed-message',
      { bounds: [contract.bounds[0]!, { ...contract.bounds[0]!, maximum: '1' }] },
    ],
    [
      'bounds backwards',
      'malformed-message',
      { bounds: [{ ...contract.bounds[0]!, minimum: '3001' }] },
    ],
    [
      'a repeated label',
      'malformed-message',
      { dictionaries: contract.dictionaries.with(1, { column: 'carrier', labels: ['A', 'A'] }) },
    ],
    [
      'the reserved label',
      'malformed-message',
      { dictionaries: contract.dictionaries.with(1, { column: 'carrier', labels: ['(other)'] }) },
    ],
    [
      'a group twice',
      'malformed-message',
      { plan: { ...plan, groups: [...plan.groups, plan.groups[0]!] } },
    ],
    [
      'a measure named like a group',
      'malformed-message',
      { plan: { ...plan, measures: [{ as: 'hour', fn: 'count' }, plan.measures[1]!] } },
    ],
    ['an unused parameter', 'malformed-message', { plan: { ...plan, select: [] } }],
    ['an undeclared parameter', 'malformed-message', { parameters: {} }],
    [
      'an inherited property as a parameter',
      'malformed-message',
      { plan: { ...plan, select: [{ column: 'hour', in: { parameter: 'constructor' } }] } },
    ],
    [
      'a selection beside the partition',
      'query-not-supported',
      {
        plan: { ...plan, select: [...plan.select, { column: 'age', in: { values: ['1'] } }] },
      },
    ],
    [
      'a selected label that is not published',
      'malformed-message',
      {
        plan: { ...plan, select: [...plan.select, { column: 'carrier', in: { values: ['CC'] } }] },
      },
    ],
    [
      'a column selected twice',
      'malformed-message',
      {
        plan: { ...plan, select: [...plan.select, { column: 'hour', in: { values: ['6'] } }] },
      },
    ],
    [
      'a selection that repeats a label',
      'malformed-message',
      {
        plan: {
          ...plan,
          select: [...plan.select, { column: 'carrier', in: { values: ['AA', 'AA'] } }],
        },
      },
    ],
    [
      'a parameter that repeats a label',
      'malformed-message',
      { parameters: { hours: { ...contract.parameters['hours']!, labels: ['6', '6'] } } },
    ],
    [
      'a parameter of another column',
      'malformed-message',
      { parameters: { hours: { ...contract.parameters['hours']!, column: 'carrier' } } },
    ],
    [
      'a parameter label that is not published',
      'malformed-message',
      { parameters: { hours: { ...contract.parameters['hours']!, labels: ['24'] } } },
    ],
    [
      'too many cells',
      'too-many-cells',
      {
        dictionaries: ['hour', 'carrier'].map((column) => ({
          column,
          labels: Array.from({ length: 5000 }, (_, label) => String(label)),
        })),
      },
    ],
  ];
  it.each(cases)('is refused with %s', (_name, code, changes) => {
    expect(codeOf(() => checkContract({ ...contract, ...changes }))).toBe(code);
  });
});

describe('arguments', () => {
  it('fit when every parameter is given within its labels and number', () => {
    const check = (args: Record<string, string[]>): string =>
      codeOf(() => checkArguments(contract, args));
    expect(check({ hours: ['6'] })).toBe('accepted');
    expect(check({ hours: ['8', '6'] })).toBe('accepted');
    expect(check({})).toBe('parameter-invalid');
    expect(check({ hours: ['6'], more: ['1'] })).toBe('parameter-invalid');
    expect(check({ hours: ['6', '6'] })).toBe('parameter-invalid');
    expect(check({ hours: [] })).toBe('plan-outside-contract');
    expect(check({ hours: ['6', '7', '8'] })).toBe('plan-outside-contract');
    expect(check({ hours: ['9'] })).toBe('plan-outside-contract');
    expect(check({ hours: ['6'], constructor: ['1'] })).toBe('parameter-invalid');
  });

  it('resolve to the same labels in dictionary order, however they are put', () => {
    expect(resolveSelection(contract, { hours: ['8', '6'] })).toEqual([['6', '8'], undefined]);
    fc.assert(
      fc.property(fc.shuffledSubarray(['6', '7', '8'], { minLength: 1, maxLength: 2 }), (hours) => {
        const [first] = resolveSelection(contract, { hours });
        expect(first).toEqual(hours.toSorted());
      }),
    );
  });

  it('resolve fixed values too', () => {
    const plan = aggregatePlanOf(contract);
    const fixed = makeContract(
      cast,
      {
        plan: { ...plan, select: [{ column: 'carrier', in: { values: ['BB'] } }] },
        parameters: {},
      },
      HOLDERS,
    );
    expect(codeOf(() => checkContract(fixed))).toBe('accepted');
    expect(resolveSelection(fixed, {})).toEqual([undefined, ['BB']]);
  });
});
