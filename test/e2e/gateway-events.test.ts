/** Event streams over real sockets: order, resume, ends, bounds. */
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunEventBodySchema, StartedRunSchema } from '../../src/contracts/api.ts';
import { signRequest } from '../../src/contracts/signed-documents.ts';
import { STREAMS_OF_TOKEN_MAX } from '../../src/gateway/routes/events.ts';
import type { RunId } from '../../src/system/ids.ts';
import { ANALYST, makeCast, makeContract, makeRequest } from '../fixtures/contract.ts';
import { problemOfResponse, startTestGateway, type TestGateway } from '../fixtures/gateway.ts';

const cast = makeCast();
let gateway: TestGateway;
let token: string;

beforeAll(async () => {
  gateway = await startTestGateway();
  token = await gateway.tokenFor('analyst', ANALYST);
});
afterAll(async () => {
  await gateway.close();
});

let contracts = 0;
/** A run under a contract of its own, so that no test uses up another's quota. */
async function startRun(on: TestGateway = gateway, by: string = token): Promise<RunId> {
  contracts += 1;
  const id = `0190c9a0-0000-7000-8000-00000000${String(1000 + contracts)}`;
  const contract = makeContract(cast, { id: id as ReturnType<typeof makeContract>['id'] });
  const answer = await on.call('/v1/runs', {
    token: by,
    json: signRequest(makeRequest(contract), cast.keyOf(ANALYST)),
    headers: { 'idempotency-key': id },
  });
  return StartedRunSchema.parse(await answer.json()).runId;
}

function follow(runId: RunId, lastEventId?: string, signal?: AbortSignal): Promise<Response> {
  return gateway.call(`/v1/runs/${runId}/events`, {
    token,
    ...(lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Reads text until it holds `mark`. */
async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  mark: string,
): Promise<string> {
  let text = '';
  while (!text.includes(mark)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the stream ended before ${mark}: ${text}`);
    text += new TextDecoder().decode(value);
  }
  return text;
}

const statesOf = (text: string): string[] =>
  [...text.matchAll(/^data: (.+)$/gm)].map(
    ([, data]) => RunEventBodySchema.parse(JSON.parse(data ?? '')).state,
  );

describe('event streams', () => {
  it('tell what was, then what happens, and end with the run', async () => {
    const runId = await startRun();
    gateway.runs.advance(runId, 'preparing');
    const response = await follow(runId);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(response.headers.get('cache-control')).toBe('no-store');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const before = await readUntil(reader, 'id: 2');
    expect(before).toContain('event: run\n');
    gateway.runs.advance(runId, 'computing');
    const live = await readUntil(reader, 'id: 3');
    gateway.runs.advance(runId, 'posted');
    const last = await readUntil(reader, 'id: 4');
    expect((await reader.read()).done).toBe(true);
    expect(statesOf(before + live + last)).toEqual([
      'reserved',
      'preparing',
      'computing',
      'posted',
    ]);
  });

  it('resume after Last-Event-ID, without a gap and without a repeat', async () => {
    const runId = await startRun();
    for (const state of ['preparing', 'agreed', 'computing', 'posted'] as const) {
      gateway.runs.advance(runId, state);
    }
    for (let after = 0; after <= 5; after += 1) {
      const text = await (await follow(runId, String(after))).text();
      expect([...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))).toEqual(
        [1, 2, 3, 4, 5].slice(after),
      );
    }
    const problem = await problemOfResponse(await follow(runId, 'soon'));
    expect(problem).toMatchObject({ code: 'malformed-message', path: 'last-event-id' });
  });

  it('of a caller are bounded, and given back when it leaves', async () => {
    const runId = await startRun();
    const leaving = new AbortController();
    const held = await Promise.all(
      Array.from({ length: STREAMS_OF_TOKEN_MAX }, () => follow(runId, undefined, leaving.signal)),
    );
    expect(held.every(({ status }) => status === 200)).toBe(true);
    const over = await follow(runId);
    expect(over.status).toBe(503);
    expect((await problemOfResponse(over))['code']).toBe('queue-full');
    leaving.abort();
    // The server notices that its sockets are gone; asked until it has.
    let again = await follow(runId);
    while (again.status === 503) {
      await again.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, 20));
      again = await follow(runId);
    }
    expect(again.status).toBe(200);
    await again.body?.cancel();
  });

  it('of a caller that left before it was known are not held for ever', async () => {
    const other = await startTestGateway();
    const runId = await startRun(other, await other.tokenFor('analyst', ANALYST));
    const by = await other.tokenFor('analyst', ANALYST);
    const gate = Promise.withResolvers<void>();
    const verify = other.tokens.verify.bind(other.tokens);
    other.tokens.verify = async (secret) => {
      await gate.promise;
      return verify(secret);
    };
    const { server } = other.server;
    let [asked, left] = [0, 0];
    const all = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    server.on('request', (_request, answer: ServerResponse) => {
      asked += 1;
      if (asked === STREAMS_OF_TOKEN_MAX) all.resolve();
      answer.once('close', () => {
        left += 1;
        if (left === STREAMS_OF_TOKEN_MAX) gone.resolve();
      });
    });
    const leaving = new AbortController();
    const path = `/v1/runs/${runId}/events`;
    const calls = Array.from({ length: STREAMS_OF_TOKEN_MAX }, () =>
      other.call(path, { token: by, signal: leaving.signal }).catch(() => undefined),
    );
    await all.promise;
    leaving.abort();
    await Promise.all([...calls, gone.promise]);
    gate.resolve();
    await other.tokens.verify(by);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const again = await other.call(path, { token: by });
    expect(again.status).toBe(200);
    await again.body?.cancel();
    await other.close();
  });

  it('end when the gateway closes, so that a shutdown need not wait for them', async () => {
    const other = await startTestGateway();
    const by = await other.tokenFor('analyst', ANALYST);
    const runId = await startRun(other, by);
    const response = await other.call(`/v1/runs/${runId}/events`, { token: by });
    const text = response.text();
    // Far longer than the test may take: it only passes where the stream is ended, not cut.
    await other.close({ deadlineMs: 600_000 });
    expect(statesOf(await text)).toEqual(['reserved']);
  });
});
