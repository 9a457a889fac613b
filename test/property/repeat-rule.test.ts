import { describe, expect, it } from 'vitest';
import type { PublishedDataset } from '../../src/catalog/published.ts';
import { repeatRefusals } from '../../src/catalog/repeat-rule.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { Hash } from '../../src/system/ids.ts';
import { EAST, MATCH_PLAN, matchContract } from '../fixtures/match.ts';

const persons = { holder: EAST, name: 'departures', privacyUnit: 'person' } as PublishedDataset;
const contract = matchContract();
const pinned: Contract = {
  ...contract,
  datasets: contract.datasets.map((entry) => ({ ...entry, version: 'a'.repeat(64) as Hash })),
  limits: { ...contract.limits, runsTotal: 1 },
};
const codes = (drafted: Contract, plan = MATCH_PLAN, dataset = persons): string[] =>
  repeatRefusals(drafted, plan, dataset).map(({ code }) => code);

describe('an exact match of persons', () => {
  it('may run once over pinned data, and not otherwise', () => {
    expect(codes(pinned)).toEqual([]);
    expect(codes(contract)).toEqual(['noise-required']);
    expect(codes({ ...pinned, limits: { ...pinned.limits, runsTotal: 2 } })).toHaveLength(1);
    expect(codes({ ...pinned, datasets: contract.datasets })).toHaveLength(1);
  });

  it('is not asked of noised matches, of rows that may be revealed, or of what names nobody', () => {
    const noise = {} as NonNullable<Contract['disclosure']['noise']>;
    expect(codes({ ...contract, disclosure: { ...contract.disclosure, noise } })).toEqual([]);
    expect(codes(contract, { ...MATCH_PLAN, ask: 'intersection' })).toEqual([]);
    const { privacyUnit: _unit, ...nobody } = persons;
    expect(codes(contract, MATCH_PLAN, nobody as PublishedDataset)).toEqual([]);
  });
});
