/**
 * A gateway in the hands of an attacker, after all domains signed and started: it changes what it
 * adds and relays, frame by frame. Each try ends with a typed abort before any measure leaves.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import { RUN_MS_MAX } from '../../src/domain/run-session.ts';
import { WeirError } from '../../src/errors.ts';
import type { RunChannelHandle } from '../../src/link/run-channel.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { sections, type Layout } from '../../protocols/secure-sum/params.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { honestTotal, runEvilGateway, type Strategy } from '../support/evil-gateway.ts';
import { askFor, voided } from './support/attack-case.ts';
import { Attacker, expectHonest } from './support/attacker.ts';
import type { Tamper } from './support/recording-proxy.ts';

const root = mkdtempSync(join(tmpdir(), 'weir-atk-'));
const [A, B] = HOLDERS as [PartyId, PartyId, PartyId];
let attacker: Attacker;
/** What is done to frames on the line of the test at work. */
let onLine: Tamper | undefined;

/** The domains' clock: the machine's, but that a day passes when the test says so. */
let dayPasses = Promise.withResolvers<void>();
const clock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => {
    if (delayMs !== RUN_MS_MAX) return systemClock.sleep(delayMs, signal);
    const awake = new Promise<void>((resolve) => {
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
    return Promise.race([dayPasses.promise, awake]);
  },
};

beforeAll(async () => {
  attacker = await Attacker.open(root, (way, bytes) => onLine?.(way, bytes) ?? [bytes], clock);
});
afterEach(async () => {
  onLine = undefined;
  await expectHonest(attacker);
});
afterAll(async () => {
  await attacker.close();
  rmSync(root, { recursive: true, force: true });
});

interface Tried {
  readonly codes: readonly string[];
  /** Kinds of the frames derived from data that the domains sent. */
  readonly sent: readonly string[];
}

/** A run up to `gateway`, which plays the rounds; ends once every domain has ended. */
async function attack(gateway: (channel: RunChannelHandle) => Promise<unknown>): Promise<Tried> {
  const ask = askFor(attacker.cast);
  const before = attacker.endCounts();
  const { signatures, channel } = await attacker.agreed(ask);
  const ends = attacker.ends(before);
  try {
    // A link may end over the first party's seed while another party's start is being answered.
    await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
    await Promise.race([gateway(channel), ends]);
  } catch (error) {
    // The domains' aborts end the attacker's channel too.
    expect(error).toBeInstanceOf(WeirError);
  }
  const codes = await ends;
  channel.abort(voided());
  return { codes, sent: attacker.derivedFrames(ask.runId).map(({ kind }) => kind) };
}

/** One that shapes the sums and statements it tells, over the real link. */
async function strategic(strategy: Strategy): Promise<Tried> {
  const ask = askFor(attacker.cast);
  const before = attacker.endCounts();
  const { descriptor, signatures, channel } = await attacker.agreed(ask);
  await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
  const ends = attacker.ends(before);
  const prepared = { contract: ask.contract.contract, descriptor };
  const gone = HOLDERS.map(() => ends);
  const played = runEvilGateway(prepared, channel, strategy, gone).catch((error: unknown) => {
    expect(error).toBeInstanceOf(WeirError);
  });
  const codes = await ends;
  channel.abort(voided());
  await played;
  return { codes, sent: attacker.derivedFrames(ask.runId).map(({ kind }) => kind) };
}

function shifted(total: Uint8Array, layout: Layout, vector: number): Uint8Array {
  const { offset } = sections(layout, 0)[vector]!;
  total[offset + 7] = (total[offset + 7] ?? 0) ^ 1;
  return total;
}

const ALLOWED = /^(tag-mismatch|transcript-mismatch|round-mismatch|decryption-failed|domain-left)$/;

/** Every domain ended with a type of the protocol's own, and no measure left anywhere. */
function expectAborted({ codes, sent }: Tried): void {
  expect(codes).toHaveLength(HOLDERS.length);
  for (const code of codes) expect(code).toMatch(ALLOWED);
  expect(sent).not.toContain(KINDS.measures);
}

describe('sums and statements', () => {
  const strategies: Record<string, Strategy> = {
    'shifts a count': {
      totals: (bodies, _, layout) => shifted(honestTotal(bodies, layout), layout, 0),
    },
    'shifts the number of contributing holders': {
      totals: (bodies, _, layout) => shifted(honestTotal(bodies, layout), layout, 1),
    },
    'leaves a party out of the sum': {
      totals: (bodies, _, layout) => honestTotal(bodies.slice(0, 2), layout),
    },
    'adds a party twice': {
      totals: ([a, b, c], _, layout) => honestTotal([a!, b!, c!, c!], layout),
    },
    'tells one domain another sum': {
      totals(bodies, party, layout) {
        const total = honestTotal(bodies, layout);
        return party === 1 ? shifted(total, layout, 0) : total;
      },
    },
    'tells another suppression map': {
      maps: ([a, b, c]) => {
        const hash = b!.hash.slice();
        hash[0] = (hash[0] ?? 0) ^ 1;
        return [a!, { ...b!, hash }, c!];
      },
    },
    "puts one party's map in another's place": { maps: ([a, b]) => [a!, b!, b!] },
    'cuts a frame of the sums short': { frame: (frame) => frame.subarray(0, -1) },
    'sends zeros for the sums': { totals: (bodies) => new Uint8Array(bodies[0]!.length) },
  };
  for (const [name, strategy] of Object.entries(strategies)) {
    it(`${name}: every domain aborts, and no measure leaves`, async () => {
      const tried = await strategic(strategy);
      expectAborted(tried);
      expect(tried.sent).toContain(KINDS.counts);
    });
  }
});

describe('order', () => {
  it('sends the maps before the sums', async () => {
    const tried = await attack(async (channel) => {
      await channel.receive(A, KINDS.counts);
      await Promise.all(HOLDERS.map((party) => channel.send(party, KINDS.maps, new Uint8Array(8))));
      await new Promise(() => undefined);
    });
    expectAborted(tried);
    expect(tried.sent).not.toContain(KINDS.map);
  });

  it('replays a party’s masked counts to it as the sum', async () => {
    const tried = await attack(async (channel) => {
      const sent = await Promise.all(HOLDERS.map((party) => channel.receive(party, KINDS.counts)));
      await Promise.all(
        HOLDERS.map((party, index) => channel.send(party, KINDS.totals, sent[index]!)),
      );
      await new Promise(() => undefined);
    });
    expectAborted(tried);
  });
});

describe('silence', () => {
  it('of a gateway in the middle of a run ends it in the domains, by their own clocks', async () => {
    const { codes, sent } = await attack(async (channel) => {
      await Promise.all(HOLDERS.map((party) => channel.receive(party, KINDS.counts)));
      dayPasses.resolve();
      await new Promise(() => undefined);
    });
    dayPasses = Promise.withResolvers();
    expect(codes).toEqual(HOLDERS.map(() => 'run-timed-out'));
    expect(sent).toEqual(HOLDERS.map(() => KINDS.counts));
  });
});

describe('what one domain seals to another', () => {
  type Frame = Record<string, unknown> & { payload: Uint8Array; n: number };

  /** Changes the sealed seed on its way from A to B. */
  function onSeed(change: (frame: Frame, bytes: Buffer) => readonly Buffer[]): Tamper {
    let isDone = false;
    return (way, bytes) => {
      if (isDone || way !== 'frame gateway to domain') return [bytes];
      const frame = unpack(bytes) as Frame;
      if (frame['kind'] !== KINDS.seed || frame['from'] !== A || frame['to'] !== B) return [bytes];
      isDone = true;
      return change(frame, bytes);
    };
  }
  const repacked = (frame: Frame, payload: Uint8Array): Buffer =>
    Buffer.from(pack({ ...frame, payload }));
  const nothing = (): Promise<unknown> => new Promise(() => undefined);
  /** Gives up once the others have sent their masked counts, which open nothing without B's. */
  const giveUp = async (channel: RunChannelHandle): Promise<void> => {
    const others = HOLDERS.filter((party) => party !== B);
    await Promise.all(others.map((party) => channel.receive(party, KINDS.counts)));
    channel.abort(voided());
  };

  const changes: Record<string, (frame: Frame, bytes: Buffer) => readonly Buffer[]> = {
    'flips a bit': (frame) => {
      const payload = Buffer.from(frame.payload);
      payload[40] = (payload[40] ?? 0) ^ 1;
      return [repacked(frame, payload)];
    },
    'cuts it short': (frame) => [repacked(frame, frame.payload.subarray(0, -1))],
    'replays it': (_frame, bytes) => [bytes, bytes],
    'cuts the frame off': (_frame, bytes) => [bytes.subarray(0, -3)],
  };
  for (const [name, change] of Object.entries(changes)) {
    it(`${name}: the run ends for all, and no count opens`, async () => {
      onLine = onSeed(change);
      const tried = await attack(nothing);
      expectAborted(tried);
      expect(tried.sent).not.toContain(KINDS.map);
    });
  }

  const silent: typeof changes = {
    'holds it back': () => [],
    'says that it is of another party': (frame) => [
      Buffer.from(pack({ ...frame, from: HOLDERS[2], payload: Buffer.from(frame.payload) })),
    ],
  };
  for (const [name, change] of Object.entries(silent)) {
    it(`${name}: nobody opens a count until the gateway gives up`, async () => {
      onLine = onSeed(change);
      const { codes, sent } = await attack(giveUp);
      for (const code of codes) expect(['run-cancelled', 'domain-left']).toContain(code);
      expect(sent.toSorted()).toEqual([KINDS.counts, KINDS.counts]);
    });
  }
});
