import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CALLS_WAITING_MAX,
  CHUNK_BYTES_MAX,
  FRAME_COST_BYTES,
  windowBytes,
} from '../../src/link/limits.ts';
import type { RunChannelHandle } from '../../src/link/run-channel.ts';
import { Inflow } from '../../src/link/flow.ts';
import type { OpenLink } from '../../src/link/link.ts';
import { GATEWAY, type PartyId } from '../../src/system/ids.ts';
import { ALPHA, BETA, GAMMA, type World, bytes, newRun, openWorld } from './link-world.ts';
import { joinRaw } from './raw-peer.ts';

const PARTIES = [ALPHA, BETA, GAMMA];
const MEGABYTE = new Uint8Array(1_000_000);
let world: World;
beforeEach(async () => {
  world = await openWorld();
});
afterEach(() => world.close());

async function openRun() {
  const domains = await Promise.all(PARTIES.map((party) => world.join(party)));
  const spec = newRun(PARTIES);
  const gateway = world.server.openRunChannel(spec);
  const [a, b, c] = await Promise.all(domains.map((domain) => domain.claimRunChannel(spec)));
  return { gateway, a: a!, b: b!, c: c!, domains };
}

/** Sends up to `most` messages and counts those accepted; `stopped` once none was for a while. */
function flood(channel: RunChannelHandle, to: PartyId, most: number) {
  const state = { accepted: 0, done: Promise.resolve() };
  state.done = (async () => {
    for (let at = 0; at < most; at += 1) {
      await channel.send(to, 'flood', MEGABYTE);
      state.accepted += 1;
    }
  })();
  return state;
}

/** Lets the event loop turn until `holds`; the test's time limit is the failure. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

/** Messages round all three domains: whatever was sent before has arrived by then. */
async function settle(a: RunChannelHandle, b: RunChannelHandle, c: RunChannelHandle) {
  for (let at = 0; at < 20; at += 1) {
    await a.send(GAMMA, 'tick', bytes('x'));
    await c.receive(ALPHA, 'tick');
    await c.send(BETA, 'tick', bytes('x'));
    await b.receive(GAMMA, 'tick');
    await b.send(ALPHA, 'tick', bytes('x'));
    await a.receive(BETA, 'tick');
  }
}

describe('a receiver that does not read', () => {
  it('holds its sender back end to end; what lies unread is at most the window', async () => {
    const { a, b, c, gateway } = await openRun();
    for (const [receiver, to] of [
      [b, BETA],
      [gateway, GATEWAY],
    ] as const) {
      const state = flood(a, to, 20);
      const window = windowBytes(PARTIES.length);
      await until(() => receiver.heldBytes > window - CHUNK_BYTES_MAX - FRAME_COST_BYTES);
      const { accepted } = state;
      await settle(a, b, c);
      // Bytes, not time: the window is full, and not a byte more comes.
      expect(receiver.heldBytes).toBeLessThanOrEqual(window);
      expect(state.accepted).toBe(accepted);
      expect(accepted).toBe(1);
      // A reader that comes back gets everything: the sender was held, not cut.
      for (let at = 0; at < 20; at += 1) {
        expect(await receiver.receive(ALPHA, 'flood')).toHaveLength(MEGABYTE.length);
      }
      await state.done;
      expect(state.accepted).toBe(20);
      expect(receiver.heldBytes).toBe(0);
    }
  });

  it('costs the gateway no more than the window, even when its socket stands still', async () => {
    const alpha = await world.join(ALPHA);
    const beta = await joinRaw(world, BETA);
    const spec = newRun([ALPHA, BETA]);
    world.server.openRunChannel(spec);
    const a = await alpha.claimRunChannel(spec);
    const { connection } = world.server.linkOf(BETA) as OpenLink;
    beta.socket.pause();
    const state = flood(a, BETA, 200);
    state.done.catch(() => undefined);
    const window = windowBytes(2);
    world.server.handle('echo', (body) => body);
    let bufferedMax = 0;
    // Requests behind the flood on the same link: when they stop finding more, it stands still.
    for (let at = 0; at < 50; at += 1) {
      await alpha.request('echo', at);
      bufferedMax = Math.max(bufferedMax, connection.bufferedBytes);
    }
    expect(bufferedMax).toBeLessThanOrEqual(window);
    expect(state.accepted).toBe(Math.floor(window / (MEGABYTE.length + 4 * FRAME_COST_BYTES)));
    expect(connection.isOpen).toBe(true);
    beta.socket.terminate();
  });

  it('does not hold back other senders, other receivers or requests', async () => {
    const { a, b, c, gateway, domains } = await openRun();
    const state = flood(a, BETA, 5);
    const { done } = state;
    done.catch(() => undefined);
    world.server.handle('echo', (body) => body);
    expect(await domains[0]?.request('echo', 1)).toBe(1);
    await Promise.all([c.send(BETA, 'other', bytes('y')), a.send(GATEWAY, 'other', bytes('z'))]);
    expect(await b.receive(GAMMA, 'other')).toHaveLength(1);
    expect(await gateway.receive(ALPHA, 'other')).toHaveLength(1);
    expect(state.accepted).toBeLessThan(5);
  });

  it('costs its window for empty messages too', async () => {
    const { a, b } = await openRun();
    let accepted = 0;
    const fitting = Math.floor(windowBytes(PARTIES.length) / FRAME_COST_BYTES);
    const sending = (async () => {
      for (; accepted < fitting + 10; accepted += 1) await a.send(BETA, 'empty', new Uint8Array(0));
    })();
    while (accepted < fitting) await new Promise((resolve) => setImmediate(resolve));
    for (let at = 0; at < 10; at += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(accepted).toBe(fitting);
    for (let at = 0; at < fitting + 10; at += 1) await b.receive(ALPHA, 'empty');
    await sending;
  });

  it('lets calls wait in a bounded number', async () => {
    const { a } = await openRun();
    const waiting = Array.from({ length: CALLS_WAITING_MAX }, () => a.send(BETA, 'k', MEGABYTE));
    await expect(a.send(BETA, 'k', MEGABYTE)).rejects.toMatchObject({ code: 'queue-full' });
    a.close();
    const ends = await Promise.allSettled(waiting);
    expect(ends.filter((end) => end.status === 'rejected').length).toBeGreaterThan(50);
  });
});

describe('windows', () => {
  it('share what a party holds unread among the run’s senders', () => {
    for (const domains of [1, 2, 3, 16, 64, 128]) {
      expect(windowBytes(domains) * domains).toBeLessThanOrEqual(4_194_304);
    }
    expect(windowBytes(256) * 256).toBe(8_388_608);
  });
});

describe('a message longer than its protocol has', () => {
  const DUE = 300_000;

  it('ends the run for all, and the gateway holds none of it; the longest that is due passes', async () => {
    const { gateway, a, b } = await openRun();
    const longest = new Uint8Array(DUE).fill(7);
    const honest = a.send(GATEWAY, 'masked', longest);
    expect(await gateway.receive(ALPHA, 'masked', DUE)).toEqual(longest);
    await honest;
    const flooding = a.send(GATEWAY, 'masked', new Uint8Array(60_000_000)).catch((error) => error);
    const ended = { code: 'transcript-mismatch', family: 'abort', facts: { party: ALPHA } };
    await expect(gateway.receive(ALPHA, 'masked', DUE)).rejects.toMatchObject(ended);
    expect(gateway.heldBytes).toBe(0);
    expect(await flooding).toMatchObject({ code: 'transcript-mismatch' });
    await expect(b.receive(GATEWAY, 'totals')).rejects.toMatchObject(ended);
    expect(gateway.heldBytes).toBe(0);
  });

  it('is refused one byte above what is due, also where one piece carries it', async () => {
    const { gateway, a } = await openRun();
    await a.send(GATEWAY, 'statement', new Uint8Array(101));
    const refused = gateway.receive(ALPHA, 'statement', 100);
    await expect(refused).rejects.toMatchObject({
      code: 'transcript-mismatch',
      facts: { rule: 'statement has at most 100 bytes in this run' },
    });
  });

  it('is asked for no further once a piece is too many', async () => {
    /** Bytes of one message of 60 pieces that a receiver takes before it is done with it. */
    const takenOf = async (bytesMax: number | undefined): Promise<number> => {
      const window = windowBytes(1);
      let room = window;
      const inflow = new Inflow(ALPHA, window, (bytes) => {
        room += bytes;
      });
      const reading = inflow.receive('masked', bytesMax).then(
        () => true,
        () => true,
      );
      let isOver = false;
      void reading.then(() => (isOver = true));
      let taken = 0;
      for (let count = 0; count < 60 && !isOver; ) {
        const cost = CHUNK_BYTES_MAX + FRAME_COST_BYTES;
        if (room >= cost) {
          room -= cost;
          const payload = new Uint8Array(CHUNK_BYTES_MAX);
          inflow.accept({ kind: 'masked', count, last: count === 59, payload });
          count += 1;
          taken += CHUNK_BYTES_MAX;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      await reading;
      return taken;
    };
    expect(await takenOf(DUE)).toBe(2 * CHUNK_BYTES_MAX);
    // The control: without a bound all of it is taken.
    expect(await takenOf(undefined)).toBe(60 * CHUNK_BYTES_MAX);
  });
});
