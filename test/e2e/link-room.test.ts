/** What two domains that collude can make a gateway hold, and what a slow one is made to hold for others. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CHUNK_BYTES_MAX,
  FRAME_COST_BYTES,
  PARTY_INBOX_BYTES_MAX,
  SEND_BUFFER_BYTES_HIGH,
} from '../../src/link/limits.ts';
import type { OpenLink } from '../../src/link/link.ts';
import type { RunSpec } from '../../src/link/run-channel.ts';
import { ALPHA, BETA, newRun, openWorld, type World } from './link-world.ts';
import { joinRaw, type RawSocket } from './raw-peer.ts';

let world: World;
let alpha: RawSocket;
let beta: RawSocket;
beforeEach(async () => {
  world = await openWorld();
  world.server.handle('echo', (body) => body);
  alpha = await joinRaw(world, ALPHA);
  beta = await joinRaw(world, BETA);
});
afterEach(async () => {
  for (const raw of [alpha, beta]) raw.socket.terminate();
  await world.close();
});

interface Opened {
  readonly spec: RunSpec;
  readonly window: number;
}

/** Opens a run of both; alpha hears its window. */
async function open(): Promise<Opened> {
  const spec = newRun([ALPHA, BETA]);
  world.server.openRunChannel(spec);
  for (;;) {
    const frame = await alpha.nextFrame();
    if (frame.t === 'open' && frame.run === spec.runId) return { spec, window: frame.window };
  }
}

const betaLink = (): OpenLink => world.server.linkOf(BETA) as OpenLink;
const ofRun = ({ runId, attempt }: RunSpec): object => ({ run: runId, attempt });
let asked = 0;
beforeEach(() => {
  asked = 0;
});

/** What alpha hears until the gateway has taken all that alpha sent. */
async function heard(): Promise<string[]> {
  const kinds: string[] = [];
  const id = asked++;
  alpha.send({ t: 'request', id, method: 'echo', body: id });
  for (;;) {
    const frame = await alpha.nextFrame();
    if (frame.t === 'answer' && frame.id === id) return kinds;
    kinds.push(frame.t);
  }
}

/** Fills a window from alpha to beta from the `count`th piece on; answers the next piece and what it cost. */
function flood({ spec, window }: Opened, count = 0): { count: number; cost: number } {
  let left = window;
  let next = count;
  while (left > FRAME_COST_BYTES) {
    const payload = new Uint8Array(Math.min(CHUNK_BYTES_MAX, left - FRAME_COST_BYTES));
    const between = { from: ALPHA, to: BETA };
    const piece = { kind: 'flood', count: next, last: true, payload };
    alpha.send({ t: 'data', ...ofRun(spec), ...between, ...piece });
    left -= payload.length + FRAME_COST_BYTES;
    next += 1;
  }
  return { count: next, cost: window - left };
}

describe('a domain that takes nothing off its socket', () => {
  it('has its grants passed on only as it drains, whatever it says it has read', async () => {
    const run = await open();
    beta.socket.pause();
    let bufferedMax = 0;
    let count = 0;
    let isHeld = false;
    // Twice what would have it cut off.
    for (let round = 0; round < 64 && !isHeld; round += 1) {
      const sent = flood(run, count);
      count = sent.count;
      await heard();
      bufferedMax = Math.max(bufferedMax, betaLink().connection.bufferedBytes);
      // Alpha tells it by another way how much that was.
      const credit = { from: BETA, to: ALPHA, bytes: sent.cost };
      beta.send({ t: 'credit', ...ofRun(run.spec), ...credit });
      isHeld = true;
      for (let turn = 0; turn < 30 && isHeld; turn += 1)
        isHeld = !(await heard()).includes('credit');
    }
    expect(isHeld).toBe(true);
    expect(bufferedMax).toBeGreaterThan(SEND_BUFFER_BYTES_HIGH);
    expect(bufferedMax).toBeLessThanOrEqual(SEND_BUFFER_BYTES_HIGH + run.window);
    expect(betaLink().connection.isOpen).toBe(true);
    // The control: what it takes, others may send again.
    beta.socket.resume();
    while (!(await heard()).includes('credit'));
  });

  it('keeps its link however many runs send to it, and what they hold has one bound', async () => {
    beta.socket.pause();
    const runs: Opened[] = [];
    for (let at = 0; at < 60; at += 1) runs.push(await open());
    let sentBytes = 0;
    for (const run of runs) {
      sentBytes += flood(run).cost;
      await heard();
    }
    const { connection } = betaLink();
    expect(connection.bufferedBytes).toBeLessThanOrEqual(PARTY_INBOX_BYTES_MAX / 2);
    expect(connection.isOpen).toBe(true);
    // The control: they all sent what they might, and the first no less than one alone.
    expect(sentBytes).toBeGreaterThan(PARTY_INBOX_BYTES_MAX / 3);
    expect(runs[0]?.window).toBeGreaterThan(100 * (runs[59]?.window ?? 0));
  });

  it('gets the room of runs that ended back as it drains, not before', async () => {
    const first = await open();
    beta.socket.pause();
    const windows: number[] = [];
    for (let at = 0; at < 40; at += 1) {
      const spec = newRun([ALPHA, BETA]);
      const channel = world.server.openRunChannel(spec);
      let frame = await alpha.nextFrame();
      while (frame.t !== 'open') frame = await alpha.nextFrame();
      windows.push(frame.window);
      flood({ spec, window: frame.window });
      await heard();
      channel.close();
    }
    // As if all were open still, but for what the system took before it stood still.
    expect(windows.at(-1)).toBeLessThan(first.window / 4);
    expect(betaLink().connection.bufferedBytes).toBeLessThanOrEqual(PARTY_INBOX_BYTES_MAX / 2);
    beta.socket.resume();
    while (betaLink().connection.bufferedBytes > 0) await heard();
    const again = await open();
    expect(again.window).toBeGreaterThan(first.window * 0.9);
  });
});
