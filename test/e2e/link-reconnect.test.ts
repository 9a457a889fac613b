import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backOffMs } from '../../src/link/domain-connection.ts';
import { BODY_BYTES_MAX, LINK_LIMITS } from '../../src/link/limits.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ALPHA, BETA, StatusLog, type World, newRun, openWorld } from './link-world.ts';
import { identityOf, joinRaw, openRawGateway } from './raw-peer.ts';

const QUICK = { reconnectMsMin: 20, reconnectMsMax: 40 };
let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

describe('a domain', () => {
  it('comes back after the gateway restarted, with its handlers', async () => {
    const first = await openWorld();
    const log = new StatusLog();
    const domain = await world.join(ALPHA, {
      gatewayUrl: first.url,
      gatewayKey: first.gatewayKeys.publicKey,
      identity: identityOf(first, ALPHA),
      onStatus: log.add,
      limits: QUICK,
    });
    domain.handle('echo', (body) => body);
    const retrying = log.next('retrying');
    await first.close();
    expect(log.seen.find((status) => status.kind === 'disconnected')).toMatchObject({
      end: { reason: 'shutting-down', byPeer: true },
    });
    await retrying;
    await expect(domain.request('echo', 1)).rejects.toMatchObject({ code: 'domain-unreachable' });
    const again = log.next('connected');
    const { keysOf } = first;
    const second = await openWorld(
      { keys: first.gatewayKeys, lookupDomain: (party) => keysOf.get(party)?.publicKey },
      undefined,
      first.port,
    );
    await again;
    await domain.connected();
    expect(await second.server.linkOf(ALPHA)?.request('echo', 'back')).toBe('back');
    await domain.close();
    await second.close();
  });

  it('waits longer after each failure, within bounds and spread at random', () => {
    let before = 0;
    for (let failures = 1; failures < 40; failures += 1) {
      const full = Math.min(
        LINK_LIMITS.reconnectMsMax,
        LINK_LIMITS.reconnectMsMin * 2 ** (failures - 1),
      );
      const delays = Array.from({ length: 50 }, () =>
        backOffMs(failures, LINK_LIMITS, systemRandom),
      );
      expect(Math.min(...delays)).toBeGreaterThanOrEqual(Math.floor(full / 2));
      expect(Math.max(...delays)).toBeLessThanOrEqual(full);
      expect(new Set(delays).size).toBeGreaterThan(10);
      expect(full).toBeGreaterThanOrEqual(before);
      before = full;
    }
    expect(backOffMs(0, LINK_LIMITS, systemRandom)).toBeLessThanOrEqual(LINK_LIMITS.reconnectMsMin);
  });

  it('stops dialling when it is closed', async () => {
    const log = new StatusLog();
    const domain = world.dial(ALPHA, { gatewayUrl: 'http://127.0.0.1:1', onStatus: log.add });
    const refused = log.next('refused');
    domain.start();
    expect(await refused).toMatchObject({ reason: 'unreachable' });
    await domain.close();
    const dials = log.seen.filter((status) => status.kind === 'connecting').length;
    expect(dials).toBe(1);
    await expect(domain.connected(AbortSignal.abort())).rejects.toMatchObject({
      code: 'domain-unreachable',
    });
  });

  it('cuts off a gateway that has fallen silent, and dials again', async () => {
    const mute = await openRawGateway({ autoPong: false });
    const log = new StatusLog();
    const domain = world.dial(ALPHA, {
      gatewayUrl: mute.url,
      onStatus: log.add,
      limits: { ...QUICK, heartbeatMs: 15, silentBeatsMax: 2, closeMsMax: 15 },
    });
    const lost = log.next('disconnected');
    domain.start();
    await mute.welcome(await mute.accept(), world.gatewayKeys);
    expect(await lost).toMatchObject({ end: { reason: 'peer-silent', byPeer: false } });
    expect(await mute.accept()).toBeDefined();
    await domain.close();
    await mute.close();
  });
});

describe('the gateway', () => {
  it('cuts off a domain that has fallen silent, and no other', async () => {
    const strict = await openWorld({ limits: { heartbeatMs: 15, silentBeatsMax: 2 } });
    const mute = await joinRaw(strict, ALPHA, { autoPong: false });
    const alive = await joinRaw(strict, BETA);
    let pings = 0;
    const pinged = new Promise<void>((resolve) =>
      alive.socket.on('ping', () => {
        pings += 1;
        if (pings === 6) resolve();
      }),
    );
    expect(await strict.server.linkOf(ALPHA)?.closed).toMatchObject({ reason: 'peer-silent' });
    await pinged;
    expect(strict.server.parties()).toEqual([BETA]);
    mute.socket.terminate();
    alive.socket.terminate();
    await strict.close();
  });

  it('cuts off a domain that takes nothing off its socket, before memory grows', async () => {
    let answered = Promise.withResolvers<void>();
    world.server.handle('large', () => {
      answered.resolve();
      return new Uint8Array(BODY_BYTES_MAX - 10);
    });
    const raw = await joinRaw(world, ALPHA);
    const link = world.server.linkOf(ALPHA);
    raw.socket.pause();
    // 120 MiB of answers, one after another, to a socket that nobody reads.
    for (let id = 0; id < 120 && world.server.linkOf(ALPHA) !== undefined; id += 1) {
      answered = Promise.withResolvers();
      raw.send({ t: 'request', id, method: 'large', body: null });
      await Promise.race([answered.promise, link?.closed]);
    }
    expect(await link?.closed).toEqual({ reason: 'send-buffer-full', byPeer: false });
    raw.socket.terminate();
  });

  it('says why it goes, and leaves nothing running', async () => {
    const leaving = await openWorld();
    const domain = await leaving.join(ALPHA);
    const beta = await leaving.join(BETA);
    const spec = newRun([ALPHA, BETA]);
    const channel = leaving.server.openRunChannel(spec);
    const claimed = await domain.claimRunChannel(spec);
    const link = domain.link();
    await leaving.server.close();
    expect(await link?.closed).toEqual({ reason: 'shutting-down', byPeer: true });
    expect(channel.signal.reason).toMatchObject({ code: 'domain-left' });
    expect(claimed.signal.reason).toMatchObject({ code: 'domain-left' });
    await beta.close();
    await leaving.close();
  });
});
