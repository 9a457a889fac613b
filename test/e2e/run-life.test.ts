/** A run's life as its analyst and the billing system see it, over real processes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchResult } from '../../src/client/analyst.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import { WeirClient } from '../../src/client/weir-client.ts';
import type { ContractBody, RunEventBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { SignedReceiptSchema, verifyReceipt } from '../../src/contracts/receipt.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'mean_cost', fn: 'avg', column: 'cost' },
  ],
  select: [],
};

let weir: TestWeir;

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 60), controlled: true });
});
afterAll(() => weir?.close());

async function problemOf(call: Promise<unknown>): Promise<WeirProblem> {
  try {
    await call;
  } catch (error) {
    if (error instanceof WeirProblem) return error;
    throw error;
  }
  throw new Error('the call was not refused');
}

function startedIn(contract: ContractBody): ReturnType<WeirClient['startRun']> {
  const prepared = weir.prepare(contract);
  return weir.analyst.client.startRun(prepared.request, prepared.idempotencyKey);
}

describe('metering', () => {
  it('a run leaves one record that its receipt names, and takes the quota it was said to take', async () => {
    const contract = await weir.agree(PLAN, { limits: { runsTotal: 2 } });
    const { id } = contract.contract;
    const before = await weir.analyst.explain(id, {});
    const run = await weir.analyst.run(contract, {}, () => undefined);
    const books = await readBooks(weir, id, [run.runId]);
    expect(faultsIn(books)).toEqual([]);
    const [record] = books.records;
    const { receipt } = run.receipt;
    expect(receipt.record.seq).toBe(record?.seq);
    expect(receipt.chargeMicros).toBe(record?.chargeMicros);
    expect(record?.chargeMicros).toBe(before.priceMicros);
    expect(record?.units).toEqual(receipt.units);
    expect(record?.holders).toEqual(PARTIES);
    expect(record?.datasets.every(({ fingerprint }) => fingerprint !== undefined)).toBe(true);

    await weir.analyst.run(contract, {}, () => undefined);
    const refused = await problemOf(startedIn(contract));
    expect([refused.status, refused.code]).toEqual([429, 'quota-exceeded']);
    const status = await weir.officer('clinic').status();
    const counted = status.counters.contracts.find(({ contractId }) => contractId === id);
    expect(counted?.runs).toBe(2);
  });

  it('as many runs as a gateway takes at once are all posted, and counted once each', async () => {
    const runs = 64;
    const limits = { runsTotal: runs, runsPerDay: runs, runsPerMonth: runs };
    const contract = await weir.agree(PLAN, { limits });
    const started = await Promise.all(Array.from({ length: runs }, () => startedIn(contract)));
    const ends = await Promise.all(started.map(({ runId }) => endOf(weir, runId)));
    expect(ends.filter(({ state }) => state !== 'posted')).toEqual([]);
    for (const party of PARTIES) {
      const { counters } = await weir.officer(party).status();
      const own = counters.contracts.find(({ contractId }) => contractId === contract.contract.id);
      expect(own?.runs).toBe(runs);
    }
  });

  it('a receipt changed by one character does not verify', async () => {
    const contract = await weir.agree(PLAN);
    const run = await weir.analyst.run(contract, {}, () => undefined);
    expect(() => verifyReceipt(run.receipt, { contract })).not.toThrow();
    const changed = structuredClone(run.receipt);
    Object.assign(changed.receipt, { chargeMicros: `1${changed.receipt.chargeMicros}` });
    expect(() => verifyReceipt(changed, { contract })).toThrow();
  });
});

describe('an idempotency key', () => {
  it('with the same request is the same run, with another one a conflict', async () => {
    const contract = await weir.agree(PLAN);
    const { request, idempotencyKey } = weir.prepare(contract);
    const { client } = weir.analyst;
    const [first, second] = await Promise.all([
      client.startRun(request, idempotencyKey),
      client.startRun(request, idempotencyKey),
    ]);
    expect(second.runId).toBe(first.runId);
    expect((await endOf(weir, first.runId)).state).toBe('posted');
    const third = await client.startRun(request, idempotencyKey);
    expect([third.runId, third.repeated]).toEqual([first.runId, true]);

    const other = weir.prepare(contract);
    const refused = await problemOf(client.startRun(other.request, idempotencyKey));
    expect([refused.status, refused.code]).toEqual([422, 'idempotency-conflict']);
    expect(faultsIn(await readBooks(weir, contract.contract.id, [first.runId]))).toEqual([]);
  });

  it('that is new does not make a signed request run twice', async () => {
    const contract = await weir.agree(PLAN);
    const { request, idempotencyKey } = weir.prepare(contract);
    const { client } = weir.analyst;
    const first = await client.startRun(request, idempotencyKey);
    expect((await endOf(weir, first.runId)).state).toBe('posted');
    const again = await client.startRun(request, `${idempotencyKey}-again`);
    const end = await endOf(weir, again.runId);
    expect([end.state, end.code]).toEqual(['voided', 'request-replayed']);
    const runIds = [first.runId, again.runId];
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
  });
});

describe('a run at work', () => {
  it('is cancelled by DELETE, charges nothing and leaves the quota whole', async () => {
    const contract = await weir.agree(PLAN);
    const { client } = weir.analyst;
    await weir.gateway.order({ kind: 'hold-at', step: 'agreed' });
    const held = weir.gateway.held();
    const { runId } = await startedIn(contract);
    await held;
    const notReady = await problemOf(client.result(runId));
    expect(notReady.code).toBe('result-not-ready');
    const cancelling = client.cancelRun(runId);
    await weir.gateway.order({ kind: 'release' });
    const run = await cancelling;
    expect([run.state, run.code]).toEqual(['voided', 'run-cancelled']);
    expect((await problemOf(client.result(runId))).code).toBe('run-cancelled');
    const books = await readBooks(weir, contract.contract.id, [runId]);
    expect(faultsIn(books)).toEqual([]);
    expect((await client.cancelRun(runId)).state).toBe('voided');
  });

  it('is followed over a broken stream: every event once, in order', async () => {
    const contract = await weir.agree(PLAN);
    const { client } = weir.analyst;
    await weir.gateway.order({ kind: 'hold-at', step: 'agreed' });
    const held = weir.gateway.held();
    const { runId } = await startedIn(contract);
    await held;
    const before: RunEventBody[] = [];
    for await (const event of client.follow(runId)) {
      before.push(event);
      if (event.state === 'agreed') break;
    }
    await weir.gateway.order({ kind: 'release' });
    const after: RunEventBody[] = [];
    for await (const event of client.follow(runId, before.at(-1)?.seq)) after.push(event);
    const whole: RunEventBody[] = [];
    for await (const event of client.follow(runId)) whole.push(event);
    expect([...before, ...after]).toEqual(whole);
    expect(whole.map((event) => event.seq)).toEqual(whole.map((_, index) => index + 1));
    expect(whole.at(-1)?.state).toBe('posted');
  });

  it('outlives its client', async () => {
    const contract = await weir.agree(PLAN);
    const prepared = weir.prepare(contract);
    const token = await weir.operator.createToken({
      role: 'analyst',
      party: weir.analyst.config.party.id,
      label: 'short-lived',
      ttlS: 60,
    });
    await weir.gateway.order({ kind: 'hold-at', step: 'prepared' });
    const held = weir.gateway.held();
    const gone = new WeirClient({ url: weir.url, token: token.token });
    const { runId } = await gone.startRun(prepared.request, prepared.idempotencyKey);
    gone.close();
    await held;
    await weir.gateway.order({ kind: 'release' });
    expect((await endOf(weir, runId)).state).toBe('posted');
    const { keys } = weir;
    const run = await fetchResult(weir.analyst.client, runId, prepared.request, { contract, keys });
    expect(run.result.release.rows.length).toBeGreaterThan(0);
  });
});

// Last: the gateway's clock does not go back.
describe('after retention', () => {
  it('result and key answer 410 with the receipt, and nothing runs again', async () => {
    const contract = await weir.agree(PLAN, { resultRetentionS: 60 });
    const { request, idempotencyKey } = weir.prepare(contract);
    const { client } = weir.analyst;
    const { runId } = await client.startRun(request, idempotencyKey);
    expect((await endOf(weir, runId)).state).toBe('posted');
    await client.result(runId);
    await weir.gateway.order({ kind: 'age', aheadMs: 61_000 });
    // One after the other: a refusal that nobody awaits yet would count as unhandled.
    for (const call of [
      () => client.result(runId),
      () => client.startRun(request, idempotencyKey),
    ]) {
      const gone = await problemOf(call());
      expect([gone.status, gone.code]).toEqual([410, 'result-expired']);
      const receipt = SignedReceiptSchema.parse(gone.document['receipt']);
      expect(receipt.receipt.runId).toBe(runId);
      verifyReceipt(receipt, { contract });
    }
    expect(faultsIn(await readBooks(weir, contract.contract.id, [runId]))).toEqual([]);
  });
});
