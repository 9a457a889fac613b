/** The routes of an analyst's frames over real HTTP: who may, what is refused, when it waits. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  encodeGuestFrames,
  GUEST_BATCH_BYTES_MAX,
  GUEST_PAYLOAD_BYTES_MAX,
  type GuestFrame,
  parseGuestFrames,
} from '../../src/contracts/guest-frames.ts';
import { guestService } from '../../src/gateway/services-over-books.ts';
import { GuestLine } from '../../src/runs/guest-line.ts';
import { unknownRun } from '../../src/runs/run-errors.ts';
import { systemClock } from '../../src/system/clock.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { problemOfResponse, startTestGateway, type TestGateway } from '../fixtures/gateway.ts';

const RUN = '0190c9a0-0000-7000-8000-0000000000aa';
const PATH = `/v1/runs/${RUN}/frames`;
const frame: GuestFrame = { kind: 'psi.points', payload: new Uint8Array([1, 2, 3]) };
let gateway: TestGateway;
let line: GuestLine;
let token: string;

beforeAll(async () => {
  line = new GuestLine(PartyIdSchema.parse('analyst'), systemClock);
  gateway = await startTestGateway({
    services: {
      guests: guestService({
        guestOf: async (runId, analyst) => {
          if (runId === RUN && analyst === line.analyst) return line;
          throw unknownRun();
        },
      }),
    },
  });
  token = await gateway.tokenFor('analyst');
});
afterAll(() => gateway?.close());

interface Sent {
  readonly as?: string | undefined;
  readonly type?: string;
}

function post(path: string, body: Uint8Array, sent: Sent = {}): Promise<Response> {
  const { as = token, type = 'application/octet-stream' } = sent;
  return fetch(gateway.server.url + path, {
    method: 'POST',
    headers: { 'content-type': type, authorization: `Bearer ${as}` },
    body: Uint8Array.from(body),
  });
}
const codeOf = async (answer: Promise<Response>): Promise<unknown> =>
  (await problemOfResponse(await answer))['code'];

it('passes frames both ways, numbered, and takes a repeated call for what it is', async () => {
  const batch = encodeGuestFrames([frame, { ...frame, kind: 'psi.raised' }]);
  expect(await (await post(`${PATH}?first=0`, batch)).json()).toEqual({ due: 2 });
  expect(await (await post(`${PATH}?first=0`, batch)).json()).toEqual({ due: 2 });
  expect((await line.take())?.kind).toBe('psi.points');
  expect((await line.take())?.kind).toBe('psi.raised');
  await line.put(frame);
  for (let call = 0; call < 2; call++) {
    const answer = await gateway.call(`${PATH}?after=0`, { token });
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(parseGuestFrames(new Uint8Array(await answer.arrayBuffer()))).toEqual([frame]);
  }
});

it('waits for the next frame, and ends the wait with it', async () => {
  const waiting = gateway.call(`${PATH}?after=1`, { token });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await line.put({ ...frame, kind: 'later' });
  const [later] = parseGuestFrames(new Uint8Array(await (await waiting).arrayBuffer()));
  expect(later?.kind).toBe('later');
});

it('refuses strangers, other roles, other analysts', async () => {
  expect(await codeOf(gateway.call(`${PATH}?after=1`))).toBe('credential-missing');
  const billing = await gateway.tokenFor('billing');
  expect(await codeOf(gateway.call(`${PATH}?after=1`, { token: billing }))).toBe(
    'scope-insufficient',
  );
  const other = await gateway.tokenFor('analyst', 'rival');
  expect(await codeOf(gateway.call(`${PATH}?after=1`, { token: other }))).toBe('run-unknown');
  expect(await codeOf(post(`${PATH}?first=2`, new Uint8Array(), { as: other }))).toBe(
    'run-unknown',
  );
});

it('refuses what is malformed, too large, or out of turn', async () => {
  const tooLong = { kind: 'k', payload: new Uint8Array(GUEST_PAYLOAD_BYTES_MAX + 1) };
  const cases: [Promise<Response>, string][] = [
    [post(`${PATH}?first=2`, Uint8Array.of(1, 2)), 'malformed-message'],
    [post(`${PATH}?first=2`, new Uint8Array(), { type: 'application/json' }), 'malformed-message'],
    [post(`${PATH}?first=-1`, new Uint8Array()), 'malformed-message'],
    [post(PATH, new Uint8Array()), 'malformed-message'],
    [post(`${PATH}?first=2`, encodeGuestFrames([tooLong])), 'frame-too-large'],
    [post(`${PATH}?first=2`, new Uint8Array(GUEST_BATCH_BYTES_MAX + 1)), 'body-too-large'],
    [post(`${PATH}?first=9`, encodeGuestFrames([frame])), 'round-mismatch'],
    [gateway.call(`${PATH}?after=99`, { token }), 'round-mismatch'],
  ];
  for (const [answer, code] of cases) expect(await codeOf(answer)).toBe(code);
});

it('lets a token wait so often at a time, and no more', async () => {
  const gone = new AbortController();
  const waits = Array.from({ length: 16 }, () =>
    gateway.call(`${PATH}?after=2`, { token, signal: gone.signal }).catch(() => undefined),
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await codeOf(gateway.call(`${PATH}?after=2`, { token }))).toBe('queue-full');
  gone.abort();
  await Promise.all(waits);
  // Whoever left waits no more.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await line.put({ ...frame, kind: 'last' });
  expect((await gateway.call(`${PATH}?after=2`, { token })).status).toBe(200);
});

it('goes on while the gateway stops, since the run is at work already, until nothing more comes', async () => {
  gateway.stop();
  const answer = await post(`${PATH}?first=2`, encodeGuestFrames([frame]));
  expect(await answer.json()).toEqual({ due: 3 });
  line.finish();
  expect((await gateway.call(`${PATH}?after=3`, { token })).status).toBe(204);
});
