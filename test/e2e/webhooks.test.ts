/** Webhooks to real HTTP receivers, on both stores, with a clock that the test holds. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyWebhook } from '../../src/contracts/webhook.ts';
import { recordHash, encodeRecord } from '../../src/ledger/record.ts';
import { WEBHOOK_MIGRATIONS } from '../../src/ledger/webhook-rows.ts';
import { ATTEMPTS_MAX, BACKOFF_MS, Webhooks } from '../../src/ledger/webhooks.ts';
import type { Clock } from '../../src/system/clock.ts';
import { systemRandom } from '../../src/system/random.ts';
import { draft } from '../support/ledger-commands.ts';
import { postgresKind, sqliteKind, type TestStore } from '../support/test-stores.ts';

interface Message {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const postgres = await postgresKind();
afterAll(() => postgres.stop());

class HeldClock implements Clock {
  nowMs = 1_790_000_000_000;
  now(): number {
    return this.nowMs;
  }
  monotonic(): number {
    return this.nowMs;
  }
  sleep(_: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

describe.each([sqliteKind, postgres])('webhooks on $name', (kind) => {
  if (kind.missing !== undefined) {
    it.skip(`is not tested: ${kind.missing}`);
    return;
  }
  let opened: TestStore;
  let clock: HeldClock;
  let server: Server;
  let url: string;
  let messages: Message[];
  let status: (attempt: number) => number;
  let hooks: Webhooks;
  const problems: string[] = [];

  const open = (): Webhooks =>
    new Webhooks({
      store: opened.store,
      clock,
      random: systemRandom,
      source: 'urn:weir:gateway:test',
      onProblem: ({ what }) => problems.push(what),
    });

  beforeEach(async () => {
    opened = await kind.open([WEBHOOK_MIGRATIONS]);
    clock = new HeldClock();
    messages = [];
    problems.length = 0;
    status = () => 204;
    server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        messages.push({ headers: request.headers as Record<string, string>, body });
        response.writeHead(status(messages.length), { location: '/elsewhere' }).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    hooks = open();
  });
  afterEach(async () => {
    await hooks.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await opened.remove();
  });

  const record = (name: string) =>
    opened.ledger.recordDenied(draft(name, 'denied', undefined), {
      kind: 'call.denied',
      atMs: 1,
      facts: {},
    });

  it('tells each record once, signed, as an event whose data is the record', async () => {
    await record('before');
    await hooks.tick();
    const { secret } = await hooks.add(url, 'billing');
    await record('after');
    expect(await hooks.tick()).toBe(1);
    expect(await hooks.tick()).toBe(0);
    const [message] = messages;
    if (message === undefined) throw new Error('nothing came');
    verifyWebhook(secret, message.headers, clock.now(), message.body);
    expect(message.headers).toMatchObject({
      'webhook-id': 'after',
      'content-type': 'application/cloudevents+json; charset=utf-8',
    });
    const event = JSON.parse(message.body) as { id: string; data: unknown };
    expect(event.id).toBe('after');
    const [stored] = await opened.ledger.records(1n, 1);
    expect(stored && recordHash(encodeRecord(stored))).toBe(recordHash(JSON.stringify(event.data)));
    expect(await opened.store.query('SELECT seq FROM ledger_told')).toEqual([{ seq: 2n }]);
  });

  it('tries again with growing waits, then keeps a dead letter that can be sent again', async () => {
    const { id } = await hooks.add(url, 'billing');
    await record('a');
    status = () => 500;
    for (const wait of BACKOFF_MS) {
      expect(await hooks.tick()).toBe(1);
      clock.nowMs += wait - 1;
      expect(await hooks.tick()).toBe(0);
      // The wait is stretched by a fifth at most.
      clock.nowMs += wait * 0.2 + 2;
    }
    expect(await hooks.tick()).toBe(1);
    expect(messages).toHaveLength(ATTEMPTS_MAX);
    clock.nowMs += 30 * 86_400_000;
    expect(await hooks.tick()).toBe(0);
    expect(await hooks.deadLetters(0n, 10)).toMatchObject([
      { endpointId: id, seq: 1n, state: 'dead', attempts: ATTEMPTS_MAX, answer: 'status 500' },
    ]);
    expect(new Set(messages.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(['a']));
    status = () => 200;
    await hooks.redeliver(id, 1n);
    expect(await hooks.tick()).toBe(1);
    expect(await hooks.deadLetters(0n, 10)).toEqual([]);
    expect(problems.every((what) => what === 'record 1 was not taken: status 500')).toBe(true);
  });

  it('follows no redirect, and takes 410 as the wish to be left alone', async () => {
    const { id } = await hooks.add(url, 'billing');
    await record('a');
    status = (attempt) => (attempt === 1 ? 302 : 410);
    await hooks.tick();
    expect(messages).toHaveLength(1);
    clock.nowMs += 6_000;
    await hooks.tick();
    expect(await hooks.list()).toMatchObject([{ id, state: 'disabled' }]);
    await record('b');
    expect(await hooks.tick()).toBe(0);
    await hooks.enable(id);
    status = () => 200;
    await hooks.redeliver(id, 1n);
    await hooks.redeliver(id, 2n);
    expect(await hooks.tick()).toBe(2);
  });

  it('attempts a delivery from one gateway only, and again when that gateway died with it', async () => {
    await hooks.add(url, 'billing');
    await record('a');
    const other = open();
    const attempts = await Promise.all([hooks.tick(), other.tick()]);
    expect(messages).toHaveLength(1);
    expect(Math.max(...attempts)).toBe(1);
    await record('b');
    status = () => {
      void other.close();
      return 200;
    };
    // Claimed, and never concluded: as if the gateway had died between the answer and the write.
    await opened.store.execute([
      {
        sql: `UPDATE webhook_delivery SET state = 'pending', attempts = 1, next_at_ms = ? WHERE seq = 1`,
        params: [clock.now() + 120_000],
        expectChanges: 1,
      },
    ]);
    await hooks.tick();
    expect(messages.map(({ headers }) => headers['webhook-id'])).toEqual(['a', 'b']);
    clock.nowMs += 120_001;
    await hooks.tick();
    expect(messages.map(({ headers }) => headers['webhook-id'])).toEqual(['a', 'b', 'a']);
  });

  it('shows no secret, and forgets a receiver with all that was to be told to it', async () => {
    const { id, secret } = await hooks.add(url, 'billing');
    expect(JSON.stringify(await hooks.list())).not.toContain(secret.slice(6));
    await record('a');
    await hooks.remove(id);
    expect(await hooks.tick()).toBe(0);
    await expect(hooks.remove(id)).rejects.toMatchObject({ code: 'route-unknown' });
    await expect(hooks.redeliver(id, 1n)).rejects.toMatchObject({ code: 'route-unknown' });
  });

  it('takes https addresses, and http on this machine only', async () => {
    for (const wrong of [
      'http://example.org/',
      'https://user:pass@example.org/',
      'ftp://x/',
      'x',
      '',
    ]) {
      await expect(hooks.add(wrong, '')).rejects.toMatchObject({ code: 'parameter-invalid' });
    }
    await hooks.add('https://example.org/hook', 'far');
    await hooks.add('http://[::1]:9/hook', 'near');
  });

  it('runs by itself, and ends when it is told to', async () => {
    await hooks.add(url, 'billing');
    await record('a');
    hooks.start();
    while (messages.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await hooks.close();
    expect(messages).toHaveLength(1);
  });
});
