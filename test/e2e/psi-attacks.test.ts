/**
 * Matches over real processes while somebody is in the way: an analyst that cancels, a gateway that
 * changes what it relays, data that changes by one person. And what is told of a run that goes well.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openedRun } from '../../src/cli/sealing.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import type { ContractBody, RunBody, RunEventBody } from '../../src/contracts/api.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { RunId } from '../../src/system/ids.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { createExchangeKeys } from '../../src/system/exchange-keys.ts';
import { systemRandom } from '../../src/system/random.ts';
import { endOf, faultsIn, readBooks } from './support/books.ts';
import {
  agreeOn,
  EAST,
  guestPlan,
  guestsOf,
  keysOf,
  leftovers,
  WEST,
} from './support/match-world.ts';
import { recordingProxy, type Recording, type Tamper } from './support/recording-proxy.ts';
import { eventually, startWeir, type TestWeir } from './support/weir.ts';

/** Two chunks of points each way. */
const EAST_KEYS = keysOf(0, 4500);
const WEST_KEYS = keysOf(4000, 9000);
const SHARED = 500;
const PERSONS = { privacyUnit: 'guest' };

let weir: TestWeir;
let recording: Recording;
/** What is done to frames on the line of the test at work. */
let onLine: Tamper | undefined;
let counted: ContractBody;
const runIds = new Set<RunId>();

beforeAll(async () => {
  weir = await startWeir({
    holders: [guestsOf(EAST, EAST_KEYS), guestsOf(WEST, WEST_KEYS)],
    controlled: true,
    through: async (port) => {
      recording = await recordingProxy(port, (way, bytes) => onLine?.(way, bytes) ?? [bytes]);
      return recording.port;
    },
  });
  counted = await agreeOn(weir, guestPlan(), { limits: { runsPerDay: 100 } });
}, 120_000);
afterAll(async () => {
  await weir?.close();
  await recording?.close();
});

async function started(): Promise<RunId> {
  const { request, idempotencyKey } = weir.prepare(counted);
  const { runId } = await weir.analyst.client.startRun(request, idempotencyKey);
  runIds.add(runId);
  return runId;
}

async function expectVoided(run: RunBody): Promise<void> {
  expect(run.state).toBe('voided');
  const failure = weir.analyst.client.result(run.runId);
  await expect(failure).rejects.toBeInstanceOf(WeirProblem);
  await expect(failure).rejects.toMatchObject({ code: run.code });
  expect(faultsIn(await readBooks(weir, counted.contract.id, runIds))).toEqual([]);
  await expect.poll(() => leftovers(weir)).toEqual([]);
}

async function expectHonest(): Promise<void> {
  await weir.linked();
  const run = await weir.analyst.run(counted, {}, () => undefined);
  runIds.add(run.runId);
  const opened = await openedRun(weir.analyst, counted.contract, run, () => {
    throw new Error('no sealing key is needed');
  });
  expect(opened.result.release.rows).toEqual([[SHARED]]);
}

describe('a match at work', () => {
  it('tells items done of all items, ascending, to whoever follows it', async () => {
    const runId = await started();
    const events: RunEventBody[] = [];
    for await (const event of weir.analyst.client.follow(runId)) events.push(event);
    expect(events.at(-1)?.state).toBe('posted');
    const told = events.filter(({ note }) => / \d+ of (at most )?\d+ items/.test(note));
    expect(told.length).toBeGreaterThanOrEqual(4);
    expect(told.at(-1)?.note).toBe('The holders compare blinded keys: 16384 of 16384 items.');
    const shares = told.map(({ progress }) => progress ?? -1);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
  });

  it.each([
    [EAST, 'psi.points'],
    [WEST, 'psi.result'],
  ])('is cancelled while %s is at %s: voided, nothing left on any disk', async (party, step) => {
    await weir.program(party).order({ kind: 'hold-at', step });
    const held = weir.program(party).held();
    const runId = await started();
    await held;
    expect(leftovers(weir)).not.toEqual([]);
    const run = await weir.analyst.client.cancelRun(runId);
    await weir.program(party).order({ kind: 'release' });
    expect(run.code).toBe('run-cancelled');
    await expectVoided(run);
  });
});

describe('a gateway that changes what it relays', () => {
  type Frame = Record<string, unknown> & { payload: Uint8Array };

  /** Puts something else in the place of each frame of points on its way to the second holder. */
  function onPoints(
    instead: (frame: Frame, earlier: readonly Frame[]) => readonly Frame[],
  ): Tamper {
    const earlier: Frame[] = [];
    return (way, bytes) => {
      if (way !== 'frame gateway to domain') return [bytes];
      const frame = unpack(bytes) as Frame;
      if (frame['kind'] !== 'psi.points' || frame['to'] !== WEST) return [bytes];
      const out = instead(frame, earlier);
      earlier.push(frame);
      return out.map((one) => Buffer.from(pack(one)));
    };
  }
  const flipped = (payload: Uint8Array): Uint8Array => {
    const out = Buffer.from(payload);
    out.writeUInt8(out.readUInt8(out.length >> 1) ^ 1, out.length >> 1);
    return out;
  };
  const changes: Record<string, Parameters<typeof onPoints>[0]> = {
    'drops a frame': (frame, { length }) => (length === 0 ? [] : [frame]),
    'replays a chunk': (frame, [first]) => [{ ...frame, payload: (first ?? frame).payload }],
    'tells frames in another order': (frame, earlier) =>
      earlier.length === 0 ? [] : [frame, ...earlier.slice(0, 1)],
    'flips a bit': (frame) => [{ ...frame, payload: flipped(frame.payload) }],
  };

  it.each(Object.entries(changes))('%s: voided, and nothing is released', async (_name, change) => {
    let changed = 0;
    onLine = onPoints((frame, earlier) => {
      changed += 1;
      return change(frame, earlier);
    });
    const run = await endOf(weir, await started());
    onLine = undefined;
    expect(changed).toBeGreaterThan(0);
    expect(run.code).toMatch(
      /^(decryption-failed|transcript-mismatch|domain-left|malformed-message)$/,
    );
    await weir.linked();
    await expectVoided(run);
  });

  it('swaps a holder’s key for its own: no holder signs, voided', async () => {
    const ephemeralKey = encodeBase64url(createExchangeKeys(systemRandom).publicKey);
    let changed = 0;
    onLine = (way, bytes) => {
      if (way !== 'frame gateway to domain') return [bytes];
      const frame = unpack(bytes) as Record<string, unknown>;
      if (frame['method'] !== 'run.agree') return [bytes];
      const body = structuredClone(frame['body']) as {
        descriptor: { parties: { id: string; ephemeralKey: string }[] };
      };
      body.descriptor.parties.find(({ id }) => id === EAST)!.ephemeralKey = ephemeralKey;
      changed += 1;
      return [Buffer.from(pack({ ...frame, body }))];
    };
    const run = await endOf(weir, await started());
    onLine = undefined;
    expect(changed).toBe(2);
    expect(run.code).toBe('descriptor-mismatch');
    await expectVoided(run);
    await expectHonest();
  });
});

describe('an exact match of persons', () => {
  it('under another contract, after one person left, is refused; many more may differ', async () => {
    await weir.close();
    await recording.close();
    weir = await startWeir({
      holders: [guestsOf(EAST, keysOf(0, 300), PERSONS), guestsOf(WEST, keysOf(100, 400), PERSONS)],
    });
    const runOnce = async (): Promise<unknown> => {
      const { datasets } = await weir.analyst.client.datasets();
      const pinned = (drafted: Contract): Contract => ({
        ...drafted,
        datasets: drafted.datasets.map((own) => ({
          ...own,
          version: datasets.find(({ holder }) => holder === own.holder)!.fingerprint,
        })),
      });
      const contract = await agreeOn(weir, guestPlan(), { limits: { runsTotal: 1 } }, pinned);
      return weir.analyst
        .run(contract, {}, () => undefined)
        .then(
          () => 'answered',
          (error: unknown) => (error instanceof WeirProblem ? error.code : error),
        );
    };
    const file = join(weir.directory, 'data', EAST, 'guests.csv');
    const whole = readFileSync(file, 'utf8').split('\n');
    const change = async (lines: readonly string[]): Promise<void> => {
      await weir.program(EAST).stop();
      writeFileSync(file, lines.join('\n'));
      await weir.start(EAST);
      await weir.linked();
      await eventually('the new version is published', async () => {
        const { datasets } = await weir.analyst.client.datasets();
        const own = (await weir.officer(EAST).status()).datasets[0]?.fingerprint;
        return datasets.some(({ holder, fingerprint }) => holder === EAST && fingerprint === own);
      });
    };
    expect(await runOnce()).toBe('answered');
    await change(whole.slice(0, -1));
    expect(await runOnce()).toBe('cell-too-small');
    await change(whole.slice(0, -100));
    expect(await runOnce()).toBe('answered');
  }, 120_000);
});
