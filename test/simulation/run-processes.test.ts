/** Two processes of one gateway on one store: who ends a run, who signs its receipt, what its row says. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReceiptIssuer } from '../../src/runs/receipt-issuer.ts';
import { recoverRuns } from '../../src/runs/recovery.ts';
import type { RunDependencies } from '../../src/runs/run-machine.ts';
import { readRun, type RunRow } from '../../src/runs/run-rows.ts';
import { RunService } from '../../src/runs/run-service.ts';
import type { Statement } from '../../src/store/store.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { RunId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { ANALYST } from '../fixtures/contract.ts';
import { openRunWorld, type RunWorld } from '../support/run-world.ts';

const OPTIONS = {
  concurrentMax: 4,
  timeoutMs: 60_000,
  analystSilenceMs: 1_000,
  quotas: [],
  quotaTimeZone: 'Asia/Shanghai',
};
let world: RunWorld;
/** Whether the first process bears its name. */
let isPresent: boolean;
beforeEach(async () => {
  world = await openRunWorld({ release: { by: 'officer', withinS: 3600 } });
  isPresent = true;
});
afterEach(() => world.close());

/** A further process on the world's store. */
function process(changes: Partial<RunDependencies> = {}): {
  readonly runs: RunService;
  readonly receipts: ReceiptIssuer;
} {
  const others = { isPresent: async () => isPresent };
  const deps = { ...world.deps, instance: 'gateway-2', others, ...changes };
  const identity = eddsaSuite.generate(systemRandom);
  const receipts = new ReceiptIssuer({ deps, identity, contracts: world.active });
  return { runs: new RunService(deps, world.active, receipts, OPTIONS), receipts };
}

/** A run whose process does nothing more, as if it had died with it. */
async function startDead(): Promise<RunId> {
  const reached = Promise.withResolvers<void>();
  world.onStep = async (name) => {
    if (name !== 'agreed') return;
    reached.resolve();
    await new Promise(() => undefined);
  };
  const { runId } = await world.runs.start(world.command());
  await reached.promise;
  world.onStep = async () => undefined;
  return runId;
}

const facts = async (runId: RunId): Promise<object> => {
  const run = await readRun(world.state.store, runId);
  return { state: run?.state, code: run?.code };
};
const CANCELLED = { state: 'voided', code: 'run-cancelled' };

async function recordsOf(runId: RunId): Promise<number> {
  const records = await world.state.ledger.records(0n, 100);
  return records.filter((record) => record.runId === runId).length;
}

it('is ended by whoever is asked once its own process is gone, and not before', async () => {
  const runId = await startDead();
  let isOver = false;
  const cancelling = process().runs.cancel(runId, ANALYST);
  void cancelling.then(() => (isOver = true));
  await systemClock.sleep(500);
  expect(isOver).toBe(false);
  isPresent = false;
  expect(await cancelling).toMatchObject(CANCELLED);
  expect(await recordsOf(runId)).toBe(1);
});

it('keeps the reason for a process that comes back, whichever of them is first', async () => {
  const runId = await startDead();
  const left = await startDead();
  const cancelling = process().runs.cancel(runId, ANALYST);
  await systemClock.sleep(200);
  await recoverRuns(world.deps, world.active, world.receipts);
  expect(await cancelling).toMatchObject(CANCELLED);
  expect(await facts(runId)).toEqual(CANCELLED);
  // The control: without a request a start says that it was one.
  expect(await facts(left)).toEqual({ state: 'voided', code: 'gateway-restarted' });
  expect([await recordsOf(runId), await recordsOf(left)]).toEqual([1, 1]);
});

it('has one receipt, though two processes make it at once', async () => {
  const runId = await startDead();
  isPresent = false;
  const [first, second] = [process(), process()];
  const run = await first.runs.cancel(runId, ANALYST);
  const unsigned = async (): Promise<RunRow> => {
    const sql = 'UPDATE runs SET receipt_json = NULL WHERE run_id = ?';
    await world.state.store.execute([{ sql, params: [runId] }]);
    return { ...run, receiptJson: undefined };
  };
  const bare = await unsigned();
  const [one, other] = await Promise.all([
    first.receipts.receiptOf(bare),
    second.receipts.receiptOf(bare),
  ]);
  expect(other).toEqual(one);
  const stored = (await readRun(world.state.store, runId))?.receiptJson ?? '';
  expect(JSON.parse(stored)).toEqual(one);
  // The control: one after the other, each signs its own.
  const alone = await first.receipts.receiptOf(await unsigned());
  expect(await second.receipts.receiptOf(await unsigned())).not.toEqual(alone);
});

it('says in its row what came last, on a store whose writes overtake each other', async () => {
  const { store } = world.state;
  const slow = {
    query: store.query.bind(store),
    close: store.close.bind(store),
    execute: async (statements: readonly Statement[]) => {
      if (statements.length === 1 && statements[0]?.params.includes('computing') === true) {
        await systemClock.sleep(150);
      }
      return store.execute(statements);
    },
  };
  const { runs } = process({ store: slow });
  const { runId } = await runs.start(world.command());
  await runs.drain(60_000);
  await systemClock.sleep(300);
  expect((await readRun(store, runId))?.state).toBe('awaiting-release');
});
