/** From important to general and back: what the officer examines, decides, and takes back. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { weir as command } from './support/command.ts';
import { visitsHolders, visitsRegistration } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
const QUESTION = { quasiIdentifiers: ['kind'], sensitive: ['age'] };
const decision = (k: number) => ({
  question: QUESTION,
  demand: { k, l: 2 },
  reason: 'assessment 14',
  decidedBy: 'Li Na',
});

let weir: TestWeir;
beforeAll(async () => {
  const holders = visitsHolders(PARTIES, 60).map((holder) => ({
    ...holder,
    tables: holder.tables.map((table) => ({
      ...table,
      format: 'csv' as const,
      registration: { ...visitsRegistration(), grade: 'important' as const },
    })),
  }));
  weir = await startWeir({ holders });
});
afterAll(() => weir?.close());

const gradeAt = async (party: string): Promise<string | undefined> =>
  (await weir.analyst.client.datasets()).datasets.find(({ holder }) => holder === party)?.grade;
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'accepted',
    (error: { code?: unknown }) => String(error.code),
  );

it('tells the officer exact figures, by the command', async () => {
  const examined = await weir.officer('clinic').examine('visits', QUESTION);
  expect(examined).toMatchObject({ dataset: 'visits', grade: 'important' });
  expect(examined.figures.classes).toBe(3);
  expect(examined.figures.k).toBeGreaterThan(3);
  const at = ['--dir', join(weir.directory, 'clinic')];
  const asked = ['--quasi', 'kind', '--sensitive', 'age', '--json'];
  const shown = command(['dataset', 'examine', ...at, 'visits', ...asked]);
  expect(await shown.ended).toBe(0);
  expect(JSON.parse(shown.stdout())).toEqual(examined);
});

it('refuses what the figures do not carry, and what cannot be asked', async () => {
  const officer = weir.officer('clinic');
  expect(await codeOf(officer.regrade('visits', decision(1000)))).toBe('refused-by-officer');
  expect(await codeOf(officer.examine('nothing', QUESTION))).toBe('dataset-unknown');
  const unknown = { quasiIdentifiers: ['nonsense'], sensitive: [] };
  expect(await codeOf(officer.examine('visits', unknown))).toBe('column-unknown');
  expect(await codeOf(weir.agree(PLAN))).toBe('noise-required');
});

it('lets exact contracts run while the decision is about the data as it is', async () => {
  for (const party of PARTIES) {
    const officer = weir.officer(party);
    const { figures } = await officer.examine('visits', QUESTION);
    await officer.regrade('visits', decision(figures.k));
  }
  for (const party of PARTIES) {
    await eventually('the catalog shows it', async () => (await gradeAt(party)) === 'general');
  }
  const contract = await weir.agree(PLAN);
  const run = await weir.analyst.run(contract, {}, () => undefined);
  expect(run.receipt.receipt.outcome).toBe('posted');

  // One more row is another version: its grade is what the registration says.
  appendFileSync(join(weir.directory, 'data', 'clinic', 'visits.csv'), 'north,a,30,1.00,1\n');
  const again = codeOf(weir.analyst.run(contract, {}, () => undefined));
  expect(await again).toBe('noise-required');
  const status = await weir.officer('clinic').status();
  expect(status.datasets).toMatchObject([{ name: 'visits', grade: 'important' }]);

  const { figures } = await weir.officer('clinic').examine('visits', QUESTION);
  await weir.officer('clinic').regrade('visits', decision(figures.k));
  expect(await codeOf(weir.analyst.run(contract, {}, () => undefined))).toBe('accepted');
});

it('holds after a restart, is told to the gateway, and can be taken back', async () => {
  await weir.program('clinic').kill();
  await weir.start('clinic');
  await weir.linked();
  await eventually('the catalog shows it', async () => (await gradeAt('clinic')) === 'general');
  const at = ['--dir', join(weir.directory, 'clinic')];
  const kept = command(['dataset', 'keep-grade', ...at, 'visits']);
  expect(await kept.ended).toBe(0);
  const status = await weir.officer('clinic').status();
  expect(status.datasets).toMatchObject([{ name: 'visits', grade: 'important' }]);
  expect(await codeOf(weir.officer('clinic').withdrawRegrade('visits'))).toBe('already-exists');
  expect(await codeOf(weir.agree(PLAN))).toBe('noise-required');
});
