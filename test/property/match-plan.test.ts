import { describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import type { ColumnUse } from '../../src/catalog/dataset.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { ContractSchema, type Contract } from '../../src/contracts/contract.ts';
import { describeContract, plainText } from '../../src/contracts/plain-words.ts';
import { resolveSelection } from '../../src/contracts/plan-fits.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';
import { EAST, MATCHERS, MATCH_PLAN, WEST, matchContract } from '../fixtures/match.ts';
import { publishFlights } from '../support/published-flights.ts';

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
};
const [day, route] = MATCH_PLAN.key;
if (day === undefined || route === undefined) throw new Error('no key');

const SUMMED = { as: 'total', column: 'delay' };
const DELAYS: Contract['bounds'] = [{ column: 'delay', minimum: '-60', maximum: '60', scale: 0 }];
const REVERSED: Contract['bounds'] = [{ column: 'delay', minimum: '1', maximum: '0', scale: 0 }];

describe('a contract to match', () => {
  it('is accepted as the fixture has it', () => {
    expect(codeOf(() => checkContract(matchContract()))).toBe('accepted');
    expect(codeOf(() => checkContract(matchContract({ ask: 'intersection' })))).toBe('accepted');
    const summed = matchContract({ ask: 'sum', sum: SUMMED }, { bounds: DELAYS });
    expect(codeOf(() => checkContract(summed))).toBe('accepted');
    expect(plainText(describeContract(summed), 'en')).toContain(
      'total = sum of the other holder’s delay',
    );
  });

  it.each([
    ['a receiver that is no holder', { receiver: 'analyst' }, {}],
    ['a key column named twice', { key: [day, day] }, {}],
    [
      'a key column named at one holder only',
      { key: [{ ...route, columns: [route.columns[0], route.columns[0]] }] },
      {},
    ],
    ['a date format of a text', { key: [{ ...route, columns: day.columns }] }, {}],
    ['another protocol', {}, { protocol: { name: 'secure-sum' } }],
    ['a minimum of other than two', {}, { minimumParties: 1 + 2 }],
    [
      'bounds that nothing uses',
      {},
      { bounds: [{ column: 'delay', minimum: '0', maximum: '1', scale: 0 }] },
    ],
    ['a sum without a column', { ask: 'sum' }, {}],
    ['a summed column that nobody asked for', { sum: SUMMED }, { bounds: DELAYS }],
    ['a sum without bounds', { ask: 'sum', sum: SUMMED }, {}],
    [
      'a sum with bounds of two columns',
      { ask: 'sum', sum: SUMMED },
      { bounds: [...DELAYS, ...DELAYS] },
    ],
    ['a sum with bounds that are reversed', { ask: 'sum', sum: SUMMED }, { bounds: REVERSED }],
    ['dictionaries that nothing uses', {}, { dictionaries: [{ column: 'hour', labels: ['1'] }] }],
    [
      'parameters that nothing uses',
      {},
      { parameters: { hours: { kind: 'labels', column: 'hour', labels: ['1'], most: 1 } } },
    ],
  ] as [string, Partial<MatchPlan>, Partial<Contract>][])(
    'is refused with %s',
    (_name, plan, further) => {
      expect(codeOf(() => checkContract(matchContract(plan, further)))).toBe('malformed-message');
    },
  );

  it('is refused with three holders, and an aggregate is refused by its protocol', () => {
    const three = makeContract(makeCast(), {
      plan: MATCH_PLAN,
      parameters: {},
      dictionaries: [],
      bounds: [],
      protocol: { name: 'psi' },
      minimumParties: 2,
    });
    expect(codeOf(() => checkContract(three))).toBe('malformed-message');
    const sums = makeContract(makeCast(), { protocol: { name: 'psi' } });
    expect(codeOf(() => checkContract(sums))).toBe('malformed-message');
    expect(codeOf(() => resolveSelection(matchContract(), {}))).toBe('query-not-supported');
  });

  it('does not parse with an empty key, too many columns, or an unknown member', () => {
    const parse = (plan: unknown): boolean =>
      ContractSchema.safeParse({ ...matchContract(), plan }).success;
    expect(parse(MATCH_PLAN)).toBe(true);
    expect(parse({ ...MATCH_PLAN, key: [] })).toBe(false);
    expect(parse({ ...MATCH_PLAN, key: Array(9).fill(day) })).toBe(false);
    expect(parse({ ...MATCH_PLAN, ask: 'mean' })).toBe(false);
    expect(parse({ ...MATCH_PLAN, where: 'x' })).toBe(false);
  });

  it('says in plain words what is asked, who learns it first, and over which columns', () => {
    const words = (plan: Partial<MatchPlan>): string =>
      plainText(describeContract(matchContract(plan)), 'en');
    const base = words({});
    for (const text of [
      'how many',
      'west matches',
      'exact number',
      'east.date',
      'west.day (compact)',
      'occurs on both sides',
    ]) {
      expect(base.toLowerCase()).toContain(text);
    }
    const changes: Partial<MatchPlan>[] = [
      { ask: 'intersection' },
      { receiver: EAST },
      { duplicates: 'distinct' },
      { key: [day] },
      { key: [day, { ...route, type: 'text-exact' }] },
      { key: [day, { ...route, as: 'start' }] },
    ];
    const all = [base, ...changes.map(words)];
    expect(new Set(all).size).toBe(all.length);
  });

  it('tells an officer where a filter of the own set may stay with the other holder', () => {
    const words = (plan: Partial<MatchPlan>): string =>
      plainText(describeContract(matchContract(plan)), 'en');
    const revealing = { ask: 'intersection' } as const;
    expect(words(revealing)).toMatch(/far larger.*west may keep a filter/);
    expect(words({ ...revealing, engine: 'unbalanced' })).toContain('west keeps a filter');
    for (const engine of ['ecdh', 'vole', 'vole-without-lpn'] as const) {
      expect(words({ ...revealing, engine })).not.toContain('filter');
    }
    expect(words({})).not.toContain('filter');
  });
});

describe('what holders must grant for a match', () => {
  const use = (name: string, usage: ColumnUse[]) => ({ name, type: 'text' as const, usage });
  const publish = (usage: ColumnUse[], type: 'text' | 'double' = 'text') =>
    MATCHERS.map((holder) =>
      publishFlights(holder, { columns: [{ ...use('code', usage), type }], partitions: [] }, 100),
    );
  const plan = (ask: MatchPlan['ask'], column = 'code'): Partial<MatchPlan> => ({
    ask,
    key: [
      {
        as: 'code',
        type: 'text',
        columns: [
          { holder: EAST, column },
          { holder: WEST, column },
        ],
      },
    ],
  });
  const codes = (chosen: Partial<MatchPlan>, published = publish(['join'])): unknown[] =>
    planRefusals(matchContract(chosen), published).map(({ code, facts }) => [code, facts.party]);

  it('is join for a number, and reveal at both besides for the keys themselves', () => {
    expect(codes(plan('cardinality'))).toEqual([]);
    expect(codes(plan('cardinality'), publish(['group', 'reveal']))).toEqual([
      ['column-usage-forbids', EAST],
      ['column-usage-forbids', WEST],
    ]);
    expect(codes(plan('intersection'))).toHaveLength(2);
    expect(codes(plan('intersection'), publish(['join', 'reveal']))).toEqual([]);
  });

  it('is refused for a column that does not exist or is of another type', () => {
    expect(codes(plan('cardinality', 'nothing'))).toEqual([
      ['column-unknown', EAST],
      ['column-unknown', WEST],
    ]);
    expect(codes(plan('cardinality'), publish(['join'], 'double'))).toEqual([
      ['parameter-invalid', EAST],
      ['parameter-invalid', WEST],
    ]);
  });

  it('is sum over whole numbers within the bounds that are published, of the other holder’s', () => {
    const bounds = { minimum: '-60', maximum: '60', scale: 0 };
    const delay = (changes: object) => ({
      name: 'delay',
      type: 'integer' as const,
      usage: ['sum' as const],
      bounds,
      ...changes,
    });
    const refusals = (changes: object, terms = DELAYS): unknown[] => {
      const columns = [use('code', ['join']), delay(changes)];
      const published = MATCHERS.map((holder) =>
        publishFlights(holder, { columns, partitions: [] }, 100),
      );
      const contract = matchContract(
        { ...plan('cardinality'), ask: 'sum', sum: SUMMED },
        { bounds: terms },
      );
      return planRefusals(contract, published).map(({ code, facts }) => [code, facts.party]);
    };
    expect(refusals({})).toEqual([]);
    expect(refusals({ usage: [] })).toEqual([['column-usage-forbids', EAST]]);
    expect(refusals({ type: 'double' })).toEqual([['parameter-invalid', EAST]]);
    const wider = [{ ...DELAYS[0]!, maximum: '61' }];
    const finer = [{ ...DELAYS[0]!, scale: 1 }];
    for (const terms of [wider, finer]) {
      expect(refusals({}, terms)).toEqual([['parameter-invalid', EAST]]);
    }
  });

  it('is a join on the privacy unit, and on nothing besides, where the number is noised', () => {
    const noise = {
      mechanism: 'discrete-gaussian' as const,
      microRhoPerRun: 1000,
      deltaExponent: 9,
      cellsPerUnit: 1,
      rowsPerCell: 1,
      honestDomains: 1,
    };
    const published = MATCHERS.map((holder) => ({
      ...publishFlights(
        holder,
        { columns: [use('code', ['join']), use('day', ['join'])], partitions: [] },
        100,
      ),
      privacyUnit: 'code',
    }));
    const keyOn = (column: string): MatchPlan['key'][number] => ({
      as: column,
      type: 'text',
      columns: MATCHERS.map((holder) => ({ holder, column })),
    });
    const refusals = (...names: string[]): unknown[] => {
      const contract = matchContract({ key: names.map(keyOn) });
      const noised = { ...contract, disclosure: { ...contract.disclosure, noise } };
      return planRefusals(noised, published).map(({ code, facts }) => [code, facts.rule]);
    };
    expect(refusals('code')).toEqual([]);
    const forbidden = ['noise-required', 'privacyUnit'];
    expect(refusals('day')).toEqual([forbidden, forbidden]);
    expect(refusals('code', 'day')).toEqual([forbidden, forbidden]);
  });

  it('is noise for important data, which there is none of yet, and nothing helps core data', () => {
    for (const [grade, code] of [
      ['important', 'noise-required'],
      ['core', 'grade-forbids-protocol'],
    ] as const) {
      const published = MATCHERS.map((holder) =>
        publishFlights(holder, { grade, columns: [use('code', ['join'])], partitions: [] }, 100),
      );
      expect(codes(plan('cardinality'), published)).toEqual([
        [code, EAST],
        [code, WEST],
      ]);
    }
  });
});
