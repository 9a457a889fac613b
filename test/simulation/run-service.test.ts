/** The gateway's runs over a real store and ledger, with domains that answer badly or late. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RUN_METHODS } from '../../src/contracts/run-messages.ts';
import { CapacityError, InvariantError, PolicyError } from '../../src/errors.ts';
import { recoverRuns, sweep } from '../../src/runs/recovery.ts';
import { dropExpiredResults, readRun, readSealedResult } from '../../src/runs/run-rows.ts';
import type { SqlValue } from '../../src/store/store.ts';
import { GATEWAY, type PartyId, type RunId } from '../../src/system/ids.ts';
import { ANALYST, HOLDERS, NOW_MS } from '../fixtures/contract.ts';
import { openRunWorld, type RunWorld } from '../support/run-world.ts';

const [A, B, C] = HOLDERS as [PartyId, PartyId, PartyId];
let world: RunWorld;

beforeEach(async () => {
  world = await openRunWorld();
});
afterEach(() => world.close());

/** Starts a run and waits for its end. */
async function ended(): Promise<RunId> {
  const { runId } = await world.runs.start(world.command());
  await world.runs.drain(60_000);
  return runId;
}

describe('an honest run', () => {
  it('is posted, and its receipt countersigned by all', async () => {
    const runId = await ended();
    const { receipt } = await world.runs.result(runId, ANALYST);
    expect(receipt).toMatchObject({ receipt: { outcome: 'posted' } });
    expect((receipt['countersignatures'] as { party: string }[]).map(({ party }) => party)).toEqual(
      HOLDERS,
    );
  });
});

describe('a domain that answers badly', () => {
  it('countersigns something else: the analyst gets result and receipt all the same', async () => {
    world.bend = async (party, method, honest) => {
      const answer = await honest();
      if (party !== B || method !== RUN_METHODS.countersign) return answer;
      return { party: B, jws: 'e30..AAAA' };
    };
    const runId = await ended();
    const { receipt } = await world.runs.result(runId, ANALYST);
    const countersigned = receipt['countersignatures'] as { party: string }[];
    expect(countersigned.map(({ party }) => party)).toEqual([A, C]);
    world.bend = (_party, _method, honest) => honest();
    const later = await world.runs.result(runId, ANALYST);
    expect(later.receipt['countersignatures']).toHaveLength(3);
  });

  it('refuses the start after others counted: what they signed is witnessed', async () => {
    world.bend = (party, method, honest) => {
      if (party === C && method === RUN_METHODS.start) {
        throw new PolicyError('contract-revoked', 'Revoked.', { party: C });
      }
      return honest();
    };
    const runId = await ended();
    expect(await readRun(world.state.store, runId)).toMatchObject({
      state: 'voided',
      code: 'contract-revoked',
    });
    expect([await world.witness.latest(A), await world.witness.latest(B)]).toMatchObject([
      { spend: { runId } },
      { spend: { runId } },
    ]);
    expect(await world.witness.latest(C)).toBeUndefined();
  });
});

describe('ends that come while a run begins', () => {
  it('has no room for the run: its analyst is told by whom, that it is over, and what would work', async () => {
    world.bend = (party, method, honest) => {
      if (party !== C || method !== RUN_METHODS.prepare) return honest();
      throw new CapacityError('queue-full', `${C} has 64 runs at work.`, { party: C });
    };
    const runId = await ended();
    await expect(world.runs.result(runId, ANALYST)).rejects.toMatchObject({
      code: 'queue-full',
      message: `${C} has 64 runs at work.`,
      facts: { runIsOver: true, remedy: expect.stringMatching(/run again/) },
    });
    const [record] = await world.state.ledger.records(0n, 9);
    expect(record).toMatchObject({ outcome: 'voided', chargeMicros: 0n });
  });

  it('a revocation between the contract’s look-up and the launch ends the run', async () => {
    const reason = new PolicyError('contract-revoked', 'Revoked.', { party: A });
    const { ledger } = world.state;
    const reserve = ledger.reserve.bind(ledger);
    ledger.reserve = async (command) => {
      const outcome = await reserve(command);
      // As the desk does it: the book first, then the runs at work.
      await world.book.suspend(world.contract.id, A, 'over', NOW_MS);
      await world.runs.abortContract(world.contract.id, reason);
      return outcome;
    };
    const asked: string[] = [];
    world.bend = (_party, method, honest) => {
      asked.push(method);
      return honest();
    };
    const runId = await ended();
    expect(await readRun(world.state.store, runId)).toMatchObject({
      state: 'voided',
      code: 'contract-not-active',
    });
    expect(asked).toEqual([]);
  });

  it('a shutdown waits for a run that is just being reserved', async () => {
    const { ledger } = world.state;
    const reserve = ledger.reserve.bind(ledger);
    const reached = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    ledger.reserve = async (command) => {
      reached.resolve();
      await gate.promise;
      return reserve(command);
    };
    const starting = world.runs.start(world.command());
    await reached.promise;
    const draining = world.runs.drain(60_000).then(() => 'drained');
    gate.resolve();
    const { runId } = await starting;
    expect(await draining).toBe('drained');
    expect((await readRun(world.state.store, runId))?.state).toBe('posted');
    await expect(world.runs.start(world.command())).rejects.toMatchObject({
      code: 'shutting-down',
    });
  });
});

describe('what is read of a run', () => {
  it('leaves the result alone: status, listing and sweeping go by indexes before it', async () => {
    const runId = await ended();
    const run = await readRun(world.state.store, runId);
    expect(run?.state).toBe('posted');
    expect(Object.keys(run ?? {})).not.toContain('sealedResult');
    const sealed = await readSealedResult(world.state.store, runId);
    expect((await world.runs.result(runId, ANALYST)).sealed).toBe(sealed);
    const planOf = async ({ sql, params }: { sql: string; params?: readonly SqlValue[] }) =>
      (await world.state.store.query(`EXPLAIN QUERY PLAN ${sql}`, params)).map((row) =>
        String(row['detail']),
      );
    expect(await planOf(dropExpiredResults(NOW_MS))).toEqual([
      expect.stringContaining('runs_by_result_expiry'),
    ]);
    await world.state.store.execute([dropExpiredResults(NOW_MS + 86_400_001)]);
    await expect(world.runs.result(runId, ANALYST)).rejects.toMatchObject({
      code: 'result-expired',
    });
  });
});

describe('what another process of the gateway is told', () => {
  it('a suspension ends a run at work here within a look of the sweeper', async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    world.onStep = async (name) => {
      if (name !== 'started') return;
      reached.resolve();
      await gate.promise;
    };
    const { runId } = await world.runs.start(world.command());
    await reached.promise;
    // The control: what stands is left alone.
    await world.runs.endStopped();
    // The operator asked another process: in the book, and nothing else here.
    await world.book.suspend(world.contract.id, GATEWAY, 'odd questions', NOW_MS);
    const stopOf = world.active.stopOf.bind(world.active);
    world.active.stopOf = async (id) => {
      const reason = await stopOf(id);
      setImmediate(gate.resolve);
      return reason;
    };
    await world.runs.endStopped();
    expect(await readRun(world.state.store, runId)).toMatchObject({
      state: 'voided',
      code: 'contract-not-active',
    });
  });
});

describe('a store that fails once the run is under way', () => {
  it('tells no quota, and the run all the same', async () => {
    const { ledger } = world.state;
    ledger.usage = () => Promise.reject(new CapacityError('store-unavailable', 'Not now.'));
    const { runId, quota } = await world.runs.start(world.command());
    expect(quota).toEqual([]);
    await world.runs.drain(60_000);
    expect((await readRun(world.state.store, runId))?.state).toBe('posted');
  });
});

describe('a run that another process has expired meanwhile', () => {
  it('is posted late, and its receipt takes the place of the expiry’s', async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    world.onStep = async (name) => {
      if (name !== 'settling') return;
      world.onStep = async () => undefined;
      reached.resolve();
      await gate.promise;
    };
    const { runId } = await world.runs.start(world.command());
    await reached.promise;
    world.aheadMs = 121_000;
    await sweepOnce({ ...world.deps, instance: 'gateway-2' });
    // Told to the analyst, with a receipt.
    await expect(world.runs.result(runId, ANALYST)).rejects.toMatchObject({
      code: 'run-timed-out',
    });
    const before = await readRun(world.state.store, runId);
    expect(before?.state).toBe('expired');
    expect(before?.receiptJson).toContain('"expired"');
    gate.resolve();
    await world.runs.drain(60_000);
    const { receipt } = await world.runs.result(runId, ANALYST);
    expect(receipt).toMatchObject({ receipt: { outcome: 'posted', record: { seq: '2' } } });
    expect(receipt['countersignatures']).toHaveLength(HOLDERS.length);
    expect((await readRun(world.state.store, runId))?.recordSeq).toBe(2n);
  });
});

/** One round of the sweeper of a process that is at work on nothing. */
async function sweepOnce(deps: RunWorld['deps']): Promise<void> {
  const over = new AbortController();
  let isOver = false;
  const clock = {
    ...deps.clock,
    sleep: async () => {
      if (isOver) over.abort();
      isOver = true;
    },
  };
  const idle = {
    isLive: () => false,
    waiting: world.runs.waiting,
    endStopped: () => Promise.resolve(),
  };
  await sweep(deps, world.active, world.receipts, clock, idle, over.signal, () => true);
}

describe('recovery', () => {
  it('ends what a crash left, though one run cannot be ended', async () => {
    // The process dies right after the reservations.
    world.onStep = () => new Promise(() => undefined);
    const [stuck, other] = [
      await world.runs.start(world.command()),
      await world.runs.start(world.command()),
    ];
    world.onStep = async () => undefined;
    const { ledger } = world.state;
    const settle = ledger.settle.bind(ledger);
    ledger.settle = (command) =>
      command.runId === stuck.runId
        ? Promise.reject(new InvariantError('internal', 'the books do not balance'))
        : settle(command);
    const report = await recoverRuns(world.deps, world.active, world.receipts);
    expect(report).toMatchObject({ voided: 1, left: 1 });
    const stateOf = async ({ runId }: { runId: RunId }): Promise<string | undefined> =>
      (await readRun(world.state.store, runId))?.state;
    expect([await stateOf(stuck), await stateOf(other)]).toEqual(['reserved', 'voided']);
    ledger.settle = settle;
    expect(await recoverRuns(world.deps, world.active, world.receipts)).toMatchObject({
      voided: 1,
      left: 0,
    });
    ledger.settle = () => Promise.reject(new CapacityError('disk-full', 'The disk is full.'));
    world.onStep = () => new Promise(() => undefined);
    await world.runs.start(world.command());
    world.onStep = async () => undefined;
    await expect(recoverRuns(world.deps, world.active, world.receipts)).rejects.toMatchObject({
      code: 'disk-full',
    });
  });
});
