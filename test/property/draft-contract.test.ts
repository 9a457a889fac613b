/** Drafts follow what holders publish, and contradict nothing that a contract is checked for. */
import { describe, expect, it } from 'vitest';
import { draftContract } from '../../src/client/draft-contract.ts';
import type { DatasetBody } from '../../src/contracts/api.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Plan } from '../../src/contracts/plan.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';

const cast = makeCast();
const base = makeContract(cast);
const PLAN: Plan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};

function published(grade: DatasetBody['grade'], holders = HOLDERS): DatasetBody[] {
  return holders.map((holder) => ({
    holder,
    party: base.holders.find(({ id }) => id === holder)!,
    dataset: 'visits',
    title: { zh: '就诊', en: 'Visits' },
    grade,
    rowsMax: 1024,
    columns: [],
    partitions: [[]],
    dictionaries: [],
    bounds: [],
    fingerprint: HashSchema.parse('ab'.repeat(32)),
    publishedAt: '2026-01-01T00:00:00Z',
  }));
}

function drafted(datasets: readonly DatasetBody[], minimumParties?: number): typeof base {
  return draftContract({
    analyst: base.analyst,
    recipient: base.recipient,
    plan: PLAN,
    datasets,
    terms: {
      id: base.id,
      title: base.title,
      purpose: base.purpose,
      legalBasis: base.legalBasis,
      parameters: {},
      limits: {},
      minimumParties,
      notBefore: new Date('2026-01-01T00:00:00Z'),
      validDays: 365,
      resultRetentionS: 86_400,
    },
  });
}

describe('a drafted contract', () => {
  it.each([
    ['general', 3, undefined],
    ['general', 3, 2],
    ['important', 3, undefined],
    ['important', 3, 3],
    // As few as two take part: then one other's noise is all that can be counted on.
    ['important', 3, 2],
    ['important', 2, undefined],
  ] as const)(
    'over %s data of %i holders, %s at least, can be signed',
    (grade, holders, minimum) => {
      const contract = drafted(published(grade, HOLDERS.slice(0, holders)), minimum);
      expect(() => checkContract(contract)).not.toThrow();
      const { noise } = contract.disclosure;
      expect(noise === undefined).toBe(grade === 'general');
      if (noise === undefined) return;
      expect(noise.honestDomains).toBe(Math.min(2, contract.minimumParties - 1));
    },
  );
});
