/**
 * Matches by groups over real processes, links and files: the table, what the gateway can see of it,
 * noise for important data, and persons that come and go between exact answers.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openedRun } from '../../src/cli/sealing.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { ContractSchema, type Contract } from '../../src/contracts/contract.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import type { StatedTerms } from '../../src/cli/analyst.ts';
import type { Hash, PartyId } from '../../src/system/ids.ts';
import { findCanaries } from './support/canary.ts';
import { weir as command } from './support/command.ts';
import { agreeOn, EAST, leftovers, WEST } from './support/match-world.ts';
import { recordingProxy, type Recording } from './support/recording-proxy.ts';
import { startWeir, type Holder, type TestWeir } from './support/weir.ts';

const WARDS = ['ward-surgery-7c1f', 'ward-maternity-a05b', 'ward-never-55e8'];
const people = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, at) => `patient-${from + at}`);
const wardOf = (patient: string): string => {
  const number = Number(patient.split('-')[1]);
  if (number < 60) return WARDS[0] ?? '';
  return number < 90 ? (WARDS[1] ?? '') : 'ward-unlisted-9d2c';
};
/** East bills 0 to 94; west treats 20 to 119. */
const BILLED = people(0, 95);
const TREATED = people(20, 120);
const costOf = (patient: string): number => Number(patient.split('-')[1]) * 10;

const dataset = (name: string, grade: string, more: object, csv: string): object => ({
  registration: {
    format: 'weir-dataset/1',
    name,
    title: { zh: '测试', en: 'Test' },
    grade,
    personalInformation: 'none',
    legalBasis: 'Test data',
    ...more,
  },
  format: 'csv',
  csv,
});
const PATIENT = { name: 'patient', type: 'text', usage: ['join'] };
const COST = {
  name: 'cost',
  type: 'integer',
  usage: ['sum'],
  bounds: { minimum: '0', maximum: '2000', scale: 0 },
};
const WARD = { name: 'ward', type: 'text', usage: ['group'], labels: WARDS };
const BILLS = ['patient,cost', ...BILLED.map((patient) => `${patient},${costOf(patient)}`)].join(
  '\n',
);
const STAYS = ['patient,ward', ...TREATED.map((patient) => `${patient},${wardOf(patient)}`)].join(
  '\n',
);
const person = { privacyUnit: 'patient' };
const holders = [
  {
    party: EAST,
    tables: [
      dataset('bills', 'general', { partitions: [], columns: [PATIENT, COST] }, BILLS),
      dataset('costs', 'important', { ...person, partitions: [], columns: [PATIENT, COST] }, BILLS),
      dataset('charges', 'general', { ...person, partitions: [], columns: [PATIENT, COST] }, BILLS),
    ],
  },
  {
    party: WEST,
    tables: [
      dataset('stays', 'general', { partitions: [['ward']], columns: [PATIENT, WARD] }, STAYS),
      dataset('cases', 'important', { ...person, partitions: [], columns: [PATIENT, WARD] }, STAYS),
      dataset(
        'beds',
        'general',
        { ...person, partitions: [['ward']], columns: [PATIENT, WARD] },
        STAYS,
      ),
    ],
  },
] as unknown as readonly Holder[];

const planOf = (changes: Partial<MatchPlan> = {}): MatchPlan => ({
  kind: 'match',
  ask: 'sum',
  receiver: WEST,
  key: [
    {
      as: 'patient',
      type: 'text',
      columns: [EAST, WEST].map((holder) => ({ holder, column: 'patient' })),
    },
  ],
  duplicates: 'distinct',
  sum: { as: 'cost', column: 'cost' },
  group: { as: 'ward', column: 'ward' },
  ...changes,
});
const { sum: _sum, ...counted } = planOf({ ask: 'cardinality' });
const tables = (east: string, west: string) =>
  new Map([
    [EAST, east],
    [WEST, west],
  ]);
const EXACT = tables('bills', 'stays');

let weir: TestWeir;
let recording: Recording;

beforeAll(async () => {
  weir = await startWeir({
    holders,
    controlled: true,
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
}, 120_000);
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

const agree = (
  plan: MatchPlan,
  of: ReadonlyMap<PartyId, string>,
  stated: Partial<StatedTerms> = {},
  change?: (drafted: Contract) => Contract,
): Promise<ContractBody> => agreeOn(weir, plan, stated, change, of);

async function released(contract: ContractBody): Promise<Release> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  const opened = await openedRun(weir.analyst, contract.contract, run, () => {
    throw new Error('no sealing key is needed');
  });
  expect(run.verified.missing).toEqual([]);
  return opened.result.release;
}

const sumOf = (from: number, to: number): string =>
  String(people(from, to).reduce((sum, patient) => sum + costOf(patient), 0));

describe('a match by groups between two domains', () => {
  it('gives the recipient each group’s number and sum, and the rest in (other)', async () => {
    const contract = await agree(planOf(), EXACT);
    expect(await released(contract)).toMatchObject({
      columns: ['ward', 'shared', 'cost'],
      rows: [
        [WARDS[0], 40, sumOf(20, 60)],
        [WARDS[1], 30, sumOf(60, 90)],
        ['(other)', 5, sumOf(90, 95)],
      ],
      suppressedCells: 1,
    });
    const explained = await weir.analyst.explain(contract.contract.id, {});
    expect(explained).toMatchObject({ exact: true, cells: 4 });
    const numbers = await agree(counted, EXACT);
    expect((await released(numbers)).rows).toEqual([
      [WARDS[0], 40],
      [WARDS[1], 30],
      ['(other)', 5],
    ]);
  });

  it('shows no patient, no label and no number of a group on the way, in no encoding', () => {
    const marks = ['patient-25', 'patient-91', 'ward-unlisted-9d2c'];
    // A label that nobody publishes; those of the dictionary stand in the contract.
    const passed = recording.messages.map(({ where, bytes }) => findCanaries(marks, bytes, where));
    expect(passed.flat()).toEqual([]);
    expect(recording.messages.length).toBeGreaterThan(50);
    expect(findCanaries(marks, Buffer.from(`{"key":"${marks[0]}"}`), 'control')).not.toEqual([]);
  });

  it('is asked as SQL: explained, drafted, signed and run', async () => {
    const dir = join(weir.directory, 'analyst');
    const draft = join(weir.directory, 'join.json');
    const asked = (sql: string, ...more: string[]) =>
      command(['sql', '--dir', dir, '--url', weir.url, ...more, sql]);
    const from = 'FROM east.bills b JOIN west.stays s USING (patient)';
    const sql = `SELECT s.ward, COUNT(DISTINCT patient), SUM(b.cost) AS cost ${from} GROUP BY s.ward`;
    const explained = asked(sql, '--draft', draft);
    expect(await explained.ended, explained.stderr()).toBe(0);
    expect(explained.stdout()).toContain('west learns the number of each group');
    expect(explained.stdout()).toContain('A repeated key counts once');
    const drafted = ContractSchema.parse(JSON.parse(readFileSync(draft, 'utf8')));
    expect(drafted.plan).toEqual(planOf());
    await weir.analyst.propose(drafted);
    const hash = contractHash(drafted);
    await Promise.all(weir.parties.map((party) => weir.officer(party).sign(drafted.id, { hash })));
    const contract = await weir.analyst.untilActive(drafted.id, () => undefined);
    expect((await released(contract)).rows).toHaveLength(3);
    const refused = asked(`SELECT COUNT(*) ${from} WHERE s.ward = 'x'`);
    expect(await refused.ended).toBe(65);
    expect(refused.stdout()).toMatch(/without WHERE[\s\S]*line 1, column \d+/);
  });

  it('noises every group of what is important, the same however often it is asked', async () => {
    const noise = {
      mechanism: 'discrete-gaussian',
      microRhoPerRun: 600_000,
      deltaExponent: 9,
      cellsPerUnit: 1,
      rowsPerCell: 1,
      honestDomains: 1,
    } as const;
    const important = tables('costs', 'cases');
    const contract = await agree(planOf(), important, { noise });
    expect(contract.contract.disclosure.smallestCell).toBe(10);
    const { rows } = await released(contract);
    const byWard = new Map(rows.map(([ward, number, sum]) => [ward, { number, sum }]));
    for (const [ward, exact, sum] of [
      [WARDS[0], 40, sumOf(20, 60)],
      [WARDS[1], 30, sumOf(60, 90)],
    ] as const) {
      // Two shares of variance 8 each: beyond 24 less than once in 10^8 runs; and so of the sums.
      expect(Math.abs(Number(byWard.get(ward)?.number) - exact)).toBeLessThan(24);
      expect(Math.abs(Number(byWard.get(ward)?.sum) - Number(sum))).toBeLessThan(30_000);
      expect(byWard.get(ward)?.sum).not.toBe(sum);
    }
    expect((await released(contract)).rows).toEqual(rows);
    const explained = await weir.analyst.explain(contract.contract.id, {});
    expect(explained).toMatchObject({ exact: false, noise: { microRho: 600_000 } });
    expect(explained.noise?.deviations.map(({ of }) => of)).toEqual([
      'shared keys of a group',
      'sum of cost of a group',
    ]);
  });

  it('is refused for persons without noise, unless it is the one run over pinned data', async () => {
    const persons = tables('charges', 'beds');
    const proposing = agree(planOf(), persons);
    await expect(proposing).rejects.toMatchObject({ code: 'noise-required' });
    const { datasets: published } = await weir.analyst.client.datasets();
    const pinned = (drafted: Contract): Contract => ({
      ...drafted,
      datasets: drafted.datasets.map((entry) => ({
        ...entry,
        version: published.find(
          ({ holder, dataset: name }) => holder === entry.holder && name === entry.dataset,
        )?.fingerprint as Hash,
      })),
      limits: { ...drafted.limits, runsTotal: 1, runsPerDay: 1, runsPerMonth: 1 },
    });
    const once = await agree(planOf(), persons, {}, pinned);
    expect((await released(once)).rows).toHaveLength(3);
    expect(leftovers(weir)).toEqual([]);
  });
});
