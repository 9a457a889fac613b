/**
 * An analyst's own set against a domain, over real processes: the count, what it costs, and every
 * way in which an analyst can leave, stall or misbehave.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PsiEngine } from '../../protocols/psi/blind.ts';
import type { FinishedOwnSet } from '../../src/client/own-set.ts';
import type { ContractBody, RunEventBody } from '../../src/contracts/api.ts';
import { type Contract, ContractSchema } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { RunId } from '../../src/system/ids.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import { findCanaries } from './support/canary.ts';
import {
  agreeOwnSet,
  CLINIC,
  clinicHolders,
  ownSetPlan,
  sharedOf,
  startMatch,
  TITLE,
} from './support/clinic.ts';
import { printed, weir as command } from './support/command.ts';
import { startByHand } from './support/guest.ts';
import { recordingProxy, type Recording } from './support/recording-proxy.ts';
import { startWeir, type TestWeir } from './support/weir.ts';

const SILENCE_S = 3;
const MARKS = ['patient-7c1f9e', 'outsider-a05b3d'];
const PATIENTS = [...MARKS.slice(0, 1), ...Array.from({ length: 199 }, (_, i) => `patient ${i}`)];
/** The marked patient and 99 others, some in another spelling; 40 that nobody holds. */
const OWN = [
  ...PATIENTS.slice(0, 100).map((id) => ` ${id.toUpperCase()} `),
  ...MARKS.slice(1),
  ...Array.from({ length: 39 }, (_, i) => `outsider ${i}`),
];
const holders = clinicHolders(
  PATIENTS,
  {
    grade: 'important',
    columns: [
      { name: 'person', type: 'text', usage: ['join'] },
      { name: 'ward', type: 'text', usage: ['join'] },
    ],
  },
  ['person,ward', ...PATIENTS.flatMap((id) => [`${id},a`, `${id},b`])].join('\n'),
);

const SET_SIZE_MAX = 256;
/** A deviation of three: an answer is within 40 of the truth but once in 10^35 runs. */
const NOISE: NoiseTerms = {
  mechanism: 'discrete-gaussian',
  microRhoPerRun: 60_000,
  deltaExponent: 9,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 1,
};

let weir: TestWeir;
let recording: Recording;
let contract: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({
    holders,
    config: {
      gateway: { runs: { concurrentMax: 8, timeoutS: 60, analystSilenceS: SILENCE_S } },
      domain: { noiseBudgetMicroRho: 1_000_000_000 },
    },
    through: async (port) => {
      recording = await recordingProxy(port);
      return recording.port;
    },
  });
  contract = await agree(NOISE);
}, 120_000);
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

function agree(noise: NoiseTerms, changes: Partial<Contract> = {}): Promise<ContractBody> {
  const limits = { runsTotal: 40, runsPerDay: 40, runsPerMonth: 40 };
  return agreeOwnSet(weir, SET_SIZE_MAX, { noise, limits }, changes);
}

async function match(
  ids: readonly string[],
  of = contract,
  onEvent?: (event: RunEventBody) => void,
): Promise<FinishedOwnSet> {
  const run = await startMatch(weir.analyst, of, ids, onEvent).run;
  if (of === contract) runIds.add(run.runId);
  return run;
}

/** Nothing of a protocol is left, in the domain's directory or the analyst's. */
function leftovers(): string[] {
  const spill = join(weir.directory, CLINIC, 'state', 'spill');
  const own = join(weir.directory, 'analyst', 'state');
  return [spill, own]
    .filter((directory) => existsSync(directory))
    .flatMap((directory) => readdirSync(directory, { recursive: true }).map(String))
    .filter((name) => /protocol-|\.spill|match-/.test(name));
}

async function checkVoided(runId: RunId, codes: readonly string[]): Promise<void> {
  runIds.add(runId);
  const run = await endOf(weir, runId);
  expect(run.state).toBe('voided');
  expect(codes).toContain(run.code);
  await expect(weir.analyst.client.result(runId)).rejects.toMatchObject({ code: run.code });
  expect(leftovers()).toEqual([]);
}

describe('a set of the analyst’s own', () => {
  it('is counted by the holder, with noise, and its receipt is countersigned', async () => {
    const run = await match(OWN);
    expect(Math.abs(sharedOf(run) - 100)).toBeLessThan(40);
    expect(run.verified.missing).toEqual([]);
    expect(run.tally).toEqual({ rows: 140, keys: 140, nulls: 0, malformed: 0 });
    const { units, outcome } = run.receipt.receipt;
    expect(outcome).toBe('posted');
    expect(units).toMatchObject({ 'micro-rho': '60000', 'padded-items': String(2 * 512 + 256) });
    // The same set again is charged again: nobody can verify that it is the same.
    const again = await match(OWN.slice(0, 10));
    expect(again.receipt.receipt.units).toMatchObject({
      'micro-rho': '60000',
      'padded-items': String(2 * 512 + 16),
    });
  });

  it('is withheld below the smallest cell', async () => {
    const strict = await agree(NOISE, {
      disclosure: { ...contract.contract.disclosure, smallestCell: 60 },
    });
    const run = await match(PATIENTS.slice(0, 10), strict);
    expect(run.result.release).toMatchObject({ rows: [[null]], suppressedCells: 1 });
  });

  it('waits for the holder’s officer where the contract says so', async () => {
    const held = await agree(NOISE, { release: { by: 'officer', withinS: 60 } });
    const officer = weir.officer(CLINIC);
    const approve = async (runId: RunId): Promise<void> => {
      const { hash, lines } = await officer.reviewRelease(runId);
      expect(JSON.stringify(lines)).toContain('keys are shared');
      await officer.decideRelease(runId, { decision: 'approved', hash });
    };
    const approved = Promise.withResolvers<void>();
    const run = await match(OWN, held, ({ runId, state }) => {
      if (state === 'awaiting-release') approve(runId).then(approved.resolve, approved.reject);
    });
    await approved.promise;
    expect(Math.abs(sharedOf(run) - 100)).toBeLessThan(40);
  });

  it('is explained before anything is spent: price, error, who learns what', async () => {
    const most = await weir.analyst.explain(contract.contract.id, {});
    const few = await weir.analyst.explain(contract.contract.id, { items: ['16'] });
    expect(most).toMatchObject({ protocol: 'psi-own-set', exact: false });
    expect(most.noise?.deviations).toEqual([{ of: 'shared keys', deviation: expect.any(Number) }]);
    expect(BigInt(few.priceMicros)).toBeLessThan(BigInt(most.priceMicros));
    expect(most.learns.map(({ party }) => party)).toEqual(['gateway', CLINIC, 'analyst']);
    expect(most.units['micro-rho']).toBe('60000');
  });

  it('is refused before anything is asked where it is too large, by the client and without it', async () => {
    const before = recording.messages.length;
    const many = Array.from({ length: 257 }, (_, i) => `id ${i}`);
    await expect(match(many)).rejects.toMatchObject({ code: 'set-too-large' });
    // Links beat by themselves; of calls there is none, and earlier ones do show.
    const isCall = ({ where }: { where: string }): boolean => !where.startsWith('frame');
    expect(recording.messages.slice(before).some(isCall)).toBe(false);
    expect(recording.messages.some(isCall)).toBe(true);
    const args = { items: ['512'] };
    await expect(weir.analyst.explain(contract.contract.id, args)).rejects.toMatchObject({
      code: 'plan-outside-contract',
    });
    const { request, idempotencyKey } = weir.prepare(contract, { items: ['16'] });
    await expect(weir.analyst.client.startRun(request, idempotencyKey)).rejects.toMatchObject({
      code: 'parameter-invalid',
    });
  });

  it('shows no id on the way, in no encoding', () => {
    const passed = recording.messages.map(({ where, bytes }) => findCanaries(MARKS, bytes, where));
    expect(passed.flat()).toEqual([]);
    expect(recording.messages.length).toBeGreaterThan(20);
    // The control: the search sees an id that does travel.
    expect(findCanaries(MARKS, Buffer.from(`{"id":"${MARKS[0]}"}`), 'control')).not.toEqual([]);
  });

  it('is drafted and matched by the command, from a file', async () => {
    const draft = join(weir.directory, 'own-set.json');
    const file = join(weir.directory, 'ids.csv');
    writeFileSync(
      draft,
      JSON.stringify({
        title: TITLE,
        datasets: { [CLINIC]: 'patients' },
        plan: ownSetPlan(SET_SIZE_MAX),
      }),
    );
    const common = ['--dir', join(weir.directory, 'analyst'), '--url', weir.url];
    const drafting = command(['contract', 'draft', ...common, draft]);
    expect(await drafting.ended).toBe(0);
    const drafted = ContractSchema.parse(JSON.parse(drafting.stdout()));
    expect(drafted.disclosure).toMatchObject({ smallestCell: 10, noise: { honestDomains: 1 } });

    const lines = ['id,name', ...OWN.map((id) => `"${id}","a, ""b"""`), ',nobody'];
    writeFileSync(file, `\uFEFF${lines.join('\r\n')}\r\n`);
    const { id } = contract.contract;
    const matching = command(['match', ...common, id, '--file', file, '--column', 'id', '--json']);
    expect(await matching.ended, matching.stderr()).toBe(0);
    const { release, receipt } = JSON.parse(matching.stdout()) as {
      release: { rows: number[][] };
      receipt: { receipt: { runId: RunId } };
    };
    runIds.add(receipt.receipt.runId);
    expect(Math.abs(Number(release.rows[0]?.[0]) - 100)).toBeLessThan(40);
    expect(matching.stderr()).toContain('1 of 141 ids');

    const other = command(['match', ...common, id, '--file', file, '--column', 'person']);
    expect(await other.ended).toBe(65);
    expect(other.stderr()).toContain('no column person');
    const plain = command(['run', ...common, id]);
    expect(await plain.ended).toBe(65);
    expect(plain.stderr()).toContain('weir match');
    // What the gateway refuses is told like what is refused here.
    const nobodys = '0190c9a0-0000-7000-8000-000000000001';
    const unknown = command(['match', ...common, nobodys, '--file', file, '--column', 'id']);
    expect(await unknown.ended).toBe(65);
    expect(unknown.stderr()).toMatch(/^weir: [^\n]+\n$/);
    const none = command(['match', ...common, id, '--file', `${file}.gone`, '--column', 'id']);
    expect(await none.ended).toBe(65);
    const dates = ['--column', 'id', '--date-format', 'iso'];
    const dated = command(['match', ...common, id, '--file', file, ...dates]);
    expect(await dated.ended).toBe(65);
    expect(dated.stderr()).toContain('no dates');
    // Read twice, so that a pipe would be empty in the midst of the run.
    const pipe = command(['match', ...common, id, '--file', '/dev/stdin', '--column', 'id']);
    expect(await pipe.ended).toBe(65);
    expect(pipe.stderr()).toContain('no plain file');
  });

  it('leaves books that agree', async () => {
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
    expect(leftovers()).toEqual([]);
  });
});

describe('an analyst that', () => {
  it('never comes has spent nothing: the run is voided before the holder counts it', async () => {
    const spends = async (): Promise<number> =>
      (await weir.officer(CLINIC).status()).counters.spends;
    const before = await spends();
    const { runId, channel } = await startByHand(weir, contract, OWN.slice(0, 5));
    channel.close(new Error('gone'));
    await checkVoided(runId, ['analyst-left']);
    expect(await spends()).toBe(before);
  });

  it('disappears in the middle ends the run, typed and voided', async () => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    const role = await hand.invited();
    await hand.ready(role);
    // Its first sealed message never comes.
    hand.channel.close(new Error('gone'));
    await checkVoided(hand.runId, ['analyst-left']);
  });

  it('cancels in the middle ends the run at once', async () => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    await hand.ready(await hand.invited());
    const cancelled = await weir.analyst.client.cancelRun(hand.runId);
    expect(cancelled.state).toBe('voided');
    await checkVoided(hand.runId, ['run-cancelled']);
    hand.channel.close(new Error('over'));
  });

  it('answers another descriptor than it was shown spends nothing', async () => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    const role = await hand.invited();
    const descriptorHash = new Uint8Array(32);
    await hand.ready({ ...role, invitation: { ...role.invitation, descriptorHash } });
    await checkVoided(hand.runId, ['transcript-mismatch']);
    hand.channel.close(new Error('over'));
  });

  it('uses another key than the one it signed is not read', async () => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    const role = await hand.invited();
    await hand.ready(role);
    const ephemeralSecret = new Uint8Array(32).fill(7);
    await hand.play({ ...role, ephemeralSecret }).catch(() => undefined);
    await checkVoided(hand.runId, ['decryption-failed']);
  });

  it.each<[string, (engine: PsiEngine) => PsiEngine]>([
    ['sends a point of low order', (engine) => bent(engine, () => new Uint8Array(32))],
    ['sends a point of the twist', (engine) => bent(engine, () => Uint8Array.of(2, ...ZEROS))],
    ['sends a point that is not canonical', (engine) => bent(engine, () => topBitSet())],
    ['sends a point twice', (engine) => bent(engine, (points) => points.slice(32, 64))],
  ])('%s ends the run without an answer', async (_, bend) => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    const role = await hand.invited();
    await hand.ready(role);
    const machine = { ...role.machine, engine: bend(role.machine.engine) };
    // What the holder finds wrong may reach this side after its last frame.
    await hand.play({ ...role, machine }).catch(() => undefined);
    await checkVoided(hand.runId, ['transcript-mismatch']);
    hand.channel.close(new Error('over'));
  });

  it.each(['replays', 'drops'])('%s a sealed frame ends the run', async (how) => {
    const hand = await startByHand(weir, contract, OWN.slice(0, 5));
    const role = await hand.invited();
    await hand.ready(role);
    const channel: typeof role.channel = {
      self: hand.channel.self,
      signal: hand.channel.signal,
      receive: (from, kind) => hand.channel.receive(from, kind),
      async send(to, kind, payload) {
        if (kind !== 'psi.points') return hand.channel.send(to, kind, payload);
        if (how === 'replays') await hand.channel.send(to, kind, payload);
        if (how !== 'drops') await hand.channel.send(to, kind, payload);
      },
    };
    await hand.play({ ...role, channel }).catch(() => undefined);
    await checkVoided(hand.runId, ['decryption-failed', 'round-mismatch']);
    hand.channel.close(new Error('over'));
  });

  it('keeps to it is answered afterwards as ever, and the books agree', async () => {
    expect(Math.abs(sharedOf(await match(OWN)) - 100)).toBeLessThan(40);
    expect(faultsIn(await readBooks(weir, contract.contract.id, runIds))).toEqual([]);
  });

  it('leaves the command by Ctrl-C reads what that means, in the exit code too', async () => {
    const file = join(weir.directory, 'left.csv');
    writeFileSync(file, `id\n${OWN.join('\n')}\n`);
    const { pid } = weir.program(CLINIC);
    process.kill(pid, 'SIGSTOP');
    try {
      const common = ['--dir', join(weir.directory, 'analyst'), '--url', weir.url];
      const { id } = contract.contract;
      const matching = command(['match', ...common, id, '--file', file, '--column', 'id']);
      await printed(matching, 'preparing');
      matching.process.kill('SIGINT');
      expect(await matching.ended).toBe(130);
      expect(matching.stderr()).toMatch(/\nweir: Cancelled; what the holder has spent[^\n]+\n$/);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
});

const ZEROS = new Uint8Array(31);
const topBitSet = (): Uint8Array => Uint8Array.of(9, ...ZEROS.slice(1), 0x80);

/** The first blinded point replaced; the raised base, a batch of one, stays. */
function bent(engine: PsiEngine, point: (points: Uint8Array) => Uint8Array): PsiEngine {
  return {
    ...engine,
    async blind(elements, secret) {
      const points = await engine.blind(elements, secret);
      if (points.length > 32) points.set(point(points), 0);
      return points;
    },
  };
}
