/** Holders that are not there: before a run, while the parties agree, and after it was started. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchResult, type PreparedRun } from '../../src/client/analyst.ts';
import type { ContractBody, RunBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import type { RunStep } from '../../src/runs/run-machine.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { unionTotals } from './support/reference.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital', 'station'];
const LEAVING = 'hospital';
const REST = ['clinic', 'station'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'cost_total', fn: 'sum', column: 'cost' },
  ],
  select: [],
};

let weir: TestWeir;
let twoWillDo: ContractBody;
let threeMust: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 50), controlled: true });
  // A total of two is released only where the holders have agreed that two are enough.
  const disclosure = { smallestCell: 3, smallestContributors: 2 };
  twoWillDo = await weir.agree(PLAN, { minimumParties: 2 }, { disclosure });
  threeMust = await weir.agree(PLAN, { minimumParties: 3 });
});
afterAll(() => weir?.close());

async function start(contract: ContractBody, prepared: PreparedRun): Promise<RunId> {
  const { client } = weir.analyst;
  const { runId } = await client.startRun(prepared.request, prepared.idempotencyKey);
  if (contract === twoWillDo) runIds.add(runId);
  return runId;
}

async function leave(): Promise<void> {
  await weir.program(LEAVING).kill();
  await eventually('the gateway sees that the link is gone', async () => {
    const { domains } = await weir.operator.domains();
    return domains.some(
      (domain) => domain.party === LEAVING && domain.connectedSince === undefined,
    );
  });
}

async function comeBack(): Promise<void> {
  await weir.start(LEAVING);
  await weir.linked();
}

/** The holder leaves when the gateway has just taken the step. */
async function leavingAt(step: RunStep): Promise<{ run: RunBody; prepared: PreparedRun }> {
  await weir.gateway.order({ kind: 'hold-at', step });
  const held = weir.gateway.held();
  const prepared = weir.prepare(twoWillDo);
  const runId = await start(twoWillDo, prepared);
  await held;
  await leave();
  await weir.gateway.order({ kind: 'release' });
  return { run: await endOf(weir, runId), prepared };
}

/** The same signed request under a new key. */
async function again(prepared: PreparedRun): Promise<RunBody> {
  const idempotencyKey = randomUUID();
  return endOf(weir, await start(twoWillDo, { ...prepared, idempotencyKey }));
}

async function expectSumOf(
  parties: readonly string[],
  run: RunBody,
  prepared: PreparedRun,
): Promise<void> {
  expect(run.state).toBe('posted');
  const { keys } = weir;
  const contract = twoWillDo;
  const finished = await fetchResult(weir.analyst.client, run.runId, prepared.request, {
    contract,
    keys,
  });
  const totals = (await unionTotals(weir.directory, parties, [])).get('')!;
  const [visits, cost] = finished.result.release.rows[0]!;
  expect(visits).toBe(Number(totals.rows));
  expect(String(cost).replace('.', '')).toBe(String(totals.sum.cost));
  expect(finished.receipt.receipt.parties).toEqual(parties);
  expect(finished.verified.missing).toEqual([]);
  const books = await readBooks(weir, contract.contract.id, runIds);
  expect(faultsIn(books)).toEqual([]);
  const record = books.records.find((one) => one.runId === run.runId);
  expect(record?.holders).toEqual(parties);
}

describe('a holder that is not linked', () => {
  it('is left out where the contract’s minimum holds, and the sum is the others’', async () => {
    await leave();
    const prepared = weir.prepare(twoWillDo);
    const run = await endOf(weir, await start(twoWillDo, prepared));
    await expectSumOf(REST, run, prepared);
  });

  it('voids the run where the minimum does not hold, and nothing is charged', async () => {
    const { contract } = threeMust;
    const before = await weir.analyst.explain(contract.id, {});
    const runId = await start(threeMust, weir.prepare(threeMust));
    const run = await endOf(weir, runId);
    expect([run.state, run.code]).toEqual(['voided', 'domain-unreachable']);
    const books = await readBooks(weir, contract.id, [runId]);
    expect(faultsIn(books)).toEqual([]);
    expect(books.quota).toEqual(before.quota);
    await comeBack();
  });
});

describe('a holder that leaves', () => {
  it('while the parties agree is left out of a further attempt', async () => {
    const { run, prepared } = await leavingAt('prepared');
    expect(run.attempt).toBe(2);
    await expectSumOf(REST, run, prepared);
    await comeBack();
  });

  it('after everybody signed voids the run; nobody was asked to start, so the request is unused', async () => {
    const { run, prepared } = await leavingAt('agreed');
    expect([run.state, run.code]).toEqual(['voided', 'domain-unreachable']);
    await comeBack();
    await expectSumOf(PARTIES, await again(prepared), prepared);
  });

  it('after the start voids the run: who has spent the request never runs it for others', async () => {
    const { run, prepared } = await leavingAt('started');
    expect([run.state, run.code]).toEqual(['voided', 'domain-left']);
    const alone = await again(prepared);
    expect([alone.state, alone.code]).toEqual(['voided', 'request-replayed']);
    await comeBack();
    const together = await again(prepared);
    expect([together.state, together.code]).toEqual(['voided', 'request-replayed']);
    expect(faultsIn(await readBooks(weir, twoWillDo.contract.id, runIds))).toEqual([]);
  });

  it('is part of the next run when it is back', async () => {
    const prepared = weir.prepare(twoWillDo);
    const run = await endOf(weir, await start(twoWillDo, prepared));
    await expectSumOf(PARTIES, run, prepared);
  });
});
