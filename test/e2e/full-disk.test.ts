/**
 * A disk that fills up under running programs, played by the limit on file sizes: not one byte
 * more can be written. Nothing runs uncounted, nothing is charged, no process dies, and when there is
 * room again everything goes on.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeirClient } from '../../src/client/weir-client.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'] as const;
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

let weir: TestWeir;
let contract: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({ holders: visitsHolders(PARTIES, 20) });
  contract = await weir.agree(PLAN);
  await goodRun();
});
afterAll(() => weir?.close());

async function goodRun(): Promise<void> {
  const run = await weir.analyst.run(contract, {}, () => undefined);
  runIds.add(run.runId);
  expect(run.verified.missing).toEqual([]);
}

/** The soft limit only, so that it can be lifted again. */
function limit(name: string, bytes: number | 'unlimited'): void {
  const { pid } = weir.program(name);
  const done = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
  expect(done.status, String(done.stderr)).toBe(0);
}

function isAlive(name: string): boolean {
  return process.kill(weir.program(name).pid, 0);
}

describe.skipIf(!hasPrlimit)('a full disk', () => {
  it('of the gateway refuses runs and keeps the books', async () => {
    const token = readFileSync(join(weir.directory, 'analyst', 'token'), 'utf8').trim();
    const once = { attemptsMax: 1, baseMs: 1, waitMaxMs: 1 };
    const client = new WeirClient({ url: weir.url, token, retry: once });
    limit('gateway', 1);
    const { request, idempotencyKey } = weir.prepare(contract);
    const refused = client.startRun(request, idempotencyKey);
    await expect(refused).rejects.toMatchObject({ status: 503 });
    client.close();
    // A link that ends is logged, and there is no room for the log either.
    await weir.program('hospital').stop();
    await weir.start('hospital');
    await weir.linked();
    expect(isAlive('gateway')).toBe(true);
    limit('gateway', 'unlimited');
    await goodRun();
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
  });

  it('of a domain voids runs, counts none twice, and gives none back', async () => {
    const spent = async (): Promise<number> => {
      const { counters } = await weir.officer('clinic').status();
      expect(counters.rolledBack).toBe(false);
      return counters.contracts[0]?.runs ?? 0;
    };
    const before = await spent();
    limit('clinic', 1);
    const prepared = weir.prepare(contract);
    const { client } = weir.analyst;
    const { runId } = await client.startRun(prepared.request, prepared.idempotencyKey);
    runIds.add(runId);
    expect((await endOf(weir, runId)).state).toBe('voided');
    expect(isAlive('clinic')).toBe(true);
    limit('clinic', 'unlimited');
    const after = await spent();
    expect(after - before).toBeLessThanOrEqual(1);
    await goodRun();
    expect(await spent()).toBe(after + 1);
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
  });
});
