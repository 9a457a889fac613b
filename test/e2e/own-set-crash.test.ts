/** A holder's domain or the gateway that dies while an analyst's own set is matched. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContractBody } from '../../src/contracts/api.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import {
  agreeOwnSet,
  CLINIC,
  clinicHolders,
  sharedOf,
  type StartedMatch,
  startMatch,
} from './support/clinic.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PATIENTS = Array.from({ length: 300 }, (_, i) => `patient ${i}`);
const OWN = PATIENTS.slice(100, 250);

let weir: TestWeir;
let contract: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({ holders: clinicHolders(PATIENTS), controlled: true });
  contract = await agreeOwnSet(weir, 256);
}, 120_000);
afterAll(() => weir?.close());

const match = (): StartedMatch =>
  startMatch(weir.analyst, contract, OWN, ({ runId }) => {
    runIds.add(runId);
  });

async function checkWorks(): Promise<void> {
  expect(Math.abs(sharedOf(await match().run) - OWN.length)).toBeLessThan(80);
}

async function checkVoided(runId: RunId): Promise<void> {
  expect((await endOf(weir, runId)).state).toBe('voided');
  const left = [join(CLINIC, 'state', 'spill'), join('analyst', 'state')]
    .map((directory) => join(weir.directory, directory))
    .filter((directory) => existsSync(directory))
    .flatMap((directory) => readdirSync(directory, { recursive: true }).map(String));
  expect(left.filter((name) => /protocol-|\.spill|match-/.test(name))).toEqual([]);
  expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
}

describe('a match with an analyst’s own set', () => {
  it.each(['own-set.points', 'own-set.result'])(
    'is voided where the holder dies at %s, and the next one is as ever',
    async (step) => {
      await weir.program(CLINIC).order({ kind: 'crash-at', step });
      const { run, runId } = match();
      expect(await weir.program(CLINIC).ended).toMatchObject({ signal: 'SIGKILL' });
      await expect(run).rejects.toMatchObject({ code: 'domain-left' });
      await weir.start(CLINIC);
      await weir.linked();
      await checkVoided(await runId);
      await checkWorks();
    },
  );

  it('is voided where the gateway dies in the middle, and the next one is as ever', async () => {
    await weir.gateway.order({ kind: 'crash-at', step: 'started' });
    const { run, runId } = match();
    await weir.gateway.ended;
    await weir.start('gateway');
    await expect(run).rejects.toThrow();
    await weir.linked();
    await checkVoided(await runId);
    await checkWorks();
  });
});
