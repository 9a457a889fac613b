/** The socket itself: binding, TLS, senders that are slow, broken or many, and shutdown. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get as httpsGet, type RequestOptions } from 'node:https';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { HttpBindings } from '@hono/node-server';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { signRequest } from '../../src/contracts/signed-documents.ts';
import { SetupError } from '../../src/errors.ts';
import { startServer, type ServerOptions } from '../../src/gateway/server.ts';
import { systemClock } from '../../src/system/clock.ts';
import { createLog } from '../../src/system/log.ts';
import { ANALYST, makeCast, makeContract, makeRequest } from '../fixtures/contract.ts';
import {
  problemOfResponse,
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
} from '../fixtures/gateway.ts';
import { makeTlsFiles } from '../fixtures/tls.ts';

const SECRET_PATH = '/v1/runs/0190c9a0-0000-7000-8000-00000000dead';
let directory: string;
const open: TestGateway[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-tls-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});
afterEach(async () => {
  for (const gateway of open.splice(0)) await gateway.close();
});

async function gatewayWith(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const gateway = await startTestGateway(options);
  open.push(gateway);
  return gateway;
}

/** Sends text over a plain socket; resolves with all that came back once the server has closed it. */
function exchange(port: number, text: string, keepOpen = false): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += String(chunk);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    if (keepOpen) socket.write(text);
    else socket.end(text);
  });
}

const startOptions = (change: Partial<ServerOptions>): ServerOptions => ({
  app: new OpenAPIHono<{ Bindings: HttpBindings }>(),
  host: '127.0.0.1',
  port: 0,
  clock: systemClock,
  log: createLog({ level: 'silent', name: 'test' }),
  ...change,
});

async function refusalOf(change: Partial<ServerOptions>): Promise<SetupError> {
  const error: unknown = await startServer(startOptions(change)).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SetupError)) throw new Error('it started');
  return error;
}

describe('binding', () => {
  it.each(['0.0.0.0', '::', '192.0.2.7', 'gateway.example', '127.0.0.1.example', '1270.0.0.1'])(
    'beyond loopback without TLS is refused: %s',
    async (host) => {
      expect((await refusalOf({ host })).code).toBe('tls-required');
    },
  );

  it('to a port that is taken ends with one sentence', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const error = await refusalOf({ port: address.port });
    expect(error.code).toBe('port-taken');
    expect(error.message).toMatch(/^Port \d+ on 127\.0\.0\.1 is taken: .+\.$/);
    await new Promise((resolve) => other.close(resolve));
  });

  it('with TLS files that are missing or no pair ends with one sentence', async () => {
    const tls = await makeTlsFiles(directory, 'one');
    const missing = await refusalOf({ tls: { ...tls, keyFile: join(directory, 'none.key') } });
    expect(missing).toMatchObject({ code: 'key-unreadable' });
    const other = await makeTlsFiles(directory, 'other');
    const mixed = await refusalOf({ tls: { certFile: tls.certFile, keyFile: other.keyFile } });
    expect(mixed.code).toBe('key-unreadable');
    const junk = join(directory, 'junk.pem');
    writeFileSync(junk, 'marked-secret-file-content');
    const unparsable = await refusalOf({ tls: { certFile: junk, keyFile: junk } });
    expect(unparsable.code).toBe('key-unreadable');
    expect(unparsable.message).not.toContain('marked-secret');
  });
});

describe('TLS', () => {
  const statusOver = (url: string, options: RequestOptions): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      httpsGet(`${url}/healthz`, { agent: false, ...options }, (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode));
      }).on('error', reject);
    });

  it('serves who knows the authority, and nobody below TLS 1.3', async () => {
    const tls = await makeTlsFiles(directory, 'gateway');
    const gateway = await gatewayWith({ tls });
    expect(gateway.url).toMatch(/^https:/);
    const ca = readFileSync(tls.certFile);
    expect(await statusOver(gateway.url, { ca })).toBe(200);
    await expect(statusOver(gateway.url, {})).rejects.toThrow(/self-signed/);
    await expect(statusOver(gateway.url, { ca, maxVersion: 'TLSv1.2' })).rejects.toThrow();
  });
});

describe('senders', () => {
  const cast = makeCast();
  const json = JSON.stringify(signRequest(makeRequest(makeContract(cast)), cast.keyOf(ANALYST)));

  it('that stop in the middle of a body start nothing', async () => {
    const gateway = await gatewayWith();
    const token = await gateway.tokenFor('analyst', ANALYST);
    const head = [
      'POST /v1/runs HTTP/1.1',
      'Host: gateway',
      `Authorization: Bearer ${token}`,
      'Idempotency-Key: cut',
      'Content-Type: application/json',
    ];
    const length = (bytes: number): string =>
      `${head.join('\r\n')}\r\nContent-Length: ${bytes}\r\n\r\n`;
    await exchange(gateway.port, length(json.length) + json.slice(0, -20));
    await exchange(
      gateway.port,
      `${head.join('\r\n')}\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"a"`,
    );
    expect(gateway.runs.started).toEqual([]);
    // The same bytes, whole, do start a run: the control.
    const whole = await exchange(
      gateway.port,
      length(json.length).replace('\r\n', '\r\nConnection: close\r\n') + json,
      true,
    );
    expect(whole).toMatch(/^HTTP\/1\.1 202 /);
    expect(gateway.runs.started).toHaveLength(1);
    expect((await gateway.call('/healthz')).status).toBe(200);
  });

  it('that dribble their head or body are cut off', async () => {
    const gateway = await gatewayWith({
      limits: { headersTimeoutMs: 200, requestTimeoutMs: 400, checkIntervalMs: 50 },
    });
    const slowHead = await exchange(gateway.port, 'GET /healthz HTTP/1.1\r\nHost: g\r\nX-', true);
    expect(slowHead).toMatch(/^HTTP\/1\.1 400 malformed-message\r\n/);
    const slowBody = await exchange(
      gateway.port,
      'POST /v1/enrolments HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{',
      true,
    );
    expect(slowBody).toMatch(/^HTTP\/1\.1 400 /);
    expect((await gateway.call('/healthz')).status).toBe(200);
  });

  it('of what is not HTTP, or of a head over the limit, get a problem', async () => {
    const gateway = await gatewayWith({ limits: { headerBytesMax: 2048 } });
    const garbage = await exchange(gateway.port, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n');
    expect(garbage).toContain('urn:weir:problem:malformed-message');
    const huge = await exchange(
      gateway.port,
      `GET / HTTP/1.1\r\nHost: g\r\nX-Pad: ${'x'.repeat(4096)}\r\n\r\n`,
    );
    expect(huge).toContain('urn:weir:problem:body-too-large');
    const smuggled = await exchange(
      gateway.port,
      'POST /v1/runs HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    expect(smuggled).toContain('urn:weir:problem:malformed-message');
  });

  it('of an upgrade that nobody takes are turned away', async () => {
    const gateway = await gatewayWith();
    const answer = await exchange(
      gateway.port,
      'GET /link HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      true,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 route-unknown\r\n/);
  });

  it('beyond the most connections are dropped, and let in again later', async () => {
    const gateway = await gatewayWith({ limits: { connectionsMax: 2 } });
    const holders = [1, 2].map(() => connect(gateway.port, '127.0.0.1'));
    await Promise.all(
      holders.map((socket) => new Promise((resolve) => socket.on('connect', resolve))),
    );
    expect(await exchange(gateway.port, 'GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n')).toBe('');
    const [first] = holders;
    await new Promise((resolve) => {
      first?.on('close', resolve);
      first?.end();
    });
    const later = await exchange(
      gateway.port,
      'GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n',
    );
    expect(later).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of holders) socket.destroy();
  });
});

describe('rates', () => {
  it('slow down who guesses tokens, but not a neighbour whose token is known', async () => {
    const gateway = await gatewayWith({ rates: { failures: { perSecond: 0.001, burst: 3 } } });
    const token = await gateway.tokenFor('analyst');
    expect((await gateway.call(SECRET_PATH, { token })).status).toBe(404);
    const codes: unknown[] = [];
    for (let guess = 0; guess < 5; guess += 1) {
      const answer = await gateway.call(SECRET_PATH, { token: `weir_analyst_${'A'.repeat(43)}` });
      codes.push((await problemOfResponse(answer))['code']);
    }
    expect(codes).toEqual([
      ...Array.from({ length: 3 }, () => 'credential-invalid'),
      'rate-limited',
      'rate-limited',
    ]);
    expect((await gateway.call(SECRET_PATH, { token })).status).toBe(404);
    const enrolment = await gateway.call('/v1/enrolments', {
      json: {
        token: `weir_enrol_${'A'.repeat(43)}`,
        party: { id: 'west', name: { zh: '西', en: 'West' }, signKey: 'A'.repeat(43) },
        proof: 'A'.repeat(86),
      },
    });
    expect((await problemOfResponse(enrolment))['code']).toBe('rate-limited');
  });

  it('do not mistake one caller’s many connections for guesses', async () => {
    const gateway = await gatewayWith({ rates: { failures: { perSecond: 0.001, burst: 3 } } });
    const token = await gateway.tokenFor('analyst');
    const calls = Array.from({ length: 40 }, () => gateway.call(SECRET_PATH, { token }));
    const statuses = new Set((await Promise.all(calls)).map(({ status }) => status));
    expect([...statuses]).toEqual([404]);
  });

  it('of a token are bounded, told beforehand, and leave their record', async () => {
    const gateway = await gatewayWith({ rates: { calls: { perSecond: 0.001, burst: 2 } } });
    const token = await gateway.tokenFor('analyst', ANALYST);
    const first = await gateway.call(SECRET_PATH, { token });
    expect(first.headers.get('ratelimit')).toMatch(/^"calls";r=1;t=\d+$/);
    await gateway.call(SECRET_PATH, { token });
    const third = await gateway.call('/v1/runs', { token, json: {} });
    expect(third.status).toBe(429);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(100);
    expect((await problemOfResponse(third))['retryable']).toBe(true);
    expect((await gateway.records()).map(({ code }) => code)).toEqual(['rate-limited']);
  });
});

describe('shutdown', () => {
  it('waits for runs, answers what is in hand, and takes no new connection', async () => {
    const gateway = await startTestGateway();
    const drained = Promise.withResolvers<void>();
    const closed = gateway.close({
      drainRuns: () => drained.promise,
      deadlineMs: 30_000,
    });
    await expect(gateway.call('/healthz')).rejects.toThrow();
    drained.resolve();
    await closed;
  });

  it('cuts what is left at the deadline, upgraded sockets too', async () => {
    const gateway = await startTestGateway();
    gateway.server.server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    });
    const upgraded = connect(gateway.port, '127.0.0.1');
    const gone = new Promise((resolve) => upgraded.on('close', resolve));
    upgraded.on('error', () => undefined);
    upgraded.write(
      'GET /link HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    await new Promise((resolve) => upgraded.once('data', resolve));
    await gateway.close({ drainRuns: () => new Promise(() => undefined), deadlineMs: 100 });
    await gone;
  });
});
