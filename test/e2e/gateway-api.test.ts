/** The routes over real sockets: who may call what, and what each answer looks like. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ContractBodySchema,
  ContractPageSchema,
  ExplainBodySchema,
  MeteringPageSchema,
  RunBodySchema,
  StartedRunSchema,
  UsageBodySchema,
} from '../../src/contracts/api.ts';
import { signRequest } from '../../src/contracts/signed-documents.ts';
import { ERROR_CODES, errorOfCode } from '../../src/errors.ts';
import { PROBLEM_TABLE } from '../../src/gateway/problem-table.ts';
import { ANALYST, makeCast, makeContract, makeRequest, signByAll } from '../fixtures/contract.ts';
import {
  problemOfResponse,
  startTestGateway,
  type CallInit,
  type TestGateway,
} from '../fixtures/gateway.ts';

const UNKNOWN_RUN = '0190c9a0-0000-7000-8000-00000000dead';
const cast = makeCast();
const contract = makeContract(cast);
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

const signed = () => signRequest(makeRequest(contract), cast.keyOf(ANALYST));
const codeOf = async (path: string, init?: CallInit): Promise<unknown> =>
  (await problemOfResponse(await gateway.call(path, init)))['code'];
let keys = 0;
const start = (json: unknown, key = `key-${(keys += 1)}`, token = analyst): Promise<Response> =>
  gateway.call('/v1/runs', { token, json, headers: { 'idempotency-key': key } });

describe('runs', () => {
  it('start once for one Idempotency-Key, and answer the same again', async () => {
    const body = signed();
    const first = await start(body, 'once');
    expect(first.status).toBe(202);
    const started = StartedRunSchema.parse(await first.json());
    expect(started.repeated).toBe(false);
    expect(first.headers.get('location')).toBe(`/v1/runs/${started.runId}`);
    const again = StartedRunSchema.parse(await (await start(body, 'once')).json());
    expect(again).toEqual({ ...started, repeated: true });
    const run = await gateway.call(`/v1/runs/${started.runId}`, { token: analyst });
    expect(RunBodySchema.parse(await run.json()).contractId).toBe(contract.id);
  });

  it('tell the limits of the token and of the contract', async () => {
    const answer = await start(signed());
    expect(answer.headers.get('ratelimit-policy')).toMatch(
      /^"calls";q=\d+;w=\d+, "runs\/lifetime";q=10;qu="runs"$/,
    );
    expect(answer.headers.get('ratelimit')).toMatch(
      /^"calls";r=\d+;t=\d+, "runs\/lifetime";r=\d+$/,
    );
  });

  it('of another analyst look like none', async () => {
    const started = StartedRunSchema.parse(await (await start(signed())).json());
    const stranger = await gateway.tokenFor('analyst', 'stranger');
    for (const [path, method] of [
      [`/v1/runs/${started.runId}`, 'GET'],
      [`/v1/runs/${started.runId}`, 'DELETE'],
      [`/v1/runs/${started.runId}/result`, 'GET'],
      [`/v1/runs/${started.runId}/events`, 'GET'],
    ] as const) {
      expect(await codeOf(path, { method, token: stranger })).toBe('run-unknown');
    }
    expect((await gateway.call(`/v1/runs/${started.runId}`, { token: analyst })).status).toBe(200);
  });

  it('give the sealed result once there is one, and can be cancelled before', async () => {
    const { runId } = StartedRunSchema.parse(await (await start(signed())).json());
    const path = `/v1/runs/${runId}/result`;
    const early = await gateway.call(path, { token: analyst });
    expect(early.headers.get('retry-after')).toBe('5');
    expect((await problemOfResponse(early))['code']).toBe('result-not-ready');
    gateway.runs.post({ runId, sealed: 'a.b.c.d.e', receipt: { receipt: 'as signed' } });
    expect(await (await gateway.call(path, { token: analyst })).json()).toEqual({
      runId,
      sealed: 'a.b.c.d.e',
      receipt: { receipt: 'as signed' },
    });
    const other = StartedRunSchema.parse(await (await start(signed())).json());
    const cancelled = await gateway.call(`/v1/runs/${other.runId}`, {
      method: 'DELETE',
      token: analyst,
    });
    expect(RunBodySchema.parse(await cancelled.json()).state).toBe('voided');
  });
});

describe('refused computation calls', () => {
  const denied = async (): Promise<readonly (string | undefined)[]> =>
    (await gateway.records()).filter(({ outcome }) => outcome === 'denied').map(({ code }) => code);

  it('leave exactly one record of zero units, with the code and the contract', async () => {
    const before = (await gateway.records()).length;
    const startedBefore = gateway.runs.started.length;
    gateway.runs.failure = errorOfCode('contract-revoked', 'Revoked.');
    expect(
      await codeOf('/v1/runs', {
        token: analyst,
        json: signed(),
        headers: { 'idempotency-key': 'denied' },
      }),
    ).toBe('contract-revoked');
    const added = (await gateway.records()).slice(before);
    expect(added).toHaveLength(1);
    expect(added[0]).toMatchObject({
      analyst: ANALYST,
      contractId: contract.id,
      outcome: 'denied',
      code: 'contract-revoked',
      units: {},
      chargeMicros: 0n,
    });
    expect(gateway.runs.started.length).toBe(startedBefore);
  });

  it('count malformed, wrongly scoped and broken ones too, but nobody’s calls are not charged', async () => {
    const before = (await denied()).length;
    await gateway.call('/v1/runs', { token: analyst, json: signed() });
    await start({ ...signed(), extra: 1 });
    await gateway.call('/v1/runs', { token: billing, json: signed() });
    gateway.runs.failure = new TypeError('a bug');
    await start(signed());
    expect((await denied()).slice(before)).toEqual([
      'idempotency-key-missing',
      'malformed-message',
      'scope-insufficient',
      'internal',
    ]);
    await gateway.call('/v1/runs', { json: signed() });
    await gateway.call('/v1/runs', { token: 'weir_analyst_nobody', json: signed() });
    expect((await denied()).length).toBe(before + 4);
  });
});

describe('every code', () => {
  const codes = Object.values(ERROR_CODES).flat();

  it.each(codes)('%s reaches the caller as its problem document', async (code) => {
    gateway.runs.failure = errorOfCode(code, 'A sentence.', { party: 'west', column: 'delay' });
    const response = await gateway.call(`/v1/runs/${UNKNOWN_RUN}`, { token: analyst });
    const problem = await problemOfResponse(response);
    expect(response.status).toBe(PROBLEM_TABLE[code].status);
    expect(problem['status']).toBe(response.status);
    if (response.status === 500) expect(problem['code']).toBe('internal');
    else expect(problem).toMatchObject({ code, party: 'west', column: 'delay' });
    if (response.status === 503) expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    if (response.status === 401) {
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
    }
  });

  it('of a bug is opaque, and the log has its instance and its reason', async () => {
    gateway.runs.failure = new TypeError('the real reason');
    const problem = await problemOfResponse(
      await gateway.call(`/v1/runs/${UNKNOWN_RUN}`, { token: analyst }),
    );
    expect(JSON.stringify(problem)).not.toContain('the real reason');
    expect(gateway.logged()).toContain(String(problem['instance']));
    expect(gateway.logged()).toContain('the real reason');
  });
});

describe('contracts', () => {
  it('are proposed by their own analyst, listed by cursor and read back', async () => {
    const ids: string[] = [];
    for (let index = 1; index <= 5; index += 1) {
      const id = `0190c9a0-0000-7000-8000-0000000001${index}0`;
      const filed = signByAll(makeContract(cast, { id: id as typeof contract.id }), cast);
      const answer = await gateway.call('/v1/contracts', { token: analyst, json: filed });
      expect(answer.status).toBe(201);
      expect(answer.headers.get('location')).toBe(`/v1/contracts/${id}`);
      ids.push(ContractBodySchema.parse(await answer.json()).contract.id);
    }
    const seen: string[] = [];
    let after: string | null = null;
    for (let page = 0; page < 4; page += 1) {
      const query: string = after === null ? '' : `&after=${after}`;
      const answer = await gateway.call(`/v1/contracts?limit=2${query}`, { token: analyst });
      const { contracts, next } = ContractPageSchema.parse(await answer.json());
      seen.push(...contracts.map((view) => view.contract.id));
      after = next;
      if (next === null) break;
    }
    expect(seen).toEqual(ids);
    const stranger = await gateway.tokenFor('analyst', 'stranger');
    expect(await codeOf(`/v1/contracts/${ids[0]}`, { token: stranger })).toBe('contract-unknown');
    expect(
      await codeOf('/v1/contracts', { token: stranger, json: signByAll(contract, cast) }),
    ).toBe('party-not-in-contract');
    const seenByOperator = await gateway.call(`/v1/contracts/${ids[0]}`, { token: operator });
    expect(seenByOperator.status).toBe(200);
  });

  it('take the caller’s own signature alone', async () => {
    const [west] = signByAll(contract, cast).signatures.toReversed();
    const path = '/v1/contracts/0190c9a0-0000-7000-8000-000000000110/signatures';
    expect(await codeOf(path, { token: analyst, json: west })).toBe('party-not-in-contract');
    const [own] = signByAll(contract, cast).signatures;
    expect((await gateway.call(path, { token: analyst, json: own })).status).toBe(200);
  });

  it('can be explained, filed or as a draft', async () => {
    for (const [subject, kind] of [
      [{ contractId: contract.id }, 'filed'],
      [{ contract }, 'draft'],
    ] as const) {
      const answer = await gateway.call('/v1/explain', {
        token: analyst,
        json: { ...subject, arguments: { hours: ['7'] } },
      });
      const body = ExplainBodySchema.parse(await answer.json());
      expect(body).toMatchObject({ engine: kind, units: { rows: (2n ** 60n).toString() } });
    }
  });
});

describe('metering', () => {
  it('pages through all records once, and sums them', async () => {
    for (let index = 0; index < 5; index += 1) await start({ nonsense: index });
    const all = await gateway.records();
    const seen: string[] = [];
    let after = '0';
    for (let page = 0; page < 100; page += 1) {
      const answer = await gateway.call(`/v1/metering/records?limit=3&after=${after}`, {
        token: billing,
      });
      const { records, next, more } = MeteringPageSchema.parse(await answer.json());
      seen.push(...records.map(({ seq }) => seq));
      after = next;
      if (!more) break;
    }
    expect(seen).toEqual(all.map(({ seq }) => seq.toString()));
    const tail = await gateway.call(`/v1/metering/records?after=${after}`, { token: billing });
    expect(await tail.json()).toEqual({ records: [], next: after, more: false });
    const usage = await gateway.call(`/v1/metering/usage?analyst=${ANALYST}`, { token: billing });
    const { lines } = UsageBodySchema.parse(await usage.json());
    const sum = lines.reduce((total, line) => total + BigInt(line.records), 0n);
    expect(sum).toBe(BigInt(all.filter((record) => record.analyst === ANALYST).length));
    const none = await gateway.call('/v1/metering/usage?from=2030-01-01T00:00:00Z', {
      token: billing,
    });
    expect(await none.json()).toEqual({ lines: [] });
  });
});

describe('the OpenAPI document', () => {
  it('describes every route that is served, and no other', async () => {
    const document = (await (await gateway.call('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: object; requestBody?: object }>>;
    };
    expect(document.openapi).toBe('3.1.0');
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = gateway.app.app.routes
      .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`)
      .filter((route) => route !== 'GET /openapi.json');
    expect(described.toSorted()).toEqual([...new Set(served)].toSorted());
    expect(described).toHaveLength(37);
    const start = document.paths['/v1/runs']?.['post'];
    expect(JSON.stringify(start?.requestBody)).toContain('contractHash');
    expect(JSON.stringify(start?.responses)).toContain('quota-exceeded');
  });
});

describe('health', () => {
  it('answers probes, and says no once the gateway stops', async () => {
    expect(await (await gateway.call('/healthz')).json()).toEqual({ status: 'ok' });
    expect((await gateway.call('/readyz')).status).toBe(200);
    const metrics = await (await gateway.call('/metrics')).text();
    expect(metrics).toContain('weir_http_request_seconds_count{route="/v1/runs",method="POST"');
    expect(metrics).toContain('weir_http_problems_total{code="credential-missing"}');
    const other = await startTestGateway({
      services: { readiness: { checks: async () => Promise.reject(new Error('down')) } },
    });
    expect((await other.call('/readyz')).status).toBe(503);
    const token = await other.tokenFor('analyst');
    other.stop();
    const answer = await other.call('/v1/runs', { token, json: signed() });
    expect((await problemOfResponse(answer))['code']).toBe('shutting-down');
    expect((await other.call('/healthz')).status).toBe(200);
    await other.close();
  });
});
