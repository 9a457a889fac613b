/** Calls handed to another process over real sockets: what goes along, and to whom it never goes. */
import {
  createServer as createPlain,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createSecure } from 'node:https';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { PeerPlace } from '../../src/gateway/peers.ts';
import { Relay } from '../../src/gateway/relay.ts';
import { problemOfResponse, startTestGateway, type TestGateway } from '../fixtures/gateway.ts';
import { makeTlsFiles } from '../fixtures/tls.ts';

const RUN = '0190c9a0-0000-7000-8000-0000000000aa';
const PATH = `/v1/runs/${RUN}/frames`;
const EVENTS = `/v1/runs/${RUN}/events`;

let directory: string;
let certificate: string;
let stranger: string;
let secure: Server;
let plain: Server;
let heard: { readonly incoming: IncomingMessage; readonly body: Buffer }[];
let place: PeerPlace | undefined;
let isPresent = true;
/** The other process dies in the midst of its answer. */
let breaks = false;
let gateway: TestGateway;
let relay: Relay;
let token: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-relay-'));
  const own = await makeTlsFiles(directory, 'own');
  const other = await makeTlsFiles(directory, 'other');
  certificate = readFileSync(own.certFile, 'utf8');
  stranger = readFileSync(other.certFile, 'utf8');
  const listener: RequestListener = (incoming, answer) => {
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      heard.push({ incoming, body: Buffer.concat(parts) });
      answer.writeHead(200, { 'content-type': 'application/json', 'retry-after': '7' });
      if (breaks) return void answer.write('{', () => answer.destroy());
      answer.end(JSON.stringify({ due: 5 }));
    });
  };
  plain = createPlain(listener);
  secure = createSecure({ cert: certificate, key: readFileSync(own.keyFile) }, listener) as Server;
  for (const server of [plain, secure]) {
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
  }
  relay = new Relay(
    { elsewhere: async () => 'gateway-1' },
    {
      find: async () => place,
      isPresent: async () => isPresent,
      announce: async () => undefined,
      withdraw: async () => undefined,
    },
    'gateway-2',
  );
  gateway = await startTestGateway({ services: { relays: relay } });
  token = await gateway.tokenFor('analyst');
});
beforeEach(() => {
  heard = [];
  isPresent = true;
});
afterEach(() => {
  place = undefined;
});
afterAll(async () => {
  relay?.close();
  await gateway?.close();
  for (const server of [plain, secure]) server?.close();
  rmSync(directory, { recursive: true });
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const send = (headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}${PATH}?first=3`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/octet-stream',
      ...headers,
    },
    body: Uint8Array.of(1, 2, 3),
  });

it('go as they came, with their caller’s own token, and the answer comes back', async () => {
  place = { url: `http://127.0.0.1:${portOf(plain)}`, certificate: undefined };
  const answer = await send({ cookie: 'of=somebody' });
  expect([answer.status, answer.headers.get('retry-after'), await answer.json()]).toEqual([
    200,
    '7',
    { due: 5 },
  ]);
  const [one] = heard;
  expect([one?.incoming.method, one?.incoming.url]).toEqual(['POST', `${PATH}?first=3`]);
  expect([...(one?.body ?? [])]).toEqual([1, 2, 3]);
  expect(one?.incoming.headers).toMatchObject({
    authorization: `Bearer ${token}`,
    'weir-relayed-by': 'gateway-2',
  });
  expect(one?.incoming.headers['cookie']).toBeUndefined();
});

it('go over TLS to the one certificate that the process told, and to no other', async () => {
  const url = `https://127.0.0.1:${portOf(secure)}`;
  // The control comes last: with its own certificate the same address answers.
  place = { url, certificate: stranger };
  const refused = await send();
  expect(await problemOfResponse(refused)).toMatchObject({ code: 'queue-full' });
  expect(heard).toEqual([]);
  place = { url, certificate };
  expect((await send()).status).toBe(200);
  expect(heard).toHaveLength(1);
});

it('are asked for again where the answer breaks off', async () => {
  place = { url: `http://127.0.0.1:${portOf(plain)}`, certificate: undefined };
  breaks = true;
  const broken = await send();
  expect(await problemOfResponse(broken)).toMatchObject({ code: 'queue-full' });
  breaks = false;
  expect(heard).toHaveLength(1);
});

it('go on once only: what was relayed before is answered here', async () => {
  place = { url: `http://127.0.0.1:${portOf(plain)}`, certificate: undefined };
  const answer = await send({ 'weir-relayed-by': 'gateway-3' });
  // Nothing is wrong with the call but its body, which only this process has read.
  expect(await problemOfResponse(answer)).toMatchObject({ code: 'malformed-message' });
  expect(heard).toEqual([]);
});

it('need a token of this gateway before they go anywhere', async () => {
  place = { url: `http://127.0.0.1:${portOf(plain)}`, certificate: undefined };
  const answer = await send({ authorization: `Bearer weir_analyst_${'a'.repeat(43)}` });
  expect(answer.status).toBe(401);
  expect(heard).toEqual([]);
});

it('are refused in words where the process is not reached, and events are told from the row', async () => {
  expect(await problemOfResponse(await send())).toMatchObject({
    code: 'round-mismatch',
    remedy: 'The operator sets advertiseUrl in the configuration of gateway-1.',
  });
  isPresent = false;
  expect(await problemOfResponse(await send())).toMatchObject({ code: 'gateway-restarted' });
  place = { url: 'http://127.0.0.1:9', certificate: undefined };
  const away = await send();
  expect(away.headers.get('retry-after')).toBe('1');
  expect(await problemOfResponse(away)).toMatchObject({ code: 'queue-full' });
  // This fixture knows no such run: its own answer, not the relay's.
  const events = await fetch(gateway.url + EVENTS, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(await problemOfResponse(events)).toMatchObject({ code: 'run-unknown' });
});
