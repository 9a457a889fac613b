/** Contracts that holders and operator stop for a while, and ones whose limits are used up. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { SetupError } from '../../src/errors.ts';
import { weir as command } from './support/command.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};

let weir: TestWeir;
beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 60) });
});
afterAll(() => weir?.close());

/** The code a run of the contract is refused with, or `posted`. */
async function outcome(contract: ContractBody): Promise<string> {
  try {
    const run = await weir.analyst.run(contract, {}, () => undefined);
    return run.receipt.receipt.outcome;
  } catch (error) {
    if (error instanceof SetupError || !(error instanceof Error) || !('code' in error)) throw error;
    return String(error.code);
  }
}

const stateOf = async ({ contract }: ContractBody): Promise<string> =>
  (await weir.operator.contract(contract.id)).state;

it('a holder’s officer suspends and resumes; nobody else lifts it', async () => {
  const contract = await weir.agree(PLAN);
  const { id } = contract.contract;
  await weir.officer('clinic').suspend(id, 'looking into it');
  expect(await stateOf(contract)).toBe('suspended');
  expect(await outcome(contract)).toBe('contract-not-active');
  // The other holder has not suspended, and the operator cannot lift a holder's suspension.
  await weir.officer('hospital').resume(id, '');
  await expect(weir.operator.resumeContract(id)).rejects.toMatchObject({
    code: 'party-not-in-contract',
  });
  expect(await outcome(contract)).toBe('contract-not-active');
  await weir.officer('clinic').resume(id, 'found nothing');
  expect(await stateOf(contract)).toBe('active');
  expect(await outcome(contract)).toBe('posted');
});

/** What a domain itself knows of another holder's suspensions. */
function heardBy(party: string, { hash }: ContractBody): unknown[] {
  const file = join(weir.directory, party, 'state', 'domain.sqlite');
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const sql = 'SELECT party, standing FROM peer_pause WHERE contract_hash = ?';
    return database
      .prepare(sql)
      .all(hash)
      .map((row) => [row['party'], row['standing']].join(' '));
  } finally {
    database.close();
  }
}

it('the other holder’s domain hears of it, also of what it missed', async () => {
  const contract = await weir.agree(PLAN);
  const { id } = contract.contract;
  const hears = (words: string): Promise<void> =>
    eventually(words, async () => heardBy('hospital', contract).join() === words);
  await weir.officer('clinic').suspend(id, 'looking into it');
  await hears('clinic suspended');
  await weir.program('hospital').kill();
  await weir.officer('clinic').resume(id, 'found nothing');
  expect(heardBy('hospital', contract)).toEqual(['clinic suspended']);
  await weir.start('hospital');
  await hears('clinic resumed');
  await weir.linked();
  expect(await outcome(contract)).toBe('posted');
});

it('a suspension made while the gateway is away reaches it on the next link', async () => {
  const contract = await weir.agree(PLAN);
  await weir.gateway.kill();
  await weir.officer('hospital').suspend(contract.contract.id, 'no gateway to ask');
  await weir.start('gateway');
  await weir.linked();
  await eventually('the gateway has heard', async () => (await stateOf(contract)) === 'suspended');
  await weir.gateway.kill();
  await weir.officer('hospital').resume(contract.contract.id, '');
  await weir.start('gateway');
  await weir.linked();
  await eventually('the gateway has heard', async () => (await stateOf(contract)) === 'active');
});

it('the operator suspends by command, and a holder cannot lift that', async () => {
  const contract = await weir.agree(PLAN);
  const { id } = contract.contract;
  const at = ['--dir', `${weir.directory}/gateway`, '--url', weir.url];
  const suspend = command(['contract', 'suspend', id, ...at, '--reason', 'odd hours']);
  expect([await suspend.ended, suspend.stdout()]).toEqual([0, 'suspended, at the gateway\n']);
  await weir.officer('clinic').resume(id, '');
  expect(await outcome(contract)).toBe('contract-not-active');
  const list = command(['contract', 'list', '--dir', `${weir.directory}/clinic`]);
  await list.ended;
  const until = contract.contract.validity.notAfter.slice(0, 10);
  expect(list.stdout()).toMatch(new RegExp(`${id}\\s+suspended\\s+${until}`));
  const resume = command(['contract', 'resume', id, ...at]);
  expect([await resume.ended, resume.stdout()]).toEqual([0, 'resumed, at the gateway\n']);
  expect(await outcome(contract)).toBe('posted');
});

it('is completed once its limits are used up, and refuses as the ledger would', async () => {
  const contract = await weir.agree(PLAN, { limits: { runsTotal: 2 } });
  expect(await outcome(contract)).toBe('posted');
  expect(await stateOf(contract)).toBe('active');
  expect(await outcome(contract)).toBe('posted');
  await eventually('it is completed', async () => (await stateOf(contract)) === 'completed');
  expect(await outcome(contract)).toBe('quota-exceeded');
});
