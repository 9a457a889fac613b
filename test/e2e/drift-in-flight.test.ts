/** Data that changes after all have signed its version: nothing of the new version leaves under the old name. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PartyId } from '../../src/system/ids.ts';
import { systemClock } from '../../src/system/clock.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { askFor, ROWS } from './support/attack-case.ts';
import { Attacker, expectHonest } from './support/attacker.ts';
import { writeStays } from './support/holders.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-flight-'));
const [A] = HOLDERS as [PartyId, PartyId, PartyId];
let attacker: Attacker;

beforeAll(async () => {
  attacker = await Attacker.open(root);
});
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

it('ends a run whose dataset changed between its start and its channel', async () => {
  const ask = askFor(attacker.cast);
  const before = attacker.endCounts();
  const runKeys = await attacker.prepareAll(ask);
  const signatures = await attacker.agreeAll(attacker.descriptor(ask, runKeys), runKeys);
  await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
  // The gateway waits with the channel until the holder's data has grown, and has been seen to.
  const rows = ROWS.get(A) ?? [];
  const data = join(root, A, 'data');
  writeStays(data, [...rows, { region: 'south', amount: 77n }]);
  const fresh = await attacker.prepare(A, askFor(attacker.cast));
  expect(fresh.runKey.party.datasetFingerprint).not.toBe(
    runKeys.get(A)?.runKey.party.datasetFingerprint,
  );
  const channel = attacker.openChannel(ask);
  while (attacker.endCounts()[0] === before[0]) await systemClock.sleep(10);
  expect(attacker.holders[0]?.endCodes().at(-1)).toBe('dataset-drifted');
  expect(attacker.derivedFrames(ask.runId).filter(({ from }) => from === A)).toEqual([]);
  await expect(channel.receive(A, 'round1.counts')).rejects.toMatchObject({
    code: 'dataset-drifted',
  });
  // The control: the data as before is the version as before.
  writeStays(data, rows);
  await expectHonest(attacker);
});
