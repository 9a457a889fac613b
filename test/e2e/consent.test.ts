/**
 * Consent per purpose through a whole Weir of real processes: who did not consent to what a contract
 * is for is in none of its answers, a withdrawal holds from the next run on, and how many rows were
 * left out shows in nothing that leaves a domain.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Release } from '../../src/computations/computation.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { AggregatePlanSchema } from '../../src/contracts/plan.ts';
import { REGIONS, registrationOf } from '../attack/support/patients.ts';
import { readBooks } from './support/books.ts';
import { type Holder, startWeir, type Table, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];
const CONSENT = {
  column: 'consent',
  granted: ['all'],
  purposes: { research: ['research'], billing: ['billing'] },
};
const WORDS = ['all', 'research', 'billing', 'no'] as const;
const ROWS = 120;

interface Patient {
  readonly person: string;
  readonly region: string;
  readonly amount: number;
  readonly consent: (typeof WORDS)[number];
}

/** In every region of every holder, as many of each word. */
const patientsOf = (holder: number): Patient[] =>
  Array.from({ length: ROWS }, (_, at) => ({
    person: `p${holder}-${at}`,
    region: REGIONS[at % 3] ?? '',
    amount: (at * 37 + holder * 11) % 500,
    consent: WORDS[Math.floor(at / 3) % 4] ?? 'no',
  }));

const csvOf = (patients: readonly Patient[]): string =>
  [
    'person,region,age,amount,consent',
    ...patients.map(({ person, region, amount, consent }) =>
      [person, region, 'old', amount, consent].join(','),
    ),
    '',
  ].join('\n');

const holders: readonly Holder[] = PARTIES.map((party, index) => ({
  party,
  tables: [
    {
      registration: registrationOf({
        source: undefined,
        personalInformation: 'personal',
        consent: CONSENT,
      }),
      format: 'csv',
      csv: csvOf(patientsOf(index)),
    } as unknown as Table,
  ],
}));

const PLAN = AggregatePlanSchema.parse({
  kind: 'aggregate',
  table: 'patients',
  groups: [{ column: 'region' }],
  measures: [
    { as: 'patients', fn: 'count' },
    { as: 'total', fn: 'sum', column: 'amount' },
  ],
  select: [],
});

let weir: TestWeir;
let research: ContractBody;
let billing: ContractBody;
beforeAll(async () => {
  weir = await startWeir({ holders });
  research = await weir.agree(PLAN, { purposeCode: 'research' });
  billing = await weir.agree(PLAN, { purposeCode: 'billing' });
}, 120_000);
afterAll(() => weir?.close());

async function rowsOf(contract: ContractBody): Promise<Release['rows']> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  return run.result.release.rows;
}

/** What must come out, from everybody's rows. */
function expected(purpose: 'research' | 'billing', parts: readonly Patient[][]): unknown[] {
  return REGIONS.map((region) => {
    const own = parts
      .flat()
      .filter((one) => one.region === region && ['all', purpose].includes(one.consent));
    return [region, own.length, String(own.reduce((sum, { amount }) => sum + amount, 0))];
  });
}

function withdraw(count: number): Patient[] {
  let left = count;
  return patientsOf(0).map((one) => {
    const isAsked = one.region === 'north' && one.consent === 'research' && left > 0;
    if (isAsked) left -= 1;
    return isAsked ? { ...one, consent: 'no' } : one;
  });
}

const rewrite = (patients: readonly Patient[]): void =>
  writeFileSync(join(weir.directory, 'data', 'clinic', 'patients.csv'), csvOf(patients));

const all = [0, 1, 2].map(patientsOf);

it('answers from the rows that consent to the contract’s purpose, and no others', async () => {
  expect(await rowsOf(research)).toEqual(expected('research', all));
  expect(await rowsOf(billing)).toEqual(expected('billing', all));
  // Control: without consent there would be twice as many.
  expect(Number((await rowsOf(research))[0]?.[1])).toBe(ROWS / 2);
});

it('is not signed for a purpose that nobody was asked about', async () => {
  const unstated = { code: 'column-usage-forbids', facts: { rule: 'consent per purpose' } };
  await expect(weir.agree(PLAN)).rejects.toMatchObject(unstated);
  await expect(weir.agree(PLAN, { purposeCode: 'marketing' })).rejects.toMatchObject(unstated);
});

it('takes a withdrawal into account from the next run on, under the rule for repeats', async () => {
  const before = await weir.analyst.client.datasets();
  const explained = await weir.analyst.explain(research.contract.id, {});
  rewrite(withdraw(1));
  // One person less would show that person: refused, coarsely, and charged.
  const refusal: unknown = await rowsOf(research).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'cell-too-small' });
  expect(JSON.stringify(refusal)).not.toMatch(/north|p0-/);
  const { records } = await readBooks(weir, research.contract.id, []);
  expect(records.at(-1)).toMatchObject({ code: 'cell-too-small', units: { runs: '1' } });
  // Who withdrew from research alone counts for billing as before.
  expect(await rowsOf(billing)).toEqual(expected('billing', all));
  rewrite(withdraw(10));
  const after = [withdraw(10), ...all.slice(1)];
  expect(await rowsOf(research)).toEqual(expected('research', after));
  expect(await rowsOf(billing)).toEqual(expected('billing', after));
  // Ten rows more are left out, and nothing that is told of the dataset says so.
  const told = ({ datasets }: typeof before): unknown =>
    datasets.map(({ fingerprint: _version, publishedAt: _when, ...facts }) => facts);
  expect(told(await weir.analyst.client.datasets())).toEqual(told(before));
  const { quota: _left, ...estimate } = await weir.analyst.explain(research.contract.id, {});
  const { quota: _before, ...earlier } = explained;
  expect(estimate).toEqual(earlier);
});
