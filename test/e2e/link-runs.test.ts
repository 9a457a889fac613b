import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AbortError, StateError } from '../../src/errors.ts';
import { GATEWAY } from '../../src/system/ids.ts';
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
});
