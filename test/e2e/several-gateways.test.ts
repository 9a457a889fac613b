/**
 * A gateway on PostgreSQL from request to receipt, over a restart; and a second process of it on the
 * same database, to which all domains link as well: one record, one quota, one audit log.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Analyst } from '../../src/cli/analyst.ts';
import { initGateway } from '../../src/cli/init.ts';
import { fetchResult } from '../../src/client/analyst.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import type { WeirClient } from '../../src/client/weir-client.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { identityKeyFile } from '../../src/gateway/gateway-state.ts';
import { systemClock } from '../../src/system/clock.ts';
import type { RunId } from '../../src/system/ids.ts';
import { dropSchema, findServer } from '../support/test-stores.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { weir as command } from './support/command.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [{ as: 'visits', fn: 'count' }],
  select: [],
};
const found = await findServer();
const schema = `weir_test_${randomBytes(6).toString('hex')}`;
const postgres = { url: found?.url ?? '', schema };

describe.skipIf(found === undefined)('a gateway on PostgreSQL', () => {
  let weir: TestWeir;
  let contract: ContractBody;
  const runIds = new Set<RunId>();
  beforeAll(async () => {
    weir = await startWeir({
      holders: visitsHolders(['clinic', 'hospital'], 40),
      controlled: true,
      postgres,
    });
    contract = await weir.agree(PLAN);
  });
  afterAll(async () => {
    await weir?.close();
    await dropSchema(postgres.url, schema);
    await found?.server?.stop();
  });

  async function run(analyst: Analyst): Promise<RunId> {
    const finished = await analyst.run(contract, {}, () => undefined);
    expect(finished.verified.missing).toEqual([]);
    runIds.add(finished.runId);
    return finished.runId;
  }

  async function said(...args: readonly string[]): Promise<string> {
    const ran = command([...args, '--dir', join(weir.directory, 'gateway')]);
    expect(await ran.ended, ran.stderr()).toBe(0);
    return ran.stdout();
  }

  it('runs from request to receipt, and knows it all after a restart', async () => {
    const prepared = weir.prepare(contract);
    const { client } = weir.analyst;
    const { runId } = await client.startRun(prepared.request, prepared.idempotencyKey);
    runIds.add(runId);
    expect((await endOf(weir, runId)).state).toBe('posted');
    const keys = { contract, keys: weir.keys };
    const before = await fetchResult(client, runId, prepared.request, keys);
    await weir.gateway.stop();
    await weir.start('gateway');
    await weir.linked();
    const after = await fetchResult(client, runId, prepared.request, keys);
    expect(after.result).toEqual(before.result);
    expect(after.verified.missing).toEqual([]);
    const again = await client.startRun(prepared.request, prepared.idempotencyKey);
    expect(again).toMatchObject({ runId, repeated: true });
    await run(weir.analyst);
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
  });

  it('bills: a statement, an export, and the proof that all agree', async () => {
    const month = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 7);
    const at = ['--url', weir.url, '--analyst', 'analyst', '--month', month];
    const bill = await said('metering', 'statement', ...at);
    expect(bill).toMatch(/^total 2\.\d\d CNY$/m);
    const out = join(weir.directory, 'focus.csv');
    expect(await said('metering', 'export', '--format', 'focus-csv', '--out', out)).toMatch(/rows/);
    expect(readFileSync(out, 'utf8')).toContain([...runIds][0]);
    const proof = await said('metering', 'reconcile');
    expect(proof).toMatch(/^2 records, \d+ audit entries and 2 receipts agree/);
  });

  it('refuses a second process under its name, and one with another key', async () => {
    const at = { host: '127.0.0.1', port: 0 };
    const stranger = join(weir.directory, 'stranger');
    const refused = initGateway({ ...at, directory: stranger, postgres });
    await expect(refused).rejects.toMatchObject({ code: 'config-invalid' });
    const identityKey = identityKeyFile(join(weir.directory, 'gateway'));
    const twin = join(weir.directory, 'twin');
    await initGateway({
      ...at,
      directory: twin,
      postgres: { ...postgres, identityKeyFile: identityKey },
    });
    const started = command(['gateway', '--dir', twin]);
    expect(await started.ended).not.toBe(0);
    expect(started.stderr()).toMatch(/gateway-1 is on this database already/);
  });

  describe('and a second one beside it', () => {
    let second: Analyst;
    let operator: WeirClient;
    beforeAll(async () => {
      const added = await weir.addGateway('gateway-2');
      operator = added.operator;
      second = new Analyst(join(weir.directory, 'analyst'), added.url);
    });
    afterAll(() => {
      second?.close();
      operator?.close();
    });

    it('shows each what the other did', async () => {
      const here = await run(second);
      const seen = await weir.analyst.client.run(here);
      expect(seen.state).toBe('posted');
      const there = await run(weir.analyst);
      const { records } = await operator.meteringRecords({ limit: 1000 });
      expect(records.map((record) => record.runId)).toEqual(expect.arrayContaining([here, there]));
      expect((await second.client.result(there)).sealed).toBe(
        (await weir.analyst.client.result(there)).sealed,
      );
      expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
    });

    it('tells of a run that the other is at work on', async () => {
      await weir.gateway.order({ kind: 'hold-at', step: 'agreed' });
      const held = weir.gateway.held();
      const { request, idempotencyKey } = weir.prepare(contract);
      const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
      runIds.add(runId);
      await held;
      const states: string[] = [];
      const following = (async () => {
        for await (const event of second.client.follow(runId)) states.push(event.state);
      })();
      // Sent there as well: it is the same run.
      expect(await second.client.startRun(request, idempotencyKey)).toMatchObject({ runId });
      await weir.gateway.order({ kind: 'release' });
      await following;
      expect(states.length).toBeGreaterThan(1);
      expect(states.at(-1)).toBe('posted');
    });

    it('hits a limit exactly, whoever is asked', async () => {
      const limited = await weir.agree(PLAN, { limits: { runsTotal: 5 } });
      const answers = await Promise.all(
        Array.from({ length: 12 }, async (_, at) => {
          const { request, idempotencyKey } = weir.prepare(limited);
          const { client } = at % 2 === 0 ? weir.analyst : second;
          try {
            return (await client.startRun(request, idempotencyKey)).runId;
          } catch (error) {
            if (error instanceof WeirProblem) return error.code;
            throw error;
          }
        }),
      );
      const started = answers.filter((answer) => answer !== 'quota-exceeded') as RunId[];
      expect(started).toHaveLength(5);
      for (const runId of started) expect((await endOf(weir, runId)).state).toBe('posted');
      for (const party of weir.parties) {
        const { counters } = await weir.officer(party).status();
        const own = counters.contracts.find(({ contractId }) => contractId === limited.contract.id);
        expect(own?.runs).toBe(5);
      }
      expect(await said('metering', 'reconcile')).toMatch(/receipts agree/);
    });

    it('hears of a revocation that an officer makes, and ends its runs', async () => {
      const revoked = await weir.agree(PLAN);
      const { id } = revoked.contract;
      const program = weir.program('gateway-2');
      await program.order({ kind: 'hold-at', step: 'agreed' });
      const held = program.held();
      const { request, idempotencyKey } = weir.prepare(revoked);
      const { runId } = await second.client.startRun(request, idempotencyKey);
      await held;
      const { contractHash: hash } = request.request;
      let isOver = false;
      const revoking = weir.officer('clinic').revoke(id, { hash, reason: 'enough' });
      void revoking.then(() => (isOver = true));
      await eventually('the contract is revoked', async () => {
        return (await second.client.contract(id)).state === 'revoked';
      });
      await systemClock.sleep(300);
      // The process that is at work on the run was told, and answers when the run has ended.
      expect(isOver).toBe(false);
      await program.order({ kind: 'release' });
      await revoking;
      const run = await endOf(weir, runId);
      expect([run.state, run.code]).toEqual(['voided', 'contract-revoked']);
    });

    it('has officers release what waits, at whichever process it waits', async () => {
      const held = await weir.agree(PLAN, { release: { by: 'officer', withinS: 3600 } });
      const decide = async (runId: RunId, decision: 'approved' | 'refused'): Promise<void> => {
        for (const party of weir.parties) {
          const officer = weir.officer(party);
          const { hash } = await officer.reviewRelease(runId);
          await officer.decideRelease(runId, { decision, hash });
          if (decision === 'refused') return;
        }
      };
      for (const at of Array.from({ length: 6 }).keys()) {
        const { client } = at % 2 === 0 ? weir.analyst : second;
        const { request, idempotencyKey } = weir.prepare(held);
        const { runId } = await client.startRun(request, idempotencyKey);
        await eventually('the result waits', async () => {
          return (await client.run(runId)).state === 'awaiting-release';
        });
        const isLast = at === 5;
        await decide(runId, isLast ? 'refused' : 'approved');
        expect((await endOf(weir, runId)).state).toBe(isLast ? 'refused' : 'posted');
      }
      for (const party of weir.parties) {
        await eventually('nothing is kept', async () => {
          return (await weir.officer(party).releases()).length === 0;
        });
      }
    });

    it('goes on alone when the other is killed', async () => {
      await weir.gateway.kill();
      await run(second);
      await weir.start('gateway');
      await weir.linked();
      await run(weir.analyst);
      expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
      expect(await said('metering', 'reconcile')).toMatch(/receipts agree/);
    });
  });
});
