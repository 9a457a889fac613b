/**
 * A crash at every named step of a run, in the gateway and in a domain: SIGKILL, a new process on
 * the same directory, and then the books. Posted with a result that can be fetched, or voided;
 * never twice, never uncounted.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchResult, type PreparedRun } from '../../src/client/analyst.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import { SECURE_SUM_STEPS } from '../../src/computations/secure-sum/domain.ts';
import type { ContractBody, RunBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { SESSION_STEPS } from '../../src/domain/run-session.ts';
import { RUN_STEPS } from '../../src/runs/run-machine.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { RunId } from '../../src/system/ids.ts';
import { type Books, endOf, faultsIn, readBooks } from './support/books.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'] as const;
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
const RANDOM_KILLS = 3;
const RUNS_AT_ONCE = 4;
/** So many runs of this data take one or two hundred milliseconds. */
const RANDOM_KILL_MS_MAX = 250;

let weir: TestWeir;
let contract: ContractBody;
/** Every run of the contract, the voided ones too: the books must know these and no others. */
const runIds = new Set<RunId>();
let visits: number;

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 40), controlled: true });
  contract = await weir.agree(PLAN, { limits: { runsPerDay: 1000 } });
  visits = await goodRun();
});
afterAll(() => weir?.close());

/** A run that nobody disturbs: posted, and the same answer as ever. */
async function goodRun(): Promise<number> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  runIds.add(run.runId);
  const total = run.result.release.rows.reduce((sum, row) => sum + Number(row.at(-1)), 0);
  if (visits !== undefined) expect(total).toBe(visits);
  return total;
}

/** The request is sent, and sent again with the same key until somebody answers. */
function send(prepared: PreparedRun): Promise<{ runId: RunId } | undefined> {
  const { request, idempotencyKey } = prepared;
  return weir.analyst.client.startRun(request, idempotencyKey).catch((error: unknown) => {
    if (error instanceof WeirProblem) throw error;
    return undefined;
  });
}

/** The run under this key, which is one run however often it is asked for. */
async function settled(prepared: PreparedRun): Promise<RunBody> {
  const started = await send(prepared);
  if (started === undefined) throw new Error('the gateway does not answer');
  const { runId } = started;
  runIds.add(runId);
  const run = await endOf(weir, runId);
  expect((await send(prepared))?.runId).toBe(runId);
  return run;
}

/** A posted run has its result, with a receipt that all its parties countersigned. */
async function checkEnd(run: RunBody, prepared: PreparedRun): Promise<void> {
  const { client } = weir.analyst;
  if (run.state === 'posted') {
    const { keys } = weir;
    const { result, verified } = await fetchResult(client, run.runId, prepared.request, {
      contract,
      keys,
    });
    expect(verified.missing).toEqual([]);
    expect(result.release.rows.length).toBeGreaterThan(0);
  } else {
    expect(run.state).toBe('voided');
    await expect(client.result(run.runId)).rejects.toMatchObject({ code: run.code });
  }
}

async function spentBy(party: string): Promise<number> {
  const { counters } = await weir.officer(party).status();
  expect(counters.rolledBack).toBe(false);
  const own = counters.contracts.find(({ contractId }) => contractId === contract.contract.id);
  return own?.runs ?? 0;
}

async function allSpent(): Promise<readonly number[]> {
  return Promise.all(PARTIES.map(spentBy));
}

async function checkBooks(): Promise<void> {
  expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
}

describe('a gateway that is killed', () => {
  const POSTED: readonly string[] = ['settled', 'receipted'];
  const UNSPENT: readonly string[] = ['reserved', 'prepared', 'agreed'];

  it.each(RUN_STEPS)('at the step %s leaves a run with one end', async (step) => {
    const before = await allSpent();
    await weir.gateway.order({ kind: 'crash-at', step });
    const prepared = weir.prepare(contract);
    const sending = send(prepared);
    expect(await weir.gateway.ended).toMatchObject({ signal: 'SIGKILL' });
    await weir.start('gateway');
    await sending;
    await weir.linked();
    const run = await settled(prepared);
    expect(run.state).toBe(POSTED.includes(step) ? 'posted' : 'voided');
    if (run.state === 'voided') expect(run.code).toBe('gateway-restarted');
    await checkEnd(run, prepared);
    const counted = UNSPENT.includes(step) ? 0 : 1;
    expect(await allSpent()).toEqual(before.map((runs) => runs + counted));
    await checkBooks();
    await goodRun();
    await checkBooks();
  });

  it('again and again while it ends what the first crash left still ends the run once', async () => {
    const before = await allSpent();
    await weir.gateway.order({ kind: 'crash-at', step: 'released' });
    const prepared = weir.prepare(contract);
    const sending = send(prepared);
    await weir.gateway.ended;
    await weir.crashWhileStarting('settling');
    await weir.crashWhileStarting('settled');
    await weir.start('gateway');
    await sending;
    await weir.linked();
    const run = await settled(prepared);
    expect([run.state, run.code]).toEqual(['voided', 'gateway-restarted']);
    expect(await allSpent()).toEqual(before.map((runs) => runs + 1));
    await goodRun();
    await checkBooks();
  });

  it('does not leave a follower without the end', async () => {
    const { client } = weir.analyst;
    await weir.gateway.order({ kind: 'hold-at', step: 'started' });
    const held = weir.gateway.held();
    const prepared = weir.prepare(contract);
    const started = await send(prepared);
    const following = client.follow(started!.runId);
    const states: string[] = [];
    for (let state = ''; state !== 'agreed'; ) {
      state = (await following.next()).value?.state ?? 'none';
      states.push(state);
    }
    await held;
    await weir.gateway.kill();
    await weir.start('gateway');
    for await (const event of following) states.push(event.state);
    expect(states).toEqual(['preparing', 'agreed', 'voided']);
    await weir.linked();
    await settled(prepared);
    await checkBooks();
  });

  it('at any moment leaves every run with one end', async () => {
    for (let kill = 0; kill < RANDOM_KILLS; kill += 1) {
      const before = await allSpent();
      const batch = Array.from({ length: RUNS_AT_ONCE }, () => weir.prepare(contract));
      const sending = Promise.all(batch.map(send));
      await systemClock.sleep(Math.random() * RANDOM_KILL_MS_MAX);
      await weir.gateway.kill();
      await weir.start('gateway');
      await sending;
      await weir.linked();
      let posted = 0;
      for (const prepared of batch) {
        // Nothing was reserved where the request had not arrived: then it runs now.
        const run = await settled(prepared);
        await checkEnd(run, prepared);
        if (run.state === 'posted') posted += 1;
      }
      for (const [index, runs] of (await allSpent()).entries()) {
        expect(runs - before[index]!).toBeLessThanOrEqual(RUNS_AT_ONCE);
        expect(runs - before[index]!).toBeGreaterThanOrEqual(posted);
      }
      await goodRun();
      await checkBooks();
    }
  });
});

describe('a domain that is killed', () => {
  const [killed, other] = PARTIES;
  const STEPS = [...SESSION_STEPS.slice(0, -1), ...SECURE_SUM_STEPS, ...SESSION_STEPS.slice(-1)];
  const UNSPENT: readonly string[] = ['prepared', 'agreed', 'before-spend'];

  it.each(STEPS)('at the step %s leaves a run with one end', async (step) => {
    const before = await spentBy(killed);
    await weir.program(killed).order({ kind: 'crash-at', step });
    const prepared = weir.prepare(contract);
    const sending = settled(prepared);
    expect(await weir.program(killed).ended).toMatchObject({ signal: 'SIGKILL' });
    const run = await sending;
    await weir.start(killed);
    await weir.linked();
    // Its last frames may have arrived or not when it had finished.
    if (step !== 'finished') expect(run.state).toBe('voided');
    await checkEnd(run, prepared);
    // What was spent stays spent, whatever became of the run.
    expect(await spentBy(killed)).toBe(before + (UNSPENT.includes(step) ? 0 : 1));
    await checkBooks();
    if (!UNSPENT.includes(step)) await checkNoReplay(prepared);
    await goodRun();
    await checkBooks();
  });

  it('at any moment leaves every run with one end', async () => {
    for (let kill = 0; kill < RANDOM_KILLS; kill += 1) {
      const before = await spentBy(other);
      const batch = Array.from({ length: RUNS_AT_ONCE }, () => weir.prepare(contract));
      const sending = Promise.all(batch.map(settled));
      await systemClock.sleep(Math.random() * RANDOM_KILL_MS_MAX);
      await weir.program(other).kill();
      const runs = await sending;
      await weir.start(other);
      await weir.linked();
      for (const [index, run] of runs.entries()) await checkEnd(run, batch[index]!);
      const posted = runs.filter((run) => run.state === 'posted').length;
      const spent = (await spentBy(other)) - before;
      expect(spent).toBeLessThanOrEqual(RUNS_AT_ONCE);
      expect(spent).toBeGreaterThanOrEqual(posted);
      await goodRun();
      await checkBooks();
    }
  });

  /** The same signed request under a new key: the domain has it in its books. */
  async function checkNoReplay(prepared: PreparedRun): Promise<void> {
    const before = await spentBy(killed);
    const again = { ...prepared, idempotencyKey: `${prepared.idempotencyKey}-again` };
    const run = await settled(again);
    expect([run.state, run.code]).toEqual(['voided', 'request-replayed']);
    expect(await spentBy(killed)).toBe(before);
  }
});

describe('the check of the books notices', () => {
  const doctored: readonly [string, (books: Books) => Books][] = [
    ['a record that was lost', (books) => ({ ...books, records: books.records.slice(1) })],
    [
      'a run that was charged twice',
      (books) => ({
        ...books,
        records: [...books.records, books.records.find((one) => one.outcome === 'posted')!],
      }),
    ],
    [
      'a charge for a voided run',
      (books) => changed(books, 'voided', { units: { runs: '1' }, chargeMicros: '1' }),
    ],
    [
      'a posted run without a charge',
      (books) => changed(books, 'posted', { units: {}, chargeMicros: '0' }),
    ],
    ['a run recorded as another end', (books) => changed(books, 'voided', { outcome: 'posted' })],
    ['a record of a run that nobody knows', (books) => ({ ...books, runs: books.runs.slice(1) })],
    [
      'quota that was given back',
      (books) => ({
        ...books,
        quota: books.quota.map((line) => ({ ...line, left: String(BigInt(line.left) + 1n) })),
      }),
    ],
    [
      'a run without an end',
      (books) => ({
        ...books,
        runs: books.runs.map((run, index) => (index === 0 ? { ...run, state: 'agreed' } : run)),
      }),
    ],
  ];

  it.each(doctored)('%s', async (_what, doctor) => {
    const books = await readBooks(weir, contract.contract.id, runIds);
    expect(books.runs.some((run) => run.state === 'voided')).toBe(true);
    expect(faultsIn(books)).toEqual([]);
    expect(faultsIn(doctor(books))).not.toEqual([]);
  });

  function changed(
    books: Books,
    outcome: string,
    change: Partial<Books['records'][number]>,
  ): Books {
    const at = books.records.findIndex((record) => record.outcome === outcome);
    const records = books.records.map((record, index) =>
      index === at ? { ...record, ...change } : record,
    );
    return { ...books, records };
  }
});
