import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { x25519 } from '@noble/curves/ed25519.js';
import { AbortError, PolicyError, StateError } from '../../src/errors.ts';
import type { RunChannel } from '../../src/link/channel.ts';
import { RUNS_AT_DOMAIN_MAX } from '../../src/link/limits.ts';
import { openSealedChannel } from '../../src/link/sealed-channel.ts';
import { GATEWAY, PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ALPHA, BETA, GAMMA, type World, bytes, newRun, openWorld, text } from './link-world.ts';

let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

async function openRun() {
  const [alpha, beta, gamma] = await Promise.all([ALPHA, BETA, GAMMA].map((p) => world.join(p)));
  const spec = newRun([ALPHA, BETA, GAMMA]);
  const gateway = world.server.openRunChannel(spec);
  const [a, b, c] = await Promise.all([alpha, beta, gamma].map((d) => d!.claimRunChannel(spec)));
  return { spec, gateway, a: a!, b: b!, c: c!, alpha: alpha!, beta: beta!, gamma: gamma! };
}

describe('a run over the link', () => {
  it('carries messages between domains and the gateway, in order and whole', async () => {
    const { gateway, a, b } = await openRun();
    const large = new Uint8Array(5_000_000).map((_, index) => index * 31);
    const sending = (async () => {
      await a.send(BETA, 'greeting', bytes('to beta'));
      await a.send(BETA, 'empty', new Uint8Array(0));
      await a.send(BETA, 'large', large);
      await a.send(GATEWAY, 'result', bytes('to the gateway'));
    })();
    expect(text(await b.receive(ALPHA, 'greeting'))).toBe('to beta');
    expect(await b.receive(ALPHA, 'empty')).toEqual(new Uint8Array(0));
    const got = await b.receive(ALPHA, 'large');
    expect(Buffer.compare(got, large)).toBe(0);
    expect(got.byteOffset).toBe(0);
    await sending;
    expect(text(await gateway.receive(ALPHA, 'result'))).toBe('to the gateway');
    await gateway.send(BETA, 'release', bytes('yes'));
    expect(text(await b.receive(GATEWAY, 'release'))).toBe('yes');
  });

  it('aborts for every party on a message of another kind', async () => {
    const { gateway, a, b, c } = await openRun();
    await a.send(BETA, 'round2', bytes('early'));
    const failure = await b.receive(ALPHA, 'round1').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StateError);
    expect(failure).toMatchObject({ code: 'round-mismatch', facts: { party: ALPHA } });
    await expect(c.receive(ALPHA, 'round1')).rejects.toMatchObject({ code: 'round-mismatch' });
    await expect(gateway.receive(ALPHA, 'round1')).rejects.toMatchObject({
      code: 'round-mismatch',
    });
    expect(
      a.signal.aborted || (await new Promise((done) => (a.signal.onabort = done))),
    ).toBeTruthy();
    expect(a.signal.reason).toMatchObject({ code: 'round-mismatch', facts: { party: ALPHA } });
  });

  it('ends for all others when one domain is lost', async () => {
    const { gateway, a, b, gamma } = await openRun();
    const waiting = Promise.all([
      expect(a.receive(GAMMA, 'round1')).rejects.toBeInstanceOf(AbortError),
      expect(b.receive(GAMMA, 'round1')).rejects.toMatchObject({
        code: 'domain-left',
        facts: { party: GAMMA },
      }),
      expect(gateway.receive(GAMMA, 'round1')).rejects.toMatchObject({ code: 'domain-left' }),
    ]);
    await gamma.close();
    await waiting;
  });

  it('is aborted for everyone by any party, with the reason as it was', async () => {
    const first = await openRun();
    const reason = new PolicyError('cell-too-small', 'Too few.', { rule: 'smallest-cell' });
    first.b.abort(reason);
    for (const channel of [first.a, first.c, first.gateway]) {
      const seen = await aborted(channel);
      expect(seen).toBeInstanceOf(PolicyError);
      expect(seen).toMatchObject({
        code: 'cell-too-small',
        message: 'Too few.',
        facts: { rule: 'smallest-cell', party: BETA },
      });
    }
    expect(first.b.signal.reason).toBe(reason);
    await expect(first.b.send(ALPHA, 'k', bytes('x'))).rejects.toBe(reason);
    await expect(first.a.send(BETA, 'k', bytes('x'))).rejects.toMatchObject({
      code: 'cell-too-small',
    });
  });

  it('is cancelled for everyone by the gateway', async () => {
    const { gateway, a, b, c } = await openRun();
    gateway.abort(new StateError('run-cancelled', 'The analyst cancelled.'));
    for (const channel of [a, b, c]) {
      expect(await aborted(channel)).toMatchObject({ code: 'run-cancelled' });
    }
  });

  it('goes on without a party that is done, and tells who waits for it', async () => {
    const { gateway, a, b, c, gamma } = await openRun();
    await c.send(ALPHA, 'parting', bytes('read me'));
    c.close();
    await expect(gateway.receive(GAMMA, 'more')).rejects.toMatchObject({
      code: 'domain-left',
      facts: { party: GAMMA },
    });
    // What it sent before is still there to read.
    expect(text(await a.receive(GAMMA, 'parting'))).toBe('read me');
    await expect(a.receive(GAMMA, 'more')).rejects.toMatchObject({ code: 'domain-left' });
    await expect(b.receive(GAMMA, 'more')).rejects.toMatchObject({ code: 'domain-left' });
    await expect(b.send(GAMMA, 'k', bytes('x'))).rejects.toMatchObject({ code: 'domain-left' });
    await gamma.close();
    await a.send(BETA, 'k', bytes('still going'));
    expect(text(await b.receive(ALPHA, 'k'))).toBe('still going');
    expect(gateway.signal.aborted).toBe(false);
    gateway.close();
    await expect(a.receive(BETA, 'k')).rejects.toMatchObject({ code: 'domain-left' });
    expect(a.signal.aborted).toBe(false);
    a.close();
    b.close();
  });

  it('refuses at once to address a party outside the run', async () => {
    const { a } = await openRun();
    const outside = PartyIdSchema.parse('delta');
    await expect(a.send(outside, 'k', bytes('x'))).rejects.toMatchObject({
      code: 'party-not-in-contract',
      facts: { party: outside },
    });
    await expect(a.receive(ALPHA, 'k')).rejects.toMatchObject({ code: 'party-not-in-contract' });
  });

  it('needs every domain connected, and each attempt once', async () => {
    const { spec, gateway } = await openRun();
    expect(() => world.server.openRunChannel(spec)).toThrow(/opened before/);
    gateway.abort(new StateError('run-cancelled', 'Again.'));
    expect(() => world.server.openRunChannel(spec)).toThrow(/opened before/);
    const again = { ...spec, attempt: 2 };
    expect(world.server.openRunChannel(again).attempt).toBe(2);
    const absent = { ...newRun([ALPHA]), parties: [ALPHA, PartyIdSchema.parse('delta')] };
    expect(() => world.server.openRunChannel(absent)).toThrow(/delta is not connected/);
  });

  it('keeps two runs over the same links apart', async () => {
    const { a, b, alpha, beta } = await openRun();
    const spec = newRun([ALPHA, BETA]);
    world.server.openRunChannel(spec);
    const a2 = await alpha.claimRunChannel(spec);
    const b2 = await beta.claimRunChannel(spec);
    await a.send(BETA, 'k', bytes('first run'));
    await a2.send(BETA, 'k', bytes('second run'));
    expect(text(await b2.receive(ALPHA, 'k'))).toBe('second run');
    b2.abort(new StateError('run-cancelled', 'Just this one.'));
    expect(text(await b.receive(ALPHA, 'k'))).toBe('first run');
    expect(b.signal.aborted).toBe(false);
  });

  it('seals messages between domains from the gateway that relays them', async () => {
    const tap = await openTap(world.port);
    const alpha = await world.join(ALPHA);
    const beta = await world.join(BETA, { gatewayUrl: tap.url });
    const spec = newRun([ALPHA, BETA]);
    world.server.openRunChannel(spec);
    const a = await alpha.claimRunChannel(spec);
    const b = await beta.claimRunChannel(spec);
    const secrets = [systemRandom.bytes(32), systemRandom.bytes(32)] as const;
    const keys = secrets.map((secret) => x25519.getPublicKey(secret));
    const descriptorHash = systemRandom.bytes(32);
    const common = { descriptorHash, random: systemRandom };
    const from = openSealedChannel({
      ...common,
      channel: a,
      peer: BETA,
      ephemeralSecret: secrets[0],
      peerEphemeralKey: keys[1] ?? new Uint8Array(),
    });
    const to = openSealedChannel({
      ...common,
      channel: b,
      peer: ALPHA,
      ephemeralSecret: secrets[1],
      peerEphemeralKey: keys[0] ?? new Uint8Array(),
    });
    const canary = systemRandom.bytes(32);
    const large = Buffer.concat([new Uint8Array(600_000), canary]);
    await from.send('seed', canary);
    await from.send('large', large, { last: true });
    expect(Buffer.from(await to.receive('seed')).equals(canary)).toBe(true);
    expect(Buffer.from(await to.receive('large', { last: true })).equals(large)).toBe(true);
    // The control: the same watch does see what is sent without a seal.
    expect(tap.bytes().includes(canary)).toBe(false);
    await a.send(BETA, 'open', canary);
    await b.receive(ALPHA, 'open');
    expect(tap.bytes().includes(canary)).toBe(true);
    await tap.close();
  });
});

describe('a run that the domain has not claimed', () => {
  it('waits for the gateway to open it, or is there already', async () => {
    const alpha = await world.join(ALPHA);
    const early = newRun([ALPHA]);
    const claim = alpha.claimRunChannel(early);
    await expect(alpha.claimRunChannel(early)).rejects.toMatchObject({ code: 'already-exists' });
    const gateway = world.server.openRunChannel(early);
    const channel = await claim;
    await channel.send(GATEWAY, 'k', bytes('x'));
    expect(text(await gateway.receive(ALPHA, 'k'))).toBe('x');
    const late = newRun([ALPHA]);
    const second = world.server.openRunChannel(late);
    await second.send(ALPHA, 'k', bytes('kept'));
    const claimed = await alpha.claimRunChannel(late);
    expect(text(await claimed.receive(GATEWAY, 'k'))).toBe('kept');
    await expect(alpha.claimRunChannel(late)).rejects.toMatchObject({ code: 'already-exists' });
  });

  it('is given up in bounded time, at either end', async () => {
    const alpha = await world.join(ALPHA, { limits: { unclaimedMsMax: 30 } });
    const spec = newRun([ALPHA]);
    expect(await aborted(world.server.openRunChannel(spec))).toMatchObject({
      code: 'run-timed-out',
      facts: { party: ALPHA },
    });
    await expect(alpha.claimRunChannel(spec)).rejects.toMatchObject({ code: 'already-exists' });
    await expect(alpha.claimRunChannel(newRun([ALPHA]))).rejects.toMatchObject({
      code: 'run-timed-out',
    });
    const stop = new AbortController();
    const waiting = alpha.claimRunChannel(newRun([ALPHA]), { signal: stop.signal });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'run-cancelled' });
  });

  it('is bounded in number', async () => {
    await Promise.all([world.join(ALPHA), world.join(BETA)]);
    const channels = Array.from({ length: RUNS_AT_DOMAIN_MAX }, () =>
      world.server.openRunChannel(newRun([ALPHA])),
    );
    // At the gateway, before the domain hears of one more; whose runs they are is said.
    expect(() => world.server.openRunChannel(newRun([ALPHA, BETA]))).toThrow(
      expect.objectContaining({
        code: 'queue-full',
        message: expect.stringMatching(/alpha has 64 runs at work/),
        facts: expect.objectContaining({ party: ALPHA, remedy: expect.any(String) }),
      }),
    );
    expect(() => world.server.openRunChannel(newRun([BETA]))).not.toThrow();
    channels[0]?.abort(new StateError('run-cancelled', 'Enough.'));
    const last = world.server.openRunChannel(newRun([ALPHA]));
    world.server.handle('echo', (body) => body);
    expect([...channels.slice(1), last].filter(({ signal }) => signal.aborted)).toHaveLength(0);
  });

  it('takes no room once it has ended, and is told for a while', async () => {
    const alpha = await world.join(ALPHA);
    const specs = Array.from({ length: RUNS_AT_DOMAIN_MAX + 1 }, () => newRun([ALPHA]));
    for (const each of specs) {
      expect(alpha.endOfRun(each)).toBeUndefined();
      world.server.openRunChannel(each).abort(new StateError('run-cancelled', 'Too soon.'));
    }
    const next = newRun([ALPHA]);
    const channel = world.server.openRunChannel(next);
    await alpha.claimRunChannel(next);
    expect(channel.signal.aborted).toBe(false);
    expect(alpha.endOfRun(next)).toBeUndefined();
    const [first, second] = specs;
    expect(alpha.endOfRun(second!)).toMatchObject({ code: 'run-cancelled' });
    await expect(alpha.claimRunChannel(second!)).rejects.toMatchObject({ code: 'run-cancelled' });
    // As many as there is room for; of earlier ones only that they are over.
    expect(alpha.endOfRun(first!)).toMatchObject({ code: 'already-exists' });
    await expect(alpha.claimRunChannel(first!)).rejects.toMatchObject({ code: 'already-exists' });
  });

  it('tells its claimant how it ended before the claim', async () => {
    const alpha = await world.join(ALPHA);
    const spec = newRun([ALPHA]);
    const gateway = world.server.openRunChannel(spec);
    gateway.abort(new StateError('run-cancelled', 'Too soon.'));
    world.server.handle('echo', (body) => body);
    await alpha.request('echo', 0);
    await expect(alpha.claimRunChannel(spec)).rejects.toMatchObject({ code: 'run-cancelled' });
  });
});

function aborted(channel: RunChannel | undefined): Promise<unknown> {
  return new Promise((resolve) => {
    const signal = channel?.signal;
    if (signal?.aborted) resolve(signal.reason);
    signal?.addEventListener('abort', () => resolve(signal.reason));
  });
}

/** A plain TCP relay that keeps what the gateway sends: those frames are unmasked. */
async function openTap(port: number) {
  const seen: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    onward.on('data', (chunk: Buffer) => void seen.push(chunk));
    for (const end of [socket, onward]) end.on('error', () => undefined);
    sockets.push(socket, onward);
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytes: () => Buffer.concat(seen),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
