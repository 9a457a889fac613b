/** Quotas for an analyst and for a dataset, beside the contract's own: reserved together or not at all. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { MeteringError } from '../../src/errors.ts';
import type { OperatorQuota } from '../../src/runs/operator-quotas.ts';
import { readRun } from '../../src/runs/run-rows.ts';
import { ANALYST } from '../fixtures/contract.ts';
import { openRunWorld, type RunWorld } from '../support/run-world.ts';

let world: RunWorld;
afterEach(async () => {
  await world.runs.drain(60_000);
  await world.close();
});

async function runOnce(): Promise<void> {
  const { runId } = await world.runs.start(world.command());
  for (;;) {
    const run = await readRun(world.state.store, runId);
    if (run?.state === 'posted') return;
    await sleep(2);
  }
}

async function refusal(): Promise<MeteringError> {
  return world.runs.start(world.command()).then(
    () => expect.unreachable('the quota holds'),
    (error: MeteringError) => error,
  );
}

async function open(quotas: readonly OperatorQuota[]): Promise<void> {
  world = await openRunWorld({}, quotas);
}

describe('the operator’s quotas', () => {
  it('hold for an analyst, by day', async () => {
    await open([{ of: 'analyst', id: ANALYST, dimension: 'runs', window: 'day', limit: 2 }]);
    await runOnce();
    await runOnce();
    const error = await refusal();
    expect(error.code).toBe('quota-exceeded');
    expect(error.facts).toMatchObject({ dimension: 'runs/day', left: '0' });
    expect(error.facts.rule).toBe(`quota of analyst ${ANALYST}`);
    expect(error.facts.resetsAt).toMatch(/T16:00:00\.000Z$/);
  });

  it('hold for a dataset, and leave nothing of the other quotas spent', async () => {
    const rehearsal = await openRunWorld();
    const [dataset] = rehearsal.contract.datasets;
    await rehearsal.close();
    const id = `${dataset?.holder}/${dataset?.dataset}`;
    await open([{ of: 'dataset', id, dimension: 'runs', window: 'lifetime', limit: 1 }]);
    await runOnce();
    const accounts = world.runs.accounts(world.contract, world.deps.clock.now());
    const before = await world.state.ledger.usage(accounts);
    expect((await refusal()).facts.rule).toBe(`quota of dataset ${id}`);
    expect(await world.state.ledger.usage(accounts)).toEqual(before);
  });

  it('do not touch other analysts and datasets', async () => {
    const other = { dimension: 'runs', window: 'lifetime', limit: 0 } as const;
    await open([
      { of: 'analyst', id: 'somebody' as typeof ANALYST, ...other },
      { of: 'dataset', id: 'nobody/nothing', ...other },
    ]);
    await runOnce();
  });
});
