/** What is refused before any service is asked: bodies, addresses, tokens. */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CreatedTokenSchema, TokenListSchema } from '../../src/contracts/api.ts';
import { ANALYST, makeCast, makeContract } from '../fixtures/contract.ts';
import {
  problemOfResponse,
  startTestGateway,
  type CallInit,
  type TestGateway,
} from '../fixtures/gateway.ts';

const UNKNOWN_RUN = '0190c9a0-0000-7000-8000-00000000dead';
const contract = makeContract(makeCast());
let gateway: TestGateway;
let analyst: string;
let billing: string;
let operator: string;

beforeAll(async () => {
  gateway = await startTestGateway();
  analyst = await gateway.tokenFor('analyst', ANALYST);
  billing = await gateway.tokenFor('billing');
  operator = await gateway.tokenFor('operator');
});
afterAll(async () => {
  await gateway.close();
});

const codeOf = async (path: string, init?: CallInit): Promise<unknown> =>
  (await problemOfResponse(await gateway.call(path, init)))['code'];

describe('bodies', () => {
  const post = (
    body: string | Buffer,
    headers: Record<string, string> = {},
    path = '/v1/explain',
  ): Promise<Response> =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${analyst}`,
        'content-type': 'application/json',
        ...headers,
      },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    });
  const explain = { contractId: contract.id, arguments: {} };

  it.each([
    ['not JSON', '{"a":', 'invalid-json'],
    ['empty', '', 'invalid-json'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'invalid-json'],
    ['with a byte order mark', '\ufeff{}', 'invalid-json'],
    ['nested too deep', `${'['.repeat(40)}${']'.repeat(40)}`, 'malformed-message'],
    [
      'nested a hundred thousand deep',
      '['.repeat(100_000) + ']'.repeat(100_000),
      'malformed-message',
    ],
    ['with a __proto__', '{"__proto__":{}}', 'malformed-message'],
    ['of another shape', '[]', 'malformed-message'],
  ])('%s are refused', async (_name, body, code) => {
    expect((await problemOfResponse(await post(body)))['code']).toBe(code);
  });

  it('of another content type or encoding are refused', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=latin1' },
      { 'content-encoding': 'gzip' },
    ]) {
      const problem = await problemOfResponse(await post(JSON.stringify(explain), headers));
      expect(problem['code']).toBe('malformed-message');
      expect(problem['path']).toMatch(/^content-/);
    }
    const plain = await post(JSON.stringify(explain), {
      'content-type': 'Application/JSON; charset="UTF-8"',
    });
    expect(plain.status).toBe(200);
  });

  it('over the limit are refused, whether declared or sent in chunks', async () => {
    const big = JSON.stringify({ ...explain, pad: 'x'.repeat(17 * 1024 * 1024) });
    expect((await problemOfResponse(await post(big)))['code']).toBe('body-too-large');
    const chunked = await new Promise<number | undefined>((resolve, reject) => {
      const outgoing = httpRequest(
        `${gateway.url}/v1/enrolments`,
        { method: 'POST', headers: { 'content-type': 'application/json' } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      );
      outgoing.on('error', reject);
      outgoing.write('"'.padEnd(20_000, 'x'));
      outgoing.write('x'.repeat(20_000));
      // Not ended: the answer comes before the body does.
    });
    expect(chunked).toBe(413);
  });

  it('with an unknown key anywhere name its place', async () => {
    const draft = { contract, arguments: {} };
    const places: [unknown, string][] = [
      [{ ...explain, extra: 1 }, '/extra'],
      [{ ...draft, contract: { ...contract, extra: 1 } }, '/contract/extra'],
      [
        { ...draft, contract: { ...contract, limits: { ...contract.limits, extra: 1 } } },
        '/contract/limits/extra',
      ],
      [
        {
          ...draft,
          contract: { ...contract, holders: [{ ...contract.holders[0], 'a/b~c': 1 }] },
        },
        '/contract/holders/0/a~1b~0c',
      ],
      [
        {
          ...draft,
          contract: {
            ...contract,
            plan: { ...contract.plan, measures: [{ as: 'n', fn: 'count', extra: 1 }] },
          },
        },
        '/contract/plan/measures/0/extra',
      ],
    ];
    for (const [body, path] of places) {
      const problem = await problemOfResponse(await post(JSON.stringify(body)));
      expect(problem).toMatchObject({ code: 'malformed-message', path });
    }
  });

  it('never come back in a refusal', async () => {
    const marker = 'marked-value-7431';
    for (const body of [
      { ...explain, contractId: marker },
      { ...explain, arguments: { hours: [marker.repeat(40)] } },
      { contract: { ...contract, format: marker }, arguments: {} },
    ]) {
      const text = await (await post(JSON.stringify(body))).text();
      expect(text).toContain('malformed-message');
      expect(text).not.toContain(marker);
    }
  });
});

describe('addresses', () => {
  it('refuse unknown, repeated and malformed parameters', async () => {
    for (const path of [
      '/v1/contracts?nonsense=1',
      '/v1/contracts?limit=1&limit=2',
      '/v1/contracts?limit=0',
      '/v1/contracts?limit=100000',
      '/v1/contracts?after=abc',
      '/v1/contracts/not-an-id',
      '/v1/runs/not-an-id',
    ]) {
      expect([path, await codeOf(path, { token: analyst })]).toEqual([path, 'malformed-message']);
    }
  });

  it('that do not exist are problems too', async () => {
    expect(await codeOf('/v1/nothing')).toBe('route-unknown');
    expect(await codeOf('/v1/runs', { method: 'PATCH', token: analyst })).toBe('route-unknown');
    expect(await codeOf('/%zz')).toBe('route-unknown');
  });
});

describe('tokens', () => {
  it('are needed on every route but the open ones', async () => {
    const document = (await (await gateway.call('/openapi.json')).json()) as {
      paths: Record<string, Record<string, { security: unknown[] }>>;
    };
    let guarded = 0;
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, { security }] of Object.entries(methods)) {
        if (security.length === 0) continue;
        guarded += 1;
        const address = path.replaceAll(/\{\w+\}/g, UNKNOWN_RUN);
        const upper = method.toUpperCase();
        expect(await codeOf(address, { method: upper })).toBe('credential-missing');
        expect(await codeOf(address, { method: upper, token: 'nonsense' })).toBe(
          'credential-invalid',
        );
      }
    }
    expect(guarded).toBeGreaterThanOrEqual(16);
  });

  it('of one role open no other role’s routes', async () => {
    const cases: [string, string, string][] = [
      ['GET', '/v1/metering/records', analyst],
      ['GET', '/v1/metering/usage', analyst],
      ['GET', '/v1/domains', analyst],
      ['GET', '/v1/tokens', analyst],
      ['POST', '/v1/tokens', analyst],
      ['POST', '/v1/enrolment-tokens', billing],
      ['GET', '/v1/tokens', billing],
      ['GET', '/v1/contracts', billing],
      ['GET', '/v1/catalog/datasets', billing],
      ['GET', `/v1/runs/${UNKNOWN_RUN}`, billing],
      ['POST', '/v1/runs', operator],
      ['GET', `/v1/runs/${UNKNOWN_RUN}/result`, operator],
      ['POST', '/v1/contracts', operator],
    ];
    for (const [method, path, token] of cases) {
      expect([path, await codeOf(path, { method, token })]).toEqual([path, 'scope-insufficient']);
    }
  });

  it('are created, listed without their secret, and revoked at once', async () => {
    const created = CreatedTokenSchema.parse(
      await (
        await gateway.call('/v1/tokens', {
          token: operator,
          json: { role: 'analyst', party: 'newcomer', label: 'laptop', ttlS: 60 },
        })
      ).json(),
    );
    expect(created.token).toMatch(/^weir_analyst_[A-Za-z0-9_-]{43}$/);
    const path = `/v1/runs/${UNKNOWN_RUN}`;
    expect(await codeOf(path, { token: created.token })).toBe('run-unknown');
    const listText = await (await gateway.call('/v1/tokens', { token: operator })).text();
    expect(TokenListSchema.parse(JSON.parse(listText)).tokens.map(({ id }) => id)).toContain(
      created.id,
    );
    expect(listText).not.toContain(created.token.slice(13));
    const revoked = await gateway.call(`/v1/tokens/${created.id}`, {
      method: 'DELETE',
      token: operator,
    });
    expect(((await revoked.json()) as { revokedAt: string }).revokedAt).toMatch(/Z$/);
    expect(await codeOf(path, { token: created.token })).toBe('credential-invalid');
    expect(await codeOf(`/v1/tokens/${UNKNOWN_RUN}`, { method: 'DELETE', token: operator })).toBe(
      'route-unknown',
    );
  });

  it('expire', async () => {
    const { token } = await gateway.tokens.create({
      role: 'analyst',
      party: ANALYST,
      label: 'past',
      ttlS: -1,
    });
    expect(await codeOf(`/v1/runs/${UNKNOWN_RUN}`, { token })).toBe('credential-expired');
  });

  it('are nowhere in the store, the log, the metrics or an answer', async () => {
    const secret = analyst.slice('weir_analyst_'.length);
    await codeOf(`/v1/runs/${UNKNOWN_RUN}`, { token: `${analyst.slice(0, -1)}!` });
    const rows = await gateway.store.query('SELECT * FROM api_token');
    const audit = await gateway.store.query('SELECT * FROM audit_entry');
    const text = JSON.stringify([rows, audit], (_key, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value,
    );
    expect(text).toContain('token.created');
    const metrics = await (await gateway.call('/metrics')).text();
    for (const place of [text, gateway.logged(), metrics]) {
      expect(place).not.toContain(secret);
      expect(place.length).toBeGreaterThan(100);
    }
  });
});
