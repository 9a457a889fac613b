import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  AbortError,
  CapacityError,
  IdentityError,
  InputError,
  InvariantError,
  MeteringError,
  PolicyError,
  SetupError,
  StateError,
  WeirError,
} from '../../src/errors.ts';
import type { DomainConnection } from '../../src/link/domain-connection.ts';
import type { Link } from '../../src/link/link.ts';
import { BODY_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX } from '../../src/link/limits.ts';
import { GATEWAY } from '../../src/system/ids.ts';
import { ALPHA, BETA, StatusLog, type World, openWorld } from './link-world.ts';
import { joinRaw } from './raw-peer.ts';

let world: World;
let domain: DomainConnection;
let log: StatusLog;
/** Both ends of one link, each with what makes it answer. */
let ends: [Link, { handle: DomainConnection['handle'] }][];

beforeEach(async () => {
  world = await openWorld();
  log = new StatusLog();
  domain = await world.join(ALPHA, { onStatus: log.add });
  const toDomain = world.server.linkOf(ALPHA);
  const toGateway = domain.link();
  if (toDomain === undefined || toGateway === undefined) throw new Error('no link');
  ends = [
    [toDomain, domain],
    [toGateway, world.server],
  ];
});
afterEach(() => world.close());

describe('a request over the link', () => {
  it('is answered in either direction, whatever plain value it carries', async () => {
    const bodies = [
      null,
      true,
      1.5,
      -7,
      2 ** 40,
      2n ** 62n,
      'ü€',
      new Uint8Array([1, 2, 3]),
      [1, [2, {}]],
      { a: { b: [null] } },
    ];
    for (const [link, other] of ends) {
      other.handle('echo', (body) => body);
      for (const body of bodies) expect(await link.request('echo', body)).toEqual(body);
      const answers = Array.from({ length: 50 }, (_, index) => link.request('echo', index));
      expect(await Promise.all(answers)).toEqual(Array.from({ length: 50 }, (_, index) => index));
    }
  });

  it('names who asks', async () => {
    for (const [, other] of ends) other.handle('who', (_body, { party }) => party);
    expect(await ends[0]?.[0].request('who', null)).toBe(GATEWAY);
    expect(await ends[1]?.[0].request('who', null)).toBe(ALPHA);
  });

  it('brings back each error as the class it was, with code, sentence and facts', async () => {
    const errors = [
      new InputError('parameter-invalid', 'No.', { column: 'c', rule: 'r' }),
      new IdentityError('party-not-pinned', 'No.', { party: 'gamma' }),
      new StateError('request-replayed', 'No.'),
      new PolicyError('refused-by-officer', 'No.', { dependedOnRows: true }),
      new MeteringError('contract-counter-exhausted', 'No.', { left: '0', retryAfterS: 3 }),
      new AbortError('tag-mismatch', 'No.'),
      new CapacityError('disk-full', 'No.', { path: '/p' }),
      new SetupError('source-missing', 'No.'),
    ];
    for (const [link, other] of ends) {
      for (const error of errors) {
        other.handle('fail', () => {
          throw error;
        });
        const caught = await link.request('fail', null).catch((reason: unknown) => reason);
        expect(caught).toBeInstanceOf(error.constructor);
        expect(caught).toMatchObject({
          code: error.code,
          message: error.message,
          facts: { party: link.peer, ...error.facts },
        });
      }
    }
  });

  it('tells nothing of a bug but that there was one', async () => {
    for (const bug of [new Error('secret value'), new InvariantError('internal', 'secret')]) {
      const told = log.next('bug');
      domain.handle('bug', () => {
        throw bug;
      });
      const caught = await ends[0]?.[0].request('bug', null).catch((reason: unknown) => reason);
      expect(caught).toBeInstanceOf(AbortError);
      expect(caught).toMatchObject({ code: 'domain-failed', facts: { party: ALPHA } });
      expect(JSON.stringify(caught)).not.toContain('secret');
      expect(await told).toMatchObject({ method: 'bug', error: bug });
    }
  });

  it('fails for an unknown method, an oversize body and a body that is not plain', async () => {
    for (const [link, other] of ends) {
      other.handle('echo', (body) => body);
      await expect(link.request('absent', null)).rejects.toMatchObject({ code: 'route-unknown' });
      const most = new Uint8Array(BODY_BYTES_MAX - 5);
      expect(await link.request('echo', most)).toHaveLength(most.length);
      await expect(link.request('echo', new Uint8Array(BODY_BYTES_MAX))).rejects.toMatchObject({
        code: 'frame-too-large',
      });
      for (const body of [undefined, { a: undefined }, [new Date()], 2n ** 70n]) {
        await expect(link.request('echo', body)).rejects.toBeInstanceOf(WeirError);
      }
      other.handle('large', () => new Uint8Array(BODY_BYTES_MAX));
      await expect(link.request('large', null)).rejects.toMatchObject({ code: 'domain-failed' });
      // None of it harmed the link.
      expect(await link.request('echo', 'well')).toBe('well');
    }
  });

  it('cancels at the other end, by time and by signal', async () => {
    for (const [link, other] of ends) {
      const heard: unknown[] = [];
      let stopped = Promise.withResolvers<void>();
      other.handle(
        'wait',
        (_body, { signal }) =>
          new Promise((resolve) => {
            signal.addEventListener('abort', () => {
              heard.push(signal.reason);
              stopped.resolve();
              resolve('too late');
            });
          }),
      );
      await expect(link.request('wait', null, { timeoutMs: 30 })).rejects.toMatchObject({
        code: 'domain-unreachable',
        facts: { party: link.peer },
      });
      await stopped.promise;
      stopped = Promise.withResolvers();
      const reason = new StateError('run-cancelled', 'The analyst cancelled.');
      const controller = new AbortController();
      const answer = link.request('wait', null, { signal: controller.signal });
      controller.abort(reason);
      await expect(answer).rejects.toBe(reason);
      await stopped.promise;
      expect(heard).toHaveLength(2);
      await expect(
        link.request('wait', null, { signal: AbortSignal.abort() }),
      ).rejects.toMatchObject({ code: 'run-cancelled' });
      other.handle('echo', (body) => body);
      expect(await link.request('echo', 'well')).toBe('well');
    }
  });

  it('is bounded in number, and room comes back', async () => {
    for (const [link, other] of ends) {
      const gate = Promise.withResolvers<void>();
      other.handle('held', async () => gate.promise);
      const held = Array.from({ length: REQUESTS_IN_FLIGHT_MAX }, () => link.request('held', null));
      await expect(link.request('held', null)).rejects.toMatchObject({ code: 'queue-full' });
      gate.resolve();
      await Promise.all(held);
      expect(await link.request('held', null)).toBeNull();
    }
  });

  it('fails when the link is lost, at both ends', async () => {
    const stopped = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    domain.handle('wait', (_body, { signal }) => {
      signal.addEventListener('abort', () => stopped.resolve(signal.reason));
      started.resolve();
      return new Promise(() => undefined);
    });
    const link = world.server.linkOf(ALPHA);
    const answer = link?.request('wait', null);
    await started.promise;
    domain.link()?.close();
    await expect(answer).rejects.toMatchObject({ code: 'domain-left', facts: { party: ALPHA } });
    expect(await stopped.promise).toMatchObject({ code: 'domain-left' });
    await expect(link?.request('wait', null)).rejects.toMatchObject({ code: 'domain-left' });
  });
});

describe('a peer that keeps to no rule', () => {
  it('gets `queue-full` for more requests than are allowed, never memory', async () => {
    const gate = Promise.withResolvers<void>();
    world.server.handle('held', async () => gate.promise);
    const raw = await joinRaw(world, BETA);
    for (let id = 0; id <= REQUESTS_IN_FLIGHT_MAX; id += 1) {
      raw.send({ t: 'request', id, method: 'held', body: null });
    }
    expect(await raw.nextFrame()).toMatchObject({
      t: 'failure',
      id: REQUESTS_IN_FLIGHT_MAX,
      error: { code: 'queue-full' },
    });
    gate.resolve();
    expect(await raw.nextFrame()).toMatchObject({ t: 'answer', id: 0 });
    // 16 MiB of bodies are held at most: the seventeenth full one is refused.
    const bodies = Promise.withResolvers<void>();
    world.server.handle('bodies', async () => bodies.promise);
    for (let id = 0; id < REQUESTS_IN_FLIGHT_MAX - 1; id += 1) await raw.nextFrame();
    for (let at = 1; at <= 17; at += 1) {
      const id = REQUESTS_IN_FLIGHT_MAX + at;
      raw.send({ t: 'request', id, method: 'bodies', body: new Uint8Array(BODY_BYTES_MAX) });
    }
    expect(await raw.nextFrame()).toMatchObject({ id: REQUESTS_IN_FLIGHT_MAX + 17 });
    bodies.resolve();
    raw.socket.terminate();
  });

  it('sees nothing of a bug on the wire either', async () => {
    const raw = await joinRaw(world, BETA);
    const bugs = [
      new Error('secret'),
      new InvariantError('internal', 'secret', { path: 'secret' }),
    ];
    for (const [id, bug] of bugs.entries()) {
      world.server.handle('bug', () => {
        throw bug;
      });
      raw.send({ t: 'request', id, method: 'bug', body: null });
      const error = { code: 'internal', message: 'An internal error.', facts: {} };
      expect(await raw.nextFrame()).toEqual({ t: 'failure', n: id, id, error });
    }
    raw.socket.terminate();
  });

  it('cannot invent codes: an unknown one is `domain-failed`', async () => {
    const raw = await joinRaw(world, BETA);
    const answer = world.server.linkOf(BETA)?.request('ask', null);
    expect(await raw.nextFrame()).toMatchObject({ t: 'request', id: 0 });
    const error = { code: 'made-up', message: 'secret', facts: {} };
    raw.send({ t: 'failure', id: 0, error });
    await expect(answer).rejects.toMatchObject({
      code: 'domain-failed',
      facts: { party: BETA },
    });
    raw.socket.terminate();
  });
});
