/** A holder's domain or the gateway that dies while an analyst's own set is matched. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FinishedOwnSet } from '../../src/client/own-set.ts';
import type { ContractBody } from '../../src/contracts/api.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { PartyIdSchema, type RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { startWeir, type Holder, type TestWeir } from './support/weir.ts';

const CLINIC = PartyIdSchema.parse('clinic');
const PATIENTS = Array.from({ length: 300 }, (_, i) => `patient ${i}`);
const OWN = PATIENTS.slice(100, 250);
const holders = [
  {
    party: CLINIC,
    tables: [
      {
        registration: {
          format: 'weir-dataset/1',
          name: 'patients',
          title: { zh: '患者', en: 'Patients' },
          grade: 'general',
          personalInformation: 'none',
          legalBasis: 'Test data',
          privacyUnit: 'person',
          partitions: [],
          columns: [{ name: 'person', type: 'text', usage: ['join'] }],
        },
        format: 'csv',
        csv: ['person', ...PATIENTS].join('\n'),
      },
    ],
  },
] as unknown as readonly Holder[];

let weir: TestWeir;
let contract: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({ holders, controlled: true });
  const drafted = await weir.analyst.draftOwnSet(
    { kind: 'own-set', key: { as: 'person', type: 'text', column: 'person' }, setSizeMax: 256 },
    new Map([[CLINIC, 'patients']]),
    { title: { zh: '测试', en: 'Test' } },
  );
  await weir.analyst.propose(drafted);
  await weir.officer(CLINIC).sign(drafted.id, { hash: contractHash(drafted) });
  contract = await weir.analyst.untilActive(drafted.id, () => undefined);
}, 120_000);
afterAll(() => weir?.close());

/** A match whose run is known even where it fails. */
function match(): { readonly run: Promise<FinishedOwnSet>; readonly runId: Promise<RunId> } {
  const started = Promise.withResolvers<RunId>();
  const read = async function* (): AsyncGenerator<readonly string[]> {
    yield OWN;
  };
  const run = weir.analyst.match(
    contract,
    { count: OWN.length, read },
    ({ runId }) => {
      runIds.add(runId);
      started.resolve(runId);
    },
    () => undefined,
  );
  run.catch(() => undefined);
  return { run, runId: started.promise };
}

async function checkWorks(): Promise<void> {
  const { result } = await match().run;
  expect(Math.abs(Number(result.release.rows[0]?.[0]) - OWN.length)).toBeLessThan(80);
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
