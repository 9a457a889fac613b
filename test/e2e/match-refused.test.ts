/** What an analyst and an officer read where a match may not be drafted, signed or run, or is left. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { contractHash } from '../../src/contracts/signed-documents.ts';
import { printed, weir as command } from './support/command.ts';
import { agreeOn, EAST, guestPlan, guestsOf, keysOf, TABLES, WEST } from './support/match-world.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const TITLE = { zh: '测试', en: 'Test' };
const columns = [
  { name: 'guest', type: 'text', usage: ['join', 'reveal'] },
  { name: 'room', sourceName: 'guest', type: 'text', usage: [] },
];

let weir: TestWeir;
beforeAll(async () => {
  const holders = [guestsOf(EAST, keysOf(0, 9), { columns }), guestsOf(WEST, keysOf(3, 12))];
  weir = await startWeir({ holders });
}, 60_000);
afterAll(() => weir?.close());

const asAnalyst = (): string[] => ['--dir', join(weir.directory, 'analyst'), '--url', weir.url];

it('is not drafted by the command where a holder would object', async () => {
  const file = join(weir.directory, 'match.json');
  const refused = async (stated: object): Promise<string> => {
    writeFileSync(file, JSON.stringify({ title: TITLE, ...stated }));
    const drafting = command(['contract', 'draft', ...asAnalyst(), file]);
    expect(await drafting.ended).not.toBe(0);
    expect(drafting.stdout()).toBe('');
    return drafting.stderr();
  };
  const over = (east: string): MatchPlan => {
    const named = [
      { holder: EAST, column: east },
      { holder: WEST, column: 'guest' },
    ];
    return guestPlan({ key: [{ as: 'guest', type: 'text', columns: named }] });
  };
  const datasets = Object.fromEntries(TABLES);
  expect(await refused({ datasets, plan: over('room') })).toContain(
    'Column room of east’s dataset guests may not be used for join.',
  );
  expect(await refused({ datasets, plan: over('nothing') })).toContain(
    'east’s dataset guests has no column nothing.',
  );
  const alone = { [EAST]: 'guests' };
  expect(await refused({ datasets: alone, plan: over('guest') })).toContain('exactly two holders');
});

it('is not run before all have signed, nor signed when it is revoked', async () => {
  const drafted = await weir.analyst.draftMatch(guestPlan(), TABLES, { title: TITLE });
  const filed = await weir.analyst.propose(drafted);
  await expect(weir.analyst.run(filed, {}, () => undefined)).rejects.toMatchObject({
    code: 'contract-not-active',
    document: { remedy: expect.stringContaining('sign it first') as string },
  });
  const hash = contractHash(drafted);
  const officer = weir.officer(EAST);
  await officer.sign(drafted.id, { hash });
  // The same signature again is no other one.
  await officer.sign(drafted.id, { hash });
  await officer.revoke(drafted.id, { hash, reason: 'new policy' });
  await expect(officer.sign(drafted.id, { hash })).rejects.toMatchObject({
    code: 'contract-not-active',
    message: 'The contract is revoked: nothing is to be signed.',
  });
});

it('tells who leaves a run that it goes on, and how to come back', async () => {
  const release = { by: 'officer', withinS: 3600 } as const;
  const { contract } = await agreeOn(weir, guestPlan(), { release });
  const running = command(['run', ...asAnalyst(), contract.id]);
  await printed(running, 'awaiting-release');
  running.process.kill('SIGINT');
  expect(await running.ended).toBe(130);
  expect(running.stderr()).toMatch(/The run \S+ goes on without you .*weir result --dir/);
});
