/**
 * Results that officers must release, with two processes of the gateway: the decision goes through
 * one, the result through the other, and the process that started the run dies while it waits.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchResult } from '../../src/client/analyst.ts';
import { readConfig, writeConfig } from '../../src/cli/directories.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import type { SignedRequest } from '../../src/contracts/request.ts';
import { DomainConfigSchema } from '../../src/domain/config.ts';
import type { RunId } from '../../src/system/ids.ts';
import { findServer } from '../support/test-stores.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { weir as command } from './support/command.ts';
import { type Pair, SECOND, startPair } from './support/pair.ts';
import { visitsHolders } from './support/visits.ts';
import { eventually } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'];
const PLAN: AggregatePlan = {
  kind: 'aggregate',
  table: 'visits',
  groups: [{ column: 'kind' }],
  measures: [
    { as: 'visits', fn: 'count' },
    { as: 'cost', fn: 'sum', column: 'cost' },
  ],
  select: [],
};
const found = await findServer();

describe.skipIf(found === undefined)(
  'a result that waits, with two processes of the gateway',
  () => {
    let pair: Pair;
    let contract: ContractBody;
    const runIds = new Set<RunId>();
    beforeAll(async () => {
      pair = await startPair(found?.url ?? '', { holders: visitsHolders(PARTIES, 60) });
      contract = await pair.weir.agree(PLAN, { release: { by: 'officer', withinS: 3600 } });
    }, 120_000);
    afterAll(async () => {
      await pair?.close();
      await found?.server?.stop();
    });

    /** Started at the first process; its result waits. */
    async function startWaiting(): Promise<{
      readonly runId: RunId;
      readonly request: SignedRequest;
    }> {
      const { request, idempotencyKey } = pair.weir.prepare(contract);
      const { runId } = await pair.weir.analyst.client.startRun(request, idempotencyKey);
      runIds.add(runId);
      await eventually(
        'the result waits',
        async () => (await pair.second.client.run(runId)).state === 'awaiting-release',
      );
      return { runId, request };
    }

    async function decide(
      party: string,
      runId: RunId,
      decision: 'approved' | 'refused' = 'approved',
    ): Promise<void> {
      const officer = pair.weir.officer(party);
      const { hash } = await officer.reviewRelease(runId);
      await officer.decideRelease(runId, { decision, hash });
    }

    const instanceOf = async (runId: RunId): Promise<unknown> =>
      (await pair.sql('SELECT instance FROM runs WHERE run_id = $1', [runId]))[0]?.['instance'];
    const heldFiles = (party: string): readonly string[] =>
      readdirSync(join(pair.weir.directory, party, 'state', 'held'));

    async function checkBooks(ids: ReadonlySet<RunId> = runIds): Promise<void> {
      expect(faultsIn(await readBooks(pair.weir, contract.contract.id, ids))).toEqual([]);
      const proof = command(['metering', 'reconcile', '--dir', join(pair.weir.directory, SECOND)]);
      expect(await proof.ended, proof.stderr()).toBe(0);
      expect(proof.stdout()).toMatch(/receipts agree/);
    }

    it('is released by decisions that both processes are told of, and fetched at either', async () => {
      const { runId, request } = await startWaiting();
      // Each is told to both processes: whichever is last may find the run over by this very decision.
      for (const party of PARTIES) await decide(party, runId);
      expect((await endOf(pair.weir, runId)).state).toBe('posted');
      const own = { contract, keys: pair.weir.keys };
      const there = await fetchResult(pair.second.client, runId, request, own);
      const here = await fetchResult(pair.weir.analyst.client, runId, request, own);
      expect(there.result).toEqual(here.result);
      expect(there.receipt.receipt).toEqual(here.receipt.receipt);
      expect(here.verified.missing).toEqual([]);
      // Its own process, which is there, went on with it.
      expect(await instanceOf(runId)).toBe('gateway-1');
      for (const party of PARTIES) {
        await eventually('nothing is kept', async () => heldFiles(party).length === 0);
      }
      await checkBooks();
    });

    it('is cancelled at the other process, once, and followers of either hear of it', async () => {
      const { runId } = await startWaiting();
      expect(await pair.second.client.cancelRun(runId)).toMatchObject({
        state: 'voided',
        code: 'run-cancelled',
      });
      await expect(decide('clinic', runId)).rejects.toMatchObject({ code: 'run-unknown' });
      await checkBooks();
    });

    it('goes by the process that is left where the one that started it is killed', async () => {
      const { runId, request } = await startWaiting();
      await decide('clinic', runId);
      const states: string[] = [];
      const following = (async () => {
        for await (const { state } of pair.second.client.follow(runId)) states.push(state);
      })();
      await eventually('it is followed', async () => states.includes('awaiting-release'));
      await pair.weir.gateway.kill();
      // Nobody has decided for the hospital: nothing goes, whoever has the run.
      await expect(pair.second.client.result(runId)).rejects.toMatchObject({
        code: 'result-not-ready',
      });
      await decide('hospital', runId);
      await following;
      expect(states.at(-1)).toBe('posted');
      const own = { contract, keys: pair.weir.keys };
      const there = await fetchResult(pair.second.client, runId, request, own);
      expect(there.verified.missing).toEqual([]);
      expect(await instanceOf(runId)).toBe(SECOND);
      for (const party of PARTIES) {
        await eventually('nothing is kept', async () => heldFiles(party).length === 0);
      }
      await pair.weir.start('gateway');
      await pair.weir.linked();
      const here = await fetchResult(pair.weir.analyst.client, runId, request, own);
      expect(here.result).toEqual(there.result);
      await checkBooks();
    });

    it('is ended by the process that is left where an officer refuses', async () => {
      const { runId } = await startWaiting();
      await pair.weir.gateway.kill();
      await decide('hospital', runId, 'refused');
      await eventually('it is refused', async () => {
        return (await pair.second.client.run(runId)).state === 'refused';
      });
      await pair.weir.start('gateway');
      await pair.weir.linked();
      const { records } = await pair.operator.meteringRecords({ limit: 1000 });
      const own = records.filter((record) => record.runId === runId);
      expect(own.map(({ units }) => units['runs'])).toEqual(['1']);
      runIds.delete(runId);
    });

    it('is fetched by the process that is left where its own dies with the parts in hand', async () => {
      const { runId } = await startWaiting();
      await pair.weir.gateway.order({ kind: 'crash-at', step: 'settling' });
      await decide('clinic', runId);
      await decide('hospital', runId).catch(() => undefined);
      await pair.weir.gateway.ended;
      await eventually('it is posted', async () => {
        return (await pair.second.client.run(runId)).state === 'posted';
      });
      expect(await instanceOf(runId)).toBe(SECOND);
      await pair.weir.start('gateway');
      await pair.weir.linked();
    });

    it('goes where a decision reaches one process and the run is at work in the other', async () => {
      const { runId } = await startWaiting();
      // The hospital's officer speaks to the second process only, from here on.
      const directory = join(pair.weir.directory, 'hospital');
      const config = readConfig(directory, DomainConfigSchema);
      const { publicKey } = config.gateway;
      const alone = { url: pair.secondUrl, publicKey, further: [] };
      writeConfig(directory, { ...config, gateway: alone });
      await pair.weir.program('hospital').stop();
      await pair.weir.start('hospital');
      await pair.weir.linked(PARTIES, pair.operator);
      await decide('clinic', runId);
      await decide('hospital', runId);
      // The control: its own process has no link to the hospital, and is there, so the result waits.
      expect((await pair.second.client.run(runId)).state).toBe('awaiting-release');
      await pair.weir.program('hospital').stop();
      writeConfig(directory, config);
      await pair.weir.start('hospital');
      expect((await endOf(pair.weir, runId)).state).toBe('posted');
      expect(await instanceOf(runId)).toBe('gateway-1');
      const { records } = await pair.operator.meteringRecords({ limit: 1000 });
      expect(records.filter((record) => record.runId === runId)).toHaveLength(1);
    });
  },
);
