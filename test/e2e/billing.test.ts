/** Billing over real HTTP: events, statement, correction, signed webhook, dead letters, access. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyWebhook } from '../../src/contracts/webhook.ts';
import { startTestGateway, type TestGateway } from '../fixtures/gateway.ts';
import {
  account,
  draft,
  reserveCommand,
  runIdOf,
  settleCommand,
  units,
} from '../support/ledger-commands.ts';

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

describe('billing over HTTP', () => {
  let gateway: TestGateway;
  let billing = '';
  let operator = '';
  const received: Received[] = [];
  let answer = 200;
  let receiver: Server;

  beforeAll(async () => {
    gateway = await startTestGateway();
    billing = await gateway.tokenFor('billing');
    operator = await gateway.tokenFor('operator');
    receiver = createServer((request, reply) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        received.push({ headers: request.headers as Record<string, string>, body });
        reply.writeHead(answer).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    await post(1);
  });
  afterAll(async () => {
    receiver.close();
    await gateway.close();
  });

  /** One posted run in the ledger. */
  async function post(index: number): Promise<void> {
    const runId = runIdOf(index);
    const quota = account('contract:c', 'runs', 100);
    await gateway.ledger.reserve(reserveCommand(`airline/${index}`, runId, [[quota, 1]]));
    const settled = settleCommand(runId, 'posted', { runs: 1 });
    const record = {
      ...draft(`record-${index}`, 'posted', runId, { runs: units(1) }),
      chargeMicros: 5_000_000n,
    };
    await gateway.ledger.settle({ ...settled, record });
  }

  const ask = async (path: string, token: string): Promise<[number, unknown]> => {
    const reply = await gateway.call(path, { token });
    return [reply.status, await reply.json()];
  };

  it('hands out records as a CloudEvents batch', async () => {
    const reply = await gateway.call('/v1/metering/events', { token: billing });
    expect(reply.headers.get('content-type')).toMatch(/^application\/cloudevents-batch\+json/);
    const events = (await reply.json()) as { id: string; data: { chargeMicros: string } }[];
    expect(events.map(({ id }) => id)).toEqual(['record-1']);
    expect(events[0]?.data.chargeMicros).toBe('5000000');
  });

  it('corrects by a new record, once, and the statement shows the difference', async () => {
    const body = { supersedes: '1', chargeMicros: '2000000', reason: 'billed at the wrong tier' };
    const call = (token: string): Promise<Response> =>
      gateway.call('/v1/metering/corrections', { method: 'POST', token, json: body });
    expect((await call(billing)).status).toBe(403);
    const corrected = await call(operator);
    expect(corrected.status).toBe(201);
    expect(await corrected.json()).toMatchObject({ seq: '2', chargeMicros: '2000000' });
    const again = await call(operator);
    expect(again.status).toBe(409);
    const month = new Date(1_790_000_000_000).toISOString().slice(0, 7);
    const now = new Date().toISOString().slice(0, 7);
    const [, first] = await ask(`/v1/metering/statement?analyst=airline&month=${month}`, billing);
    expect(first).toMatchObject({ analyst: 'airline', totalMicros: { CNY: '5000000' } });
    const [, second] = await ask(`/v1/metering/statement?analyst=airline&month=${now}`, billing);
    expect(second).toMatchObject({ lines: [{ corrections: '1', chargeMicros: '-3000000' }] });
    expect((await ask('/v1/metering/statement?analyst=airline&month=2026-13', billing))[0]).toBe(
      422,
    );
  });

  it('tells a receiver of each record, signed, and again by hand', async () => {
    // What was recorded before there was a receiver is told to nobody.
    await gateway.webhooks.tick();
    const { port } = receiver.address() as AddressInfo;
    const created = await gateway.call('/v1/webhooks', {
      method: 'POST',
      token: billing,
      json: { url: `http://127.0.0.1:${port}/hook`, label: 'test' },
    });
    expect(created.status).toBe(201);
    const { id, secret } = (await created.json()) as { id: string; secret: string };
    await post(3);
    await gateway.webhooks.tick();
    expect(received).toHaveLength(1);
    const [first] = received;
    const { headers, body } = first ?? { headers: {}, body: '' };
    expect(() => verifyWebhook(secret, headers, Date.now(), body)).not.toThrow();
    expect(() => verifyWebhook(secret, headers, Date.now(), `${body} `)).toThrow();
    const [, listed] = await ask('/v1/webhooks', billing);
    expect(JSON.stringify(listed)).not.toContain(secret);
    const again = await gateway.call(`/v1/webhooks/${id}/redeliver`, {
      method: 'POST',
      token: billing,
      json: { seq: '3' },
    });
    expect(again.status).toBe(202);
    await gateway.webhooks.tick();
    expect(received).toHaveLength(2);
    expect(received[1]?.headers['webhook-id']).toBe(headers['webhook-id']);
  });

  it('shows what a receiver that is gone did not take', async () => {
    answer = 410;
    await post(4);
    await gateway.webhooks.tick();
    const [, dead] = await ask('/v1/webhook-dead-letters', billing);
    expect(dead).toMatchObject({ deliveries: [{ seq: '4', attempts: 1 }] });
    const [, listed] = await ask('/v1/webhooks', billing);
    expect(listed).toMatchObject({ webhooks: [{ state: 'disabled' }] });
  });

  it('refuses an analyst, an address that leads inside, and an unknown webhook', async () => {
    const analyst = await gateway.tokenFor('analyst', 'airline');
    for (const path of ['/v1/metering/events', '/v1/webhooks', '/v1/webhook-dead-letters']) {
      expect((await ask(path, analyst))[0]).toBe(403);
    }
    for (const url of ['http://example.org/', 'ftp://example.org', 'https://a:b@example.org/']) {
      const reply = await gateway.call('/v1/webhooks', {
        method: 'POST',
        token: billing,
        json: { url },
      });
      expect(reply.status).toBe(422);
    }
    const unknown = '01a20023-6b3a-7c5f-ab9f-f8781f3a004a';
    const reply = await gateway.call(`/v1/webhooks/${unknown}`, {
      method: 'DELETE',
      token: billing,
    });
    expect(reply.status).toBe(404);
  });
});
