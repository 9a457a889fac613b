/**
 * Results that officers must release, over real processes: nothing to open before the last of them
 * approved, nothing after one refused, and nothing lost where gateway or domain die in between.
 */
import { readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asSealed, loadSealingKey, makeSealingKey, openedRun } from '../../src/cli/sealing.ts';
import type { SealingKey } from '../../src/client/sealing-key.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf } from './support/books.ts';
import { weir as command } from './support/command.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['airport', 'clinic', 'hospital'];
const WITHIN_S = 3600;
const PASSPHRASE = 'correct horse battery staple';
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'cost', fn: 'sum', column: 'cost' },
  ],
  select: [],
};

let weir: TestWeir;
beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 60), controlled: true });
});
afterAll(() => weir?.close());

const agreed = (): Promise<ContractBody> =>
  weir.agree(PLAN, { release: { by: 'officer', withinS: WITHIN_S } });

async function started(contract: ContractBody): Promise<RunId> {
  const { request, idempotencyKey } = weir.prepare(contract);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  await eventually(
    'the result waits',
    async () => (await weir.analyst.client.run(runId)).state === 'awaiting-release',
  );
  return runId;
}

async function decided(
  party: string,
  runId: RunId,
  decision: 'approved' | 'refused',
): Promise<void> {
  const officer = weir.officer(party);
  const { hash } = await officer.reviewRelease(runId);
  await officer.decideRelease(runId, { decision, hash });
}

const waiting = async (party: string): Promise<readonly string[]> =>
  (await weir.officer(party).releases()).map(({ runId }) => runId);

const heldFiles = (party: string): readonly string[] =>
  readdirSync(join(weir.directory, party, 'state', 'held'));

async function chargeOf(runId: RunId): Promise<string | undefined> {
  const { records } = await weir.operator.meteringRecords({ limit: 1000 });
  const own = records.filter((record) => record.runId === runId);
  expect(own).toHaveLength(1);
  return own[0]?.units['runs'];
}

it('goes once the officer of every holder has approved, and not before', async () => {
  const contract = await agreed();
  const exact = await weir.agree(PLAN);
  const expected = await weir.analyst.run(exact, {}, () => undefined);
  let runId: RunId | undefined;
  const running = weir.analyst.run(contract, {}, (event) => {
    runId = event.runId;
  });
  running.catch(() => undefined);
  await eventually('all domains keep their part', async () => {
    const lists = await Promise.all(PARTIES.map(waiting));
    return runId !== undefined && lists.every((list) => list.includes(String(runId)));
  });
  if (runId === undefined) throw new Error('no run');
  await decided('airport', runId, 'approved');
  // The command, as an officer would: list, show, approve what was shown.
  const at = ['--dir', join(weir.directory, 'clinic')];
  const list = command(['release', 'list', ...at]);
  expect([await list.ended, list.stdout().includes(runId)]).toEqual([0, true]);
  const show = command(['release', 'show', runId, ...at]);
  expect(await show.ended).toBe(0);
  expect(show.stdout()).toMatch(/3 of 3 cells are released, 0 withheld|of 3 cells are released/);
  const hash = /^hash (\w+)$/m.exec(show.stdout())?.[1] ?? '';
  const other = command(['release', 'approve', runId, ...at, '--hash', 'a'.repeat(64)]);
  expect([await other.ended, other.stderr()]).toEqual([
    expect.any(Number),
    expect.stringContaining('not the one that was reviewed'),
  ]);
  const approve = command(['release', 'approve', runId, ...at, '--hash', hash]);
  expect([await approve.ended, approve.stdout()]).toEqual([
    0,
    'approved, in this domain at once\n',
  ]);
  expect((await weir.analyst.client.run(runId)).state).toBe('awaiting-release');
  await expect(weir.analyst.client.result(runId)).rejects.toMatchObject({
    code: 'result-not-ready',
  });
  await decided('hospital', runId, 'approved');
  const run = await running;
  expect(run.result.release.rows).toEqual(expected.result.release.rows);
  expect(run.receipt.receipt.outcome).toBe('posted');
  expect(run.verified.countersignedBy).toHaveLength(PARTIES.length);
  for (const party of PARTIES) {
    await eventually('nothing is kept', async () => heldFiles(party).length === 0);
    expect(await waiting(party)).toEqual([]);
  }
});

it('goes sealed, too: the recipient opens what the domains kept', async () => {
  const directory = join(weir.directory, 'analyst');
  await makeSealingKey(directory, PASSPHRASE);
  const title = { zh: '测试', en: 'Test' };
  const release = { by: 'officer', withinS: WITHIN_S } as const;
  const { protocol } = asSealed(directory, await weir.analyst.draft(PLAN, { title }));
  const contract = await weir.agree(PLAN, { release, protocol });
  let runId: RunId | undefined;
  const running = weir.analyst.run(contract, {}, (event) => {
    runId = event.state === 'awaiting-release' ? event.runId : undefined;
  });
  running.catch(() => undefined);
  await eventually('the result waits', async () => runId !== undefined);
  for (const party of PARTIES) if (runId !== undefined) await decided(party, runId, 'approved');
  const own = (): SealingKey => loadSealingKey(directory, PASSPHRASE);
  const opened = await openedRun(weir.analyst, contract.contract, await running, own);
  const exact = await weir.analyst.run(await weir.agree(PLAN), {}, () => undefined);
  expect(opened.result.release.rows).toEqual(exact.result.release.rows);
});

it('ends charged and without a result where one officer refuses', async () => {
  const runId = await started(await agreed());
  await decided('airport', runId, 'approved');
  await decided('clinic', runId, 'refused');
  const run = await endOf(weir, runId);
  expect([run.state, run.code]).toEqual(['refused', 'refused-by-officer']);
  // A hand that is shown stays unknown: the analyst is not told whose officer it was.
  expect(run.note).not.toMatch(/clinic|airport|hospital/);
  expect(await chargeOf(runId)).toBe('1');
  await expect(weir.analyst.client.result(runId)).rejects.toMatchObject({
    code: 'refused-by-officer',
  });
  await eventually('nothing is kept', async () => heldFiles('airport').length === 0);
  await expect(decided('hospital', runId, 'approved')).rejects.toMatchObject({
    code: 'run-unknown',
  });
});

it('survives a gateway and a domain that die while it waits, and approvals made meanwhile', async () => {
  const runId = await started(await agreed());
  await decided('airport', runId, 'approved');
  await weir.program('clinic').kill();
  await weir.gateway.kill();
  await weir.start('clinic');
  // No gateway to tell: it stands in the domain, and is told on the next link.
  await decided('clinic', runId, 'approved');
  await expect(decided('clinic', runId, 'refused')).rejects.toMatchObject({
    code: 'already-exists',
  });
  await weir.start('gateway');
  await weir.linked();
  expect((await weir.analyst.client.run(runId)).state).toBe('awaiting-release');
  await decided('hospital', runId, 'approved');
  expect((await endOf(weir, runId)).state).toBe('posted');
  expect(await chargeOf(runId)).toBe('1');
});

it('ends without a result where what a domain kept was cut off meanwhile', async () => {
  const runId = await started(await agreed());
  const [file = ''] = heldFiles('clinic').filter((name) => name.startsWith(runId));
  // Between two messages: the file holds none any more.
  truncateSync(join(weir.directory, 'clinic', 'state', 'held', file), 0);
  for (const party of PARTIES) await decided(party, runId, 'approved');
  const run = await endOf(weir, runId);
  expect([run.state, run.code]).toEqual(['voided', 'domain-failed']);
  expect(await chargeOf(runId)).toBeUndefined();
});

it('is fetched again where the gateway dies with the parts in hand', async () => {
  const runId = await started(await agreed());
  await weir.gateway.order({ kind: 'crash-at', step: 'settling' });
  await decided('airport', runId, 'approved');
  await decided('clinic', runId, 'approved');
  await decided('hospital', runId, 'approved').catch(() => undefined);
  await weir.gateway.ended;
  await weir.start('gateway');
  await weir.linked();
  await eventually(
    'it is posted',
    async () => (await weir.analyst.client.run(runId)).state === 'posted',
  );
  expect(await chargeOf(runId)).toBe('1');
});

it('keeps nothing of a run whose domain died before the gateway heard of its part', async () => {
  const contract = await agreed();
  await weir.program('clinic').order({ kind: 'crash-at', step: 'held' });
  const { request, idempotencyKey } = weir.prepare(contract);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  expect((await endOf(weir, runId)).state).toBe('voided');
  await weir.start('clinic');
  await weir.linked();
  await expect(decided('airport', runId, 'approved')).rejects.toMatchObject({
    code: 'run-unknown',
  });
  // What the crash left here is of a run that is over: the gateway says so to whoever decides on it.
  await expect(decided('clinic', runId, 'approved')).rejects.toMatchObject({ code: 'run-unknown' });
  await eventually('nothing is kept', async () => (await waiting('clinic')).length === 0);
});

it('is voided where nobody decides in time, or the analyst or a holder ends it', async () => {
  const contract = await agreed();
  const cancelled = await started(contract);
  expect((await weir.analyst.client.cancelRun(cancelled)).state).toBe('voided');
  const late = await started(contract);
  const other = await agreed();
  const revoked = await started(other);
  const { hash } = other;
  await weir.officer('airport').revoke(other.contract.id, { hash, reason: 'enough' });
  expect([(await endOf(weir, revoked)).state, (await endOf(weir, revoked)).code]).toEqual([
    'voided',
    'contract-revoked',
  ]);
  await eventually(
    'the revoked part is gone',
    async () => !(await waiting('airport')).includes(revoked),
  );
  await decided('airport', late, 'approved');
  await weir.gateway.order({ kind: 'age', aheadMs: (WITHIN_S + 1) * 1000 });
  // A new link makes the gateway look at once what is overdue.
  await weir.program('clinic').kill();
  await weir.start('clinic');
  const run = await endOf(weir, late);
  expect([run.state, run.code]).toEqual(['voided', 'run-timed-out']);
  expect(await chargeOf(late)).toBeUndefined();
  // Its receipt, countersigned when somebody asks for it, tells the domain that the run is over.
  await eventually('its part is gone', async () => {
    await weir.analyst.client.result(late).catch(() => undefined);
    return heldFiles('clinic').length === 0;
  });
});
