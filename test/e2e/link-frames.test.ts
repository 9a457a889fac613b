import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLOSE_CODES, type CloseReason } from '../../src/link/close-reason.ts';
import { encodeFrame } from '../../src/link/frame-codec.ts';
import {
  CHUNK_BYTES_MAX,
  FRAME_BYTES_MAX,
  FRAME_COST_BYTES,
  RUNS_AT_DOMAIN_MAX,
  CROWDED_WINDOW_BYTES_MIN,
  windowBytes,
} from '../../src/link/limits.ts';
import { GATEWAY } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ALPHA, BETA, GAMMA, type World, newRun, openWorld } from './link-world.ts';
import { type RawSocket, joinRaw, openRawGateway } from './raw-peer.ts';

const WINDOW = windowBytes(2);
let world: World;
beforeEach(async () => {
  world = await openWorld();
  world.server.handle('echo', (body) => body);
});
afterEach(() => world.close());

async function closesWith(reason: CloseReason, act: (raw: RawSocket) => void): Promise<void> {
  const raw = await joinRaw(world, ALPHA);
  const ended = world.server.linkOf(ALPHA)?.closed;
  act(raw);
  expect(await ended).toEqual({ reason, byPeer: false });
  expect(await raw.closed).toBe(reason === 'frame-too-large' ? 1009 : CLOSE_CODES[reason]);
}

const echo = (id: number) => ({ t: 'request', id, method: 'echo', body: 'x' });

describe('the gateway ends a link', () => {
  it('never for frames that keep to the rules', async () => {
    const raw = await joinRaw(world, ALPHA);
    raw.send(echo(0));
    raw.send(echo(1));
    expect(await raw.nextFrame()).toMatchObject({ t: 'answer', n: 0, id: 0, body: 'x' });
    expect(await raw.nextFrame()).toMatchObject({ t: 'answer', n: 1, id: 1, body: 'x' });
    raw.socket.terminate();
  });

  it('on a frame that is replayed, reordered or left out', async () => {
    await closesWith('sequence-broken', (raw) => {
      raw.send(echo(0), 0);
      raw.send(echo(0), 0);
    });
    await closesWith('sequence-broken', (raw) => {
      raw.send(echo(0), 1);
      raw.send(echo(1), 0);
    });
    await closesWith('sequence-broken', (raw) => {
      raw.send(echo(0), 0);
      raw.send(echo(1), 2);
    });
    await closesWith('frame-unexpected', (raw) => {
      raw.send(echo(0));
      raw.send(echo(0));
    });
    await closesWith('frame-unexpected', (raw) => raw.send({ t: 'answer', id: 0, body: 'x' }));
  });

  it('on a frame that is not exactly one of the known ones', async () => {
    const { runId: run, attempt } = newRun([ALPHA, BETA]);
    const data = {
      t: 'data',
      run,
      attempt,
      from: ALPHA,
      to: BETA,
      kind: 'k',
      count: 0,
      last: true,
    };
    const frames: object[] = [
      { ...echo(0), extra: 1 },
      { ...echo(0), id: '0' },
      { ...echo(0), id: -1 },
      { ...echo(0), id: 0.5 },
      { ...echo(0), method: 'Ünknown' },
      { t: 'request', id: 0, method: 'echo' },
      { t: 'unknown' },
      { t: 'welcome' },
      { ...data, payload: 'text' },
      { ...data, payload: [1, 2] },
      { ...data, payload: new Uint8Array(CHUNK_BYTES_MAX + 1) },
      { ...data, payload: new Uint8Array(1), attempt: 0 },
      { ...data, payload: new Uint8Array(1), run: 'run' },
      { ...data, payload: new Uint8Array(1), kind: 'k'.repeat(65) },
      { t: 'failure', id: 0, error: { code: 'internal', message: 'x', facts: { secret: 'y' } } },
      { ...echo(0), body: new Date(0) },
      { ...echo(0), body: undefined },
    ];
    for (const frame of frames)
      await closesWith('frame-malformed', (raw) => raw.send({ ...frame }));
  });

  it('on text, truncated, padded, garbled and oversize messages', async () => {
    const good = encodeFrame({ ...echo(0), n: 0 });
    await closesWith('frame-not-binary', (raw) => raw.socket.send('text'));
    await closesWith('frame-malformed', (raw) => raw.socket.send(good.slice(0, -1)));
    await closesWith('frame-malformed', (raw) => raw.socket.send(new Uint8Array(0)));
    await closesWith('frame-malformed', (raw) =>
      raw.socket.send(Buffer.concat([good, Buffer.of(0)])),
    );
    await closesWith('frame-malformed', (raw) => raw.socket.send(systemRandom.bytes(100)));
    await closesWith('frame-too-large', (raw) =>
      raw.socket.send(new Uint8Array(FRAME_BYTES_MAX + 1)),
    );
  });
});

describe('in a run the gateway relays', () => {
  async function openRun() {
    const raws = [await joinRaw(world, ALPHA), await joinRaw(world, BETA)] as const;
    const outsider = await joinRaw(world, GAMMA);
    const spec = newRun([ALPHA, BETA]);
    const channel = world.server.openRunChannel(spec);
    for (const raw of raws) expect(await raw.nextFrame()).toMatchObject({ t: 'open' });
    const of = { run: spec.runId, attempt: spec.attempt };
    const data = (changes: object = {}) => ({
      t: 'data',
      ...of,
      from: ALPHA,
      to: BETA,
      kind: 'k',
      count: 0,
      last: true,
      payload: new Uint8Array(10),
      ...changes,
    });
    const ends = async (party: typeof ALPHA, reason: CloseReason): Promise<void> => {
      const link = world.server.linkOf(party);
      expect(await link?.closed).toEqual({ reason, byPeer: false });
    };
    return { alpha: raws[0], beta: raws[1], outsider, channel, of, data, ends };
  }

  it('between its members', async () => {
    const { alpha, beta, data } = await openRun();
    alpha.send(data());
    expect(await beta.nextFrame()).toMatchObject({ from: ALPHA, to: BETA, kind: 'k' });
  });

  it('nothing to a party outside the run', async () => {
    const { alpha, outsider, data, ends } = await openRun();
    alpha.send(data({ to: GAMMA }));
    await ends(ALPHA, 'not-in-run');
    outsider.socket.close();
    expect(await outsider.next()).toBeUndefined();
  });

  it('nothing from a party outside the run', async () => {
    const { outsider, beta, data, ends, channel } = await openRun();
    outsider.send(data({ from: GAMMA }));
    await ends(GAMMA, 'not-in-run');
    expect(channel.signal.aborted).toBe(false);
    beta.socket.close();
    expect((await beta.next()) === undefined).toBe(true);
  });

  it('nothing in the name of another party, or to oneself', async () => {
    const first = await openRun();
    first.alpha.send(first.data({ from: BETA, to: ALPHA }));
    await first.ends(ALPHA, 'not-in-run');
    const second = await openRun();
    second.alpha.send(second.data({ from: GATEWAY, to: BETA }));
    await second.ends(ALPHA, 'not-in-run');
    const third = await openRun();
    third.alpha.send(third.data({ to: ALPHA }));
    await third.ends(ALPHA, 'not-in-run');
  });

  it('nothing twice, out of order, or beyond what the receiver granted', async () => {
    const replay = await openRun();
    replay.alpha.send(replay.data());
    replay.alpha.send(replay.data());
    await replay.ends(ALPHA, 'sequence-broken');
    const skip = await openRun();
    skip.alpha.send(skip.data({ count: 1 }));
    await skip.ends(ALPHA, 'sequence-broken');
    const toGateway = await openRun();
    toGateway.alpha.send(toGateway.data({ to: GATEWAY, count: 1 }));
    await toGateway.ends(ALPHA, 'sequence-broken');
    for (const to of [BETA, GATEWAY]) {
      const flood = await openRun();
      const payload = new Uint8Array(CHUNK_BYTES_MAX);
      const fitting = Math.floor(windowBytes(2) / (CHUNK_BYTES_MAX + FRAME_COST_BYTES));
      for (let count = 0; count < fitting; count += 1)
        flood.alpha.send(flood.data({ to, count, payload }));
      flood.alpha.send(echo(0));
      // Everything granted was taken: the link still answers.
      expect(await flood.alpha.nextFrame()).toMatchObject({ t: 'answer' });
      flood.alpha.send(flood.data({ to, count: fitting, payload }));
      await flood.ends(ALPHA, 'credit-exceeded');
    }
  });

  it('no grant of bytes that were never sent', async () => {
    for (const to of [BETA, GATEWAY]) {
      const run = await openRun();
      run.alpha.send({ t: 'credit', ...run.of, from: ALPHA, to, bytes: 1 });
      await run.ends(ALPHA, 'credit-exceeded');
    }
  });

  it('nothing of a run or attempt that was never opened, nor an opening by a domain', async () => {
    const unknown = await openRun();
    unknown.alpha.send(unknown.data({ run: newRun([ALPHA]).runId }));
    await unknown.ends(ALPHA, 'run-unknown');
    const attempt = await openRun();
    attempt.alpha.send(attempt.data({ attempt: 2 }));
    await attempt.ends(ALPHA, 'run-unknown');
    const opening = await openRun();
    opening.alpha.send({ t: 'open', ...opening.of, parties: [ALPHA], window: windowBytes(1) });
    await opening.ends(ALPHA, 'frame-unexpected');
  });

  it('nothing after a party said it was done, and no word in another party’s name', async () => {
    const after = await openRun();
    after.alpha.send({ t: 'done', ...after.of, party: ALPHA });
    after.alpha.send(after.data());
    await after.ends(ALPHA, 'not-in-run');
    const other = await openRun();
    other.alpha.send({ t: 'done', ...other.of, party: BETA });
    await other.ends(ALPHA, 'not-in-run');
  });

  it('late frames of an ended run are dropped, and the attempt cannot be opened again', async () => {
    const { alpha, beta, channel, data } = await openRun();
    channel.close();
    expect(await beta.nextFrame()).toMatchObject({ t: 'done', party: GATEWAY });
    alpha.send(data());
    alpha.send(echo(0));
    expect(await alpha.nextFrame()).toMatchObject({ t: 'done', party: GATEWAY });
    expect(await alpha.nextFrame()).toMatchObject({ t: 'answer' });
    expect(() => world.server.openRunChannel(channel)).toThrow(/opened before/);
    beta.socket.close();
    expect(await beta.next()).toBeUndefined();
  });
});

describe('a domain ends its link to a gateway', () => {
  async function openGateway() {
    const gateway = await openRawGateway();
    const domain = world.dial(ALPHA, { gatewayUrl: gateway.url });
    domain.start();
    const raw = await gateway.accept();
    await gateway.welcome(raw, world.gatewayKeys);
    await domain.connected();
    const spec = newRun([ALPHA, BETA]);
    const of = { run: spec.runId, attempt: spec.attempt };
    const open = { t: 'open', ...of, parties: [ALPHA, BETA], window: WINDOW };
    return { gateway, domain, raw, spec, of, open };
  }

  it('that opens the same attempt again, on this connection or the next', async () => {
    const { gateway, domain, raw, spec, open } = await openGateway();
    raw.send(open);
    const channel = await domain.claimRunChannel(spec);
    raw.socket.terminate();
    const next = await gateway.accept();
    expect(channel.signal.reason).toMatchObject({ code: 'domain-left' });
    await gateway.welcome(next, world.gatewayKeys);
    next.send(open);
    expect(await next.closed).toBe(CLOSE_CODES['run-replayed']);
    await domain.close();
    await gateway.close();
  });

  it('that opens a run without it, replays a frame, grants too much or speaks of unknown runs', async () => {
    const cases: [CloseReason, (of: object) => object[]][] = [
      ['not-in-run', (of) => [{ t: 'open', ...of, parties: [BETA], window: WINDOW }]],
      ['not-in-run', (of) => [{ t: 'open', ...of, parties: [ALPHA, ALPHA], window: WINDOW }]],
      ['run-unknown', (of) => [{ t: 'done', ...of, party: GATEWAY }]],
      [
        'credit-exceeded',
        (of) => [{ t: 'open', ...of, parties: [ALPHA, BETA, GAMMA], window: WINDOW }],
      ],
      [
        'frame-malformed',
        (of) => [
          { t: 'open', ...of, parties: [ALPHA, BETA], window: CROWDED_WINDOW_BYTES_MIN - 1 },
        ],
      ],
      [
        'credit-exceeded',
        (of) => [
          { t: 'open', ...of, parties: [ALPHA, BETA], window: WINDOW },
          { t: 'credit', ...of, from: BETA, to: ALPHA, bytes: 1 },
        ],
      ],
      [
        'not-in-run',
        (of) => [
          { t: 'open', ...of, parties: [ALPHA, BETA], window: WINDOW },
          { t: 'credit', ...of, from: BETA, to: GATEWAY, bytes: 1 },
        ],
      ],
      [
        'not-in-run',
        (of) => [
          { t: 'open', ...of, parties: [ALPHA, BETA], window: WINDOW },
          { t: 'done', ...of, party: GAMMA },
        ],
      ],
    ];
    for (const [reason, frames] of cases) {
      const { gateway, domain, raw, of } = await openGateway();
      for (const frame of frames(of)) raw.send({ ...frame });
      expect(await raw.closed).toBe(CLOSE_CODES[reason]);
      await domain.close();
      await gateway.close();
    }
  });

  it('never for one run too many, which it refuses', async () => {
    const { gateway, domain, raw } = await openGateway();
    for (let at = 0; at <= RUNS_AT_DOMAIN_MAX; at += 1) {
      const { runId: run, attempt } = newRun([ALPHA]);
      raw.send({ t: 'open', run, attempt, parties: [ALPHA], window: WINDOW });
    }
    expect(await raw.nextFrame()).toMatchObject({
      t: 'abort',
      error: {
        code: 'queue-full',
        message: expect.stringMatching(/alpha has 64 runs at work/),
        facts: { party: ALPHA, remedy: expect.any(String) },
      },
    });
    expect(domain.link()).toBeDefined();
    await domain.close();
    await gateway.close();
  });

  it('never for a run among its parties; it refuses one opened among others than agreed', async () => {
    const { gateway, domain, raw, spec, open } = await openGateway();
    raw.send(open);
    const agreed = { ...spec, parties: [ALPHA, BETA, GAMMA] };
    await expect(domain.claimRunChannel(agreed)).rejects.toMatchObject({
      code: 'party-set-changed',
    });
    expect(await raw.nextFrame()).toMatchObject({
      t: 'abort',
      error: { code: 'party-set-changed' },
    });
    expect(domain.link()).toBeDefined();
    await domain.close();
    await gateway.close();
  });
});
