/** Runs whose results wait, at the gateway: whose word counts, when, and what passes by itself. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { signReleaseDecision } from '../../src/contracts/officer-release.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { DELIVERY_GRACE_MS } from '../../src/contracts/release-terms.ts';
import { RUN_METHODS } from '../../src/contracts/run-messages.ts';
import { AbortError, WeirError } from '../../src/errors.ts';
import { recoverRuns } from '../../src/runs/recovery.ts';
import { readRun, type RunRow } from '../../src/runs/run-rows.ts';
import { systemClock } from '../../src/system/clock.ts';
import { GATEWAY, type PartyId, type RunId } from '../../src/system/ids.ts';
import { ANALYST, HOLDERS, NOW_MS } from '../fixtures/contract.ts';
import { openRunWorld, type RunWorld } from '../support/run-world.ts';

const WITHIN_S = 3600;
const [A, B, C] = HOLDERS as [PartyId, PartyId, PartyId];
let world: RunWorld;
beforeEach(async () => {
  world = await openRunWorld({ release: { by: 'officer', withinS: WITHIN_S } });
});
afterEach(() => world.close());

async function rowOf(runId: RunId): Promise<RunRow> {
  const run = await readRun(world.state.store, runId);
  if (run === undefined) throw new Error('no such run');
  return run;
}

async function until(runId: RunId, state: RunRow['state']): Promise<RunRow> {
  for (;;) {
    const run = await rowOf(runId);
    if (run.state === state && !world.runs.isLive(runId)) return run;
    await systemClock.sleep(5);
  }
}

async function waiting(): Promise<RunRow> {
  const { runId } = await world.runs.start(world.command());
  return until(runId, 'awaiting-release');
}

/** `answered`, or the code of the refusal. */
async function said(
  run: RunRow,
  party: PartyId,
  decision: 'approved' | 'refused' = 'approved',
  changes: object = {},
): Promise<string> {
  const release = {
    format: 'weir-release/1' as const,
    runId: run.runId,
    contractHash: contractHash(world.contract),
    descriptorHash: run.descriptorHash!,
    party,
    decision,
    at: new Date(NOW_MS).toISOString(),
    ...changes,
  };
  try {
    await world.runs.waiting.decide(signReleaseDecision(release, world.cast.keyOf(party)));
    return 'answered';
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
}

it('is posted once, by the last approval, whoever says what again', async () => {
  const run = await waiting();
  expect([await said(run, A), await said(run, A), await said(run, B)]).toEqual(
    Array.from({ length: 3 }, () => 'answered'),
  );
  expect((await rowOf(run.runId)).state).toBe('awaiting-release');
  await said(run, C);
  await until(run.runId, 'posted');
  // Domains tell it to every process: what ended the run is no error where it comes after the end.
  expect(await said(run, C)).toBe('answered');
  expect(await said(run, C, 'refused')).toBe('round-mismatch');
  expect((await world.runs.result(run.runId, ANALYST)).sealed).not.toBe('');
});

it('takes the word of the run’s holders alone, on this run alone', async () => {
  const run = await waiting();
  expect(await said(run, ANALYST, 'refused')).toBe('party-not-in-contract');
  const other = 'b'.repeat(64);
  expect(await said(run, A, 'refused', { descriptorHash: other })).toBe('party-not-in-contract');
  expect(await said(run, A, 'refused', { runId: '0190c9a0-0000-7000-8000-00000000abcd' })).toBe(
    'run-unknown',
  );
  expect((await rowOf(run.runId)).state).toBe('awaiting-release');
  expect(await said(run, A, 'refused')).toBe('answered');
  expect(await until(run.runId, 'refused')).toMatchObject({ code: 'refused-by-officer' });
});

it('is left alone by the recovery of a start, and voided when its time is over', async () => {
  const run = await waiting();
  await said(run, A);
  expect(await recoverRuns(world.deps, world.active, world.receipts)).toMatchObject({ voided: 0 });
  world.aheadMs = WITHIN_S * 1000 - 1;
  await world.runs.waiting.tendAll();
  expect((await rowOf(run.runId)).state).toBe('awaiting-release');
  expect(await world.state.ledger.overdue(NOW_MS + world.aheadMs, 10)).toEqual([]);
  world.aheadMs += 1;
  await world.runs.waiting.tendAll();
  expect(await until(run.runId, 'voided')).toMatchObject({ code: 'run-timed-out' });
});

it('waits, though notes of earlier steps take longer to be written', async () => {
  const { store } = world.state;
  const execute = store.execute.bind(store);
  // As where each write goes over a connection of its own, to PostgreSQL.
  store.execute = async (statements) => {
    if (statements[0]?.params[0] === 'computing') await systemClock.sleep(50);
    return execute(statements);
  };
  const { runId } = await world.runs.start(world.command());
  await world.runs.drain(60_000);
  const run = await rowOf(runId);
  expect(run.state).toBe('awaiting-release');
  expect(run.spends).toHaveLength(HOLDERS.length);
});

it('is not released under a contract that was suspended at another process', async () => {
  const run = await waiting();
  await said(run, A);
  await said(run, B);
  await world.book.suspend(world.contract.id, GATEWAY, 'odd questions', NOW_MS);
  expect(await said(run, C)).toBe('answered');
  expect(await until(run.runId, 'voided')).toMatchObject({ code: 'contract-not-active' });
});

it('waits on where a domain cannot be reached, and no longer than the grace', async () => {
  const run = await waiting();
  let isUp = false;
  world.bend = (party, method, honest) => {
    if (method !== RUN_METHODS.deliver || isUp || party !== B) return honest();
    throw new AbortError('domain-unreachable', 'not now');
  };
  for (const party of HOLDERS) await said(run, party);
  await until(run.runId, 'awaiting-release');
  // All have approved in time: its own time may be over meanwhile.
  world.aheadMs = WITHIN_S * 1000 + DELIVERY_GRACE_MS - 1;
  await world.runs.waiting.tendAll();
  await until(run.runId, 'awaiting-release');
  isUp = true;
  await world.runs.waiting.tendAll();
  await until(run.runId, 'posted');
});
