/** The engine works while a run is counted; nothing of what it finds leaves before the count is on disk. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ContractBody } from '../../src/contracts/api.ts';
import { systemClock } from '../../src/system/clock.ts';
import { endOf } from './support/books.ts';
import { type Recording, recordingProxy } from './support/recording-proxy.ts';
import { visitsHolders } from './support/visits.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const PARTIES = ['clinic', 'hospital'] as const;
/** So many runs of this data take a few hundred milliseconds. */
const LONG_MS = 700;

let weir: TestWeir;
let contract: ContractBody;
let recording: Recording;
beforeAll(async () => {
  weir = await startWeir({
    holders: visitsHolders(PARTIES, 40),
    controlled: true,
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
  contract = await weir.agree({
    kind: 'aggregate',
    table: 'visits',
    groups: [{ column: 'kind' }],
    measures: [{ as: 'visits', fn: 'count' }],
    select: [],
  });
});
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

const framesOut = (): number =>
  recording.messages.filter(({ where }) => where === 'frame domain to gateway').length;

it('sends no frame of a run that is not counted yet', async () => {
  const held = PARTIES.map((party) => weir.program(party).held());
  for (const party of PARTIES) {
    await weir.program(party).order({ kind: 'hold-at', step: 'after-spend' });
  }
  const { request, idempotencyKey } = weir.prepare(contract);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  await Promise.all(held);
  const before = framesOut();
  await systemClock.sleep(LONG_MS);
  expect(framesOut()).toBe(before);
  for (const party of PARTIES) await weir.program(party).order({ kind: 'release' });
  expect((await endOf(weir, runId)).state).toBe('posted');
  // The control: so much goes out where nothing holds it back.
  expect(framesOut()).toBeGreaterThan(before + 4);
});

it('ends a run that a crash cut off while it was counted, and counts it', async () => {
  const [clinic] = PARTIES;
  const runsOf = async (): Promise<number> => {
    const { counters } = await weir.officer(clinic).status();
    return counters.contracts.find((one) => one.contractId === contract.contract.id)?.runs ?? 0;
  };
  const before = await runsOf();
  const held = weir.program(clinic).held();
  await weir.program(clinic).order({ kind: 'hold-at', step: 'after-spend' });
  const { request, idempotencyKey } = weir.prepare(contract);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  await held;
  await weir.program(clinic).kill();
  expect((await endOf(weir, runId)).state).toBe('voided');
  await weir.start(clinic);
  await weir.linked();
  expect(await runsOf()).toBe(before + 1);
});
