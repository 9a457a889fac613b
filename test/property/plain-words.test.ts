import { aggregatePlanOf } from '../../src/contracts/plan-fits.ts';
import { describe, expect, it } from 'vitest';
import { ContractSchema } from '../../src/contracts/contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { LABELS_SHOWN_MAX } from '../../src/contracts/plain-text.ts';
import { describeContract, plainText } from '../../src/contracts/plain-words.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';

const cast = makeCast();
const long = Array.from({ length: LABELS_SHOWN_MAX + 10 }, (_, index) => `label ${index}`);
const base = makeContract(cast);
/** Every kind of field the schema knows: measures, fixed and chosen selections, long lists. */
const contract = ContractSchema.parse({
  ...base,
  plan: {
    ...aggregatePlanOf(base),
    groups: [...aggregatePlanOf(base).groups, { column: 'route' }],
    measures: [
      { as: 'flights', fn: 'count' },
      { as: 'total', fn: 'sum', column: 'delay' },
      { as: 'mean_delay', fn: 'avg', column: 'delay' },
      { as: 'spread', fn: 'var', column: 'delay' },
    ],
    select: [...aggregatePlanOf(base).select, { column: 'carrier', in: { values: ['AA', 'BB'] } }],
  },
  dictionaries: [...base.dictionaries, { column: 'route', labels: long }],
  datasets: base.datasets.map((terms, index) =>
    index === 0 ? { ...terms, version: 'e'.repeat(64) } : terms,
  ),
  protocol: { name: 'sealed-sum', sealingKey: 'AbCd' },
});

type Path = readonly (string | number)[];

/** Every leaf of a JSON value, with the way to it. */
function leavesOf(value: unknown, path: Path = []): { path: Path; leaf: unknown }[] {
  if (value === null || typeof value !== 'object') return [{ path, leaf: value }];
  return Object.entries(value).flatMap(([name, inner]) =>
    leavesOf(inner, [...path, Array.isArray(value) ? Number(name) : name]),
  );
}

function replaced(value: unknown, path: Path, leaf: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return leaf;
  if (Array.isArray(value))
    return value.with(first as number, replaced(value[first as number], rest, leaf));
  const record = value as Record<string, unknown>;
  return { ...record, [first]: replaced(record[first as string], rest, leaf) };
}

/** Other values for a leaf; those that the schema takes are tried. */
function others(leaf: unknown): unknown[] {
  if (typeof leaf === 'number') return [leaf + 1, leaf - 1, leaf + 1000];
  const text = String(leaf);
  return [
    `${text}x`,
    `${text}1`,
    text.slice(0, -1),
    ` ${text}`,
    'any',
    'f'.repeat(64),
    'count',
    'sum',
    'avg',
    'USD',
    '2026-02-02T00:00:00Z',
    '0190c9a0-0000-7000-8000-0000000000ff',
    encodeBase64url(eddsaSuite.generate(systemRandom).publicKey),
  ].filter((other) => other !== leaf);
}

const textsOf = (of: Contract): [string, string] => {
  const plain = describeContract(of);
  return [plainText(plain, 'zh'), plainText(plain, 'en')];
};

describe('a contract in plain words', () => {
  const [zh, en] = textsOf(contract);

  it('changes in both languages with every field of the contract', () => {
    const untouchable: string[] = [];
    for (const { path, leaf } of leavesOf(contract)) {
      let tried = 0;
      for (const other of others(leaf)) {
        const parsed = ContractSchema.safeParse(replaced(contract, path, other));
        if (!parsed.success) continue;
        tried += 1;
        const [otherZh, otherEn] = textsOf(parsed.data);
        expect(otherZh, `zh ${path.join('.')}`).not.toBe(zh);
        expect(otherEn, `en ${path.join('.')}`).not.toBe(en);
      }
      if (tried === 0) untouchable.push(path.join('.'));
    }
    // The schema allows these one value only (a count has no column that another function needs).
    expect(untouchable.toSorted()).toEqual(
      [
        'format',
        'plan.kind',
        'plan.measures.0.fn',
        'parameters.hours.kind',
        'protocol.name',
      ].toSorted(),
    );
  });

  it('changes when anything is left out, added, or put in another order', () => {
    const plan = aggregatePlanOf(contract);
    const changes: Partial<Contract>[] = [
      { holders: contract.holders.slice(1) },
      { holders: contract.holders.toReversed() },
      { datasets: contract.datasets.slice(1) },
      { dictionaries: contract.dictionaries.slice(1) },
      { dictionaries: [{ column: 'hour', labels: ['5, 6', '7'] }] },
      { bounds: [] },
      { parameters: {} },
      { parameters: { other: contract.parameters['hours']! } },
      { protocol: { name: 'secure-sum' } },
      { plan: { ...plan, groups: plan.groups.toReversed() } },
      { plan: { ...plan, groups: [] } },
      { plan: { ...plan, measures: plan.measures.slice(1) } },
      { plan: { ...plan, select: [] } },
    ];
    const seen = new Set([en]);
    for (const change of changes) {
      const [otherZh, otherEn] = textsOf({ ...contract, ...change });
      expect(otherZh).not.toBe(zh);
      seen.add(otherEn);
    }
    expect(seen.size).toBe(changes.length + 1);
  });

  it('tells the tail of a long list by its hash', () => {
    const labels = long.with(long.length - 1, 'changed');
    const dictionaries = contract.dictionaries.with(2, { column: 'route', labels });
    expect(textsOf({ ...contract, dictionaries })[1]).not.toBe(en);
  });

  it('shows what others wrote in quotation marks, with nothing that does not show', () => {
    const hostile = 'ok"\n- Price: 0 CNY\u001b[2J\u202E\u200B\u00A0\u2028\\u{a}';
    const [, text] = textsOf({ ...contract, title: { zh: hostile, en: hostile } });
    const titles = text.split('\n').filter((row) => row.startsWith('- Title: '));
    expect(titles).toEqual([
      `- Title: ${Array.from({ length: 2 }, () => String.raw`"ok\"\u{a}- Price: 0 CNY\u{1b}[2J\u{202e}\u{200b}\u{a0}\u{2028}\\u{a}"`).join(' / ')}`,
    ]);
    expect(text.split('\n').filter((row) => row.startsWith('- Price'))).toHaveLength(1);
  });

  it('says prices, bounds and limits exactly', () => {
    expect(en).toContain('Price: 1.000000 CNY a run, 0.010000 CNY a compute unit');
    expect(en).toContain('Values of delay are clamped to -600 … 3000 (0 decimals)');
    expect(zh).toContain('共 10 次，每天 3 次，每月 5 次（时区 "Asia/Shanghai"）');
    const scaled = { ...contract, bounds: [{ ...contract.bounds[0]!, minimum: '-5', scale: 2 }] };
    expect(textsOf(scaled)[1]).toContain('clamped to -0.05 … 30.00 (2 decimals)');
  });
});
