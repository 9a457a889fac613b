/**
 * Ending a run at another process of the gateway than the one at work on it, and following it there:
 * the same answers, one end, one record, whatever becomes of that process meanwhile.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { RunId } from '../../src/system/ids.ts';
import { findServer } from '../support/test-stores.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { weir as command } from './support/command.ts';
import { type Pair, SECOND, startPair } from './support/pair.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually } from './support/weir.ts';

const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
const RACES = 12;
const RACES_MAX = 40;
const found = await findServer();

describe.skipIf(found === undefined)('a run at another process of the gateway', () => {
  let pair: Pair;
  let contract: ContractBody;
  const runIds = new Set<RunId>();
  beforeAll(async () => {
    pair = await startPair(found?.url ?? '', {
      holders: visitsHolders(['clinic', 'hospital'], 40),
    });
    contract = await pair.weir.agree(PLAN, { limits: { runsTotal: 100, runsPerDay: 100 } });
  }, 120_000);
  afterAll(async () => {
    await pair?.close();
    await found?.server?.stop();
  });

  /** At the first process. */
  async function start(of = contract): Promise<RunId> {
    const { request, idempotencyKey } = pair.weir.prepare(of);
    const { runId } = await pair.weir.analyst.client.startRun(request, idempotencyKey);
    if (of === contract) runIds.add(runId);
    return runId;
  }

  /** Started at the first process and in the midst of it, while a domain takes its time. */
  async function startHeld(): Promise<RunId> {
    const clinic = pair.weir.program('clinic');
    await clinic.order({ kind: 'hold-at', step: 'before-spend' });
    const held = clinic.held();
    const runId = await start();
    await held;
    return runId;
  }

  const goOn = (): Promise<void> => pair.weir.program('clinic').order({ kind: 'release' });
  const stateOf = async (runId: RunId): Promise<string> =>
    (await pair.weir.analyst.client.run(runId)).state;

  async function checkBooks(): Promise<void> {
    expect(faultsIn(await readBooks(pair.weir, contract.contract.id, runIds))).toEqual([]);
    const proof = command(['metering', 'reconcile', '--dir', join(pair.weir.directory, SECOND)]);
    expect(await proof.ended, proof.stderr()).toBe(0);
    expect(proof.stdout()).toMatch(/receipts agree/);
  }

  it('is cancelled at once, with the answer that its own process gives', async () => {
    const here = await startHeld();
    const own = await pair.weir.analyst.client.cancelRun(here);
    await goOn();
    const there = await startHeld();
    const asked = systemClock.monotonic();
    const answer = await pair.second.client.cancelRun(there);
    // Well before the process would have been given up: it ended the run itself.
    expect(systemClock.monotonic() - asked).toBeLessThan(5_000);
    await goOn();
    const facts = ({ state, code, note, attempt }: typeof own): object => ({
      state,
      code,
      note,
      attempt,
    });
    expect(facts(answer)).toEqual(facts(own));
    expect(answer).toMatchObject({ state: 'voided', code: 'run-cancelled' });
    expect(await pair.second.client.cancelRun(there)).toEqual(answer);
    expect(await pair.weir.analyst.client.run(there)).toEqual(answer);
    await expect(pair.second.client.result(there)).rejects.toMatchObject({ code: 'run-cancelled' });
    await checkBooks();
  });

  it('is not cancelled once it was released: the answer says so', async () => {
    const runId = await start();
    expect((await endOf(pair.weir, runId)).state).toBe('posted');
    expect(await pair.second.client.cancelRun(runId)).toMatchObject({ state: 'posted' });
    await pair.second.client.result(runId);
    await checkBooks();
  });

  it('has one end where cancelling and releasing race', async () => {
    const ends = new Set<string>();
    // The run goes on later and later, so that either comes first, however slow the machine is.
    for (let race = 0; race < RACES || (ends.size < 2 && race < RACES_MAX); race += 1) {
      const runId = await startHeld();
      const [here, there] = await Promise.all([
        pair.weir.analyst.client.run(runId),
        pair.second.client.cancelRun(runId),
        systemClock.sleep(race * 60).then(goOn),
      ]);
      expect(['reserved', 'preparing', 'agreed', 'computing', there.state]).toContain(here.state);
      expect(['posted', 'voided']).toContain(there.state);
      expect(await stateOf(runId)).toBe(there.state);
      ends.add(there.state);
    }
    expect([...ends].toSorted()).toEqual(['posted', 'voided']);
    await checkBooks();
  });

  it('is ended by its own process, when that can: a stalled one finds the request', async () => {
    const runId = await startHeld();
    process.kill(pair.weir.gateway.pid, 'SIGSTOP');
    try {
      // The control of the test above: nobody else ends a run whose process is there.
      const answer = await pair.second.client.cancelRun(runId);
      expect(answer.state).not.toBe('voided');
    } finally {
      process.kill(pair.weir.gateway.pid, 'SIGCONT');
    }
    await eventually('it is voided', async () => (await stateOf(runId)) === 'voided');
    expect((await pair.second.client.run(runId)).code).toBe('run-cancelled');
    await goOn();
    await pair.weir.linked();
    await checkBooks();
  });

  it('ends with a contract that the operator suspends at the other process', async () => {
    const suspended = await pair.weir.agree(PLAN);
    const clinic = pair.weir.program('clinic');
    await clinic.order({ kind: 'hold-at', step: 'before-spend' });
    const held = clinic.held();
    const runId = await start(suspended);
    await held;
    await pair.operator.suspendContract(suspended.contract.id, 'a test');
    expect(await pair.weir.analyst.client.run(runId)).toMatchObject({
      state: 'voided',
      code: 'contract-not-active',
    });
    await goOn();
  });

  it('is followed at either, with the same events', async () => {
    const runId = await startHeld();
    const follow = async ({ client }: typeof pair.second): Promise<object[]> => {
      const events: object[] = [];
      for await (const event of client.follow(runId)) events.push(event);
      return events;
    };
    const following = Promise.all([follow(pair.weir.analyst), follow(pair.second)]);
    await systemClock.sleep(300);
    await goOn();
    const [here, there] = await following;
    expect(there).toEqual(here);
    expect(there.length).toBeGreaterThan(3);
    expect(there.at(-1)).toMatchObject({ state: 'posted' });
  });

  it('is followed by its row where its own process is not reached', async () => {
    const [row] = await pair.sql(
      `DELETE FROM gateway_process WHERE instance = 'gateway-1' RETURNING *`,
    );
    const runId = await startHeld();
    const states: string[] = [];
    const following = (async () => {
      for await (const { state } of pair.second.client.follow(runId)) states.push(state);
    })();
    await eventually('it is seen at work', async () => states.includes('agreed'));
    await goOn();
    await following;
    expect(states.at(-1)).toBe('posted');
    await pair.sql('INSERT INTO gateway_process VALUES ($1, $2, $3, $4)', [
      row?.['instance'],
      row?.['url'],
      row?.['machine'],
      row?.['certificate'],
    ]);
  });

  it('ends once where its own process was killed: cancelled at once, else when that is back', async () => {
    const cancelled = await startHeld();
    const left = await start();
    await eventually('both are at work', async () => (await stateOf(left)) !== 'reserved');
    await pair.weir.gateway.kill();
    await goOn();
    expect(await pair.second.client.cancelRun(cancelled)).toMatchObject({
      state: 'voided',
      code: 'run-cancelled',
    });
    // The control: what nobody cancels waits for its own process.
    expect((await pair.second.client.run(left)).state).not.toBe('voided');
    await pair.weir.start('gateway');
    await pair.weir.linked();
    expect(await pair.weir.analyst.client.run(left)).toMatchObject({
      state: 'voided',
      code: 'gateway-restarted',
    });
    expect(await pair.weir.analyst.client.run(cancelled)).toMatchObject({ code: 'run-cancelled' });
    await checkBooks();
  });
});
