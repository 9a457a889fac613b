/** Follows a run over broken connections: every event once, in order, until the run has ended. */
import {
  ProblemBodySchema,
  RunEventBodySchema,
  type RunBody,
  type RunEventBody,
} from '../contracts/api.ts';
import type { Clock } from '../system/clock.ts';
import type { RunId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import { parseEvents } from './event-stream.ts';
import { GatewayUnreachable, parseJson, problemFrom, WeirProblem } from './problem.ts';
import { DEFAULT_RETRY, isPassing, withRetry } from './retry.ts';
import type { Transport } from './transport.ts';

/** Streams in a row that brought no event before following is given up. */
const BARREN_MAX = 8;
const PAUSE_MS = 250;

interface RunReader {
  readonly clock: Clock;
  readonly random: Random;
  run(runId: RunId): Promise<RunBody>;
}

/** True for states that never change again. */
export function isTerminal(state: RunBody['state']): boolean {
  return state === 'posted' || state === 'refused' || state === 'voided' || state === 'expired';
}

/** @throws WeirProblem, for instance `run-unknown`; GatewayUnreachable where no stream brings anything. */
export async function* followRun(
  client: RunReader,
  transport: Transport,
  runId: RunId,
  afterSeq: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEventBody> {
  let lastSeq = afterSeq;
  let barren = 0;
  while (!signal?.aborted) {
    const before = lastSeq;
    try {
      for await (const event of oneStream(client, transport, runId, lastSeq, signal)) {
        // A gateway that restarted may tell again what it told before.
        if (event.seq <= lastSeq) continue;
        lastSeq = event.seq;
        yield event;
        if (isTerminal(event.state)) return;
      }
      // Ended in order, without a terminal event: told before `afterSeq`, or the gateway is closing.
      if (isTerminal((await client.run(runId)).state)) return;
    } catch (error) {
      if (signal?.aborted) return;
      if (!isPassing(error)) throw error;
      if (lastSeq === before && barren + 1 >= BARREN_MAX) throw error;
    }
    barren = lastSeq === before ? barren + 1 : 0;
    if (barren >= BARREN_MAX) throw new GatewayUnreachable('The run’s event stream keeps ending.');
    await client.clock.sleep(PAUSE_MS * 2 ** Math.min(barren, 5), signal);
  }
}

async function* oneStream(
  client: RunReader,
  transport: Transport,
  runId: RunId,
  afterSeq: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEventBody> {
  const headers = { accept: 'text/event-stream', 'last-event-id': String(afterSeq) };
  const path = `/v1/runs/${runId}/events`;
  const call = {
    method: 'GET',
    path,
    headers,
    ...(signal === undefined ? {} : { signal }),
  } as const;
  const message = await withRetry(
    () => transport.open(call),
    DEFAULT_RETRY,
    client.clock,
    client.random,
    signal,
  );
  try {
    if (message.statusCode !== 200) {
      const text = await textOf(message);
      throw problemFrom(text, message.statusCode ?? 0, message.headers['retry-after']);
    }
    for await (const event of parseEvents(guarded(message))) {
      const body = parseJson(event.data);
      if (event.name === 'problem') throw new WeirProblem(ProblemBodySchema.parse(body), undefined);
      if (event.name === 'run') yield RunEventBodySchema.parse(body);
    }
  } finally {
    message.destroy();
  }
}

/** A stream that breaks is an unreachable gateway, not a bug. */
async function* guarded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw new GatewayUnreachable('The event stream broke off.', { cause: error });
  }
}

const PROBLEM_BYTES_MAX = 64 * 1024;

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of guarded(chunks)) {
    sizeBytes += chunk.length;
    if (sizeBytes > PROBLEM_BYTES_MAX) break;
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}
