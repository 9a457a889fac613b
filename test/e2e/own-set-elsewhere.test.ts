/**
 * An analyst's own set with two processes of the gateway behind a balancer: frames reach the process
 * that started the run by whichever is called.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Analyst } from '../../src/cli/analyst.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { RunId } from '../../src/system/ids.ts';
import { findServer } from '../support/test-stores.ts';
import { type Balancer, startBalancer } from './support/balancer.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import {
  agreeOwnSet,
  clinicHolders,
  sharedOf,
  type StartedMatch,
  startMatch,
} from './support/clinic.ts';
import { type Pair, startPair } from './support/pair.ts';

const PATIENTS = Array.from({ length: 300 }, (_, i) => `patient ${i}`);
const OWN = PATIENTS.slice(100, 250);
const found = await findServer();

describe.skipIf(found === undefined)('an own set before two processes of the gateway', () => {
  let pair: Pair;
  let contract: ContractBody;
  let balancer: Balancer;
  let analyst: Analyst;
  const runIds = new Set<RunId>();
  beforeAll(async () => {
    pair = await startPair(found?.url ?? '', { holders: clinicHolders(PATIENTS) });
    const { weir } = pair;
    contract = await agreeOwnSet(weir, 256);
    balancer = await startBalancer([weir.url, pair.secondUrl]);
    analyst = new Analyst(join(weir.directory, 'analyst'), balancer.url);
  }, 120_000);
  afterAll(async () => {
    analyst?.close();
    await balancer?.close();
    await pair?.close();
    await found?.server?.stop();
  });

  const match = (): StartedMatch =>
    startMatch(analyst, contract, OWN, ({ runId }) => {
      runIds.add(runId);
    });
  const framesAt = (target: string): number =>
    balancer.passed.filter((one) => one.target === target && one.call.endsWith('/frames')).length;
  const checkBooks = async (): Promise<void> => {
    expect(faultsIn(await readBooks(pair.weir, contract.contract.id, runIds))).toEqual([]);
  };

  it('is matched whichever process each call reaches', async () => {
    for (let time = 0; time < 2; time += 1) {
      const run = await match().run;
      expect(Math.abs(sharedOf(run) - OWN.length)).toBeLessThan(80);
      expect(run.verified.missing).toEqual([]);
    }
    expect(framesAt(pair.weir.url)).toBeGreaterThan(0);
    expect(framesAt(pair.secondUrl)).toBeGreaterThan(0);
    await checkBooks();
  });

  it('is matched where all its frames go to the process that did not start it', async () => {
    const before = framesAt(pair.weir.url);
    balancer.pin(/^POST \/v1\/runs$/, pair.weir.url);
    balancer.pin(/frames$/, pair.secondUrl);
    await match().run;
    expect(framesAt(pair.weir.url)).toBe(before);
    await checkBooks();
  });

  it('is refused, with what would help, where a process tells no address', async () => {
    const [row] = await pair.sql(
      `DELETE FROM gateway_process WHERE instance = 'gateway-1' RETURNING *`,
    );
    // The control of the tests above: without the relay no frame arrives.
    const { run, runId } = match();
    await expect(run).rejects.toMatchObject({
      code: 'round-mismatch',
      document: {
        remedy: expect.stringContaining('advertiseUrl in the configuration of gateway-1'),
      },
    });
    expect((await endOf(pair.weir, await runId)).state).toBe('voided');
    await pair.sql('INSERT INTO gateway_process VALUES ($1, $2, $3, $4)', [
      row?.['instance'],
      row?.['url'],
      row?.['machine'],
      row?.['certificate'],
    ]);
    await checkBooks();
  });

  it('ends, voided and free, where the process that started it dies', async () => {
    await pair.weir.gateway.order({ kind: 'crash-at', step: 'started' });
    balancer.pin(/events$/, pair.secondUrl);
    balancer.pin(/^DELETE/, pair.secondUrl);
    const { run, runId } = match();
    await pair.weir.gateway.ended;
    balancer.pin(/^GET \/v1\/runs\/[^/]+(?:\/result)?$/, pair.secondUrl);
    await expect(run).rejects.toMatchObject({ code: 'gateway-restarted' });
    const ended = await pair.second.client.run(await runId);
    expect([ended.state, ended.code]).toEqual(['voided', 'run-cancelled']);
    await pair.weir.start('gateway');
    await pair.weir.linked();
    await checkBooks();
    await match().run;
    await checkBooks();
  });
});
