/** A run's events as server-sent events, resumable by `Last-Event-ID`. @see HTML, §9.2 */
import { z } from '@hono/zod-openapi';
import { CapacityError, InputError, WeirError } from '../../errors.ts';
import type { RunEvent } from '../../runs/run-events.ts';
import { mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import { onceClosed } from '../leaving.ts';
import { problemOf } from '../problem.ts';
import type { RelayedAnswer, RelayedCall, RelayService, RunService } from '../services.ts';
import { runEventBody } from '../wire.ts';
import { RunParams } from './runs.ts';

export const STREAMS_MAX = 1_024;
export const STREAMS_OF_TOKEN_MAX = 32;
/** A comment that often keeps proxies from closing a quiet stream, and finds dead peers. */
const BEAT_MS = 15_000;
const LAST_EVENT_ID = /^\d{1,15}$/;
const utf8 = new TextEncoder();

export function mountEvents(
  app: HttpApp,
  gate: Gate,
  runs: RunService,
  relays: RelayService,
  closing: AbortSignal,
): void {
  const streams = new OpenStreams();
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/runs/{runId}/events',
      tag: 'runs',
      summary: 'Follows a run; ends with it. Resume with Last-Event-ID.',
      roles: ['analyst'],
      params: RunParams,
      headers: z.object({ 'last-event-id': z.string().regex(LAST_EVENT_ID).optional() }),
      answers: {
        200: {
          description: 'Events `run`, each a RunEvent; `problem` where following fails.',
          schema: z.string(),
          mediaType: 'text/event-stream',
        },
      },
      problems: ['run-unknown', 'queue-full'],
    },
    async ({ params, caller, context }) => {
      const { incoming, outgoing } = context.env;
      const afterSeq = afterSeqOf(incoming.headers['last-event-id']);
      const release = streams.acquire(caller.tokenId);
      const gone = new AbortController();
      // The one place that ends the stream's share, whatever ended it: done, client gone, closing.
      onceClosed(outgoing, () => {
        gone.abort();
        release();
        gate.metrics.openStreams.set(streams.count);
      });
      gate.metrics.openStreams.set(streams.count);
      const signal = AbortSignal.any([gone.signal, closing]);
      const handed = { runId: params.runId, analyst: caller.party, incoming, signal };
      const elsewhere = await relayedIfReached(relays, handed);
      if (elsewhere !== undefined) return elsewhere;
      const events = await runs.follow(params.runId, caller.party, afterSeq, signal);
      const stream = eventStream(events, gate, signal);
      return {
        status: 200,
        headers: { 'x-accel-buffering': 'no' },
        body: { stream, mediaType: 'text/event-stream' },
      };
    },
  );
}

/** How far a run is, its own process alone can tell; where that is not reached, its row tells its state. */
async function relayedIfReached(
  relays: RelayService,
  call: RelayedCall,
): Promise<RelayedAnswer | undefined> {
  try {
    return await relays.relay(call);
  } catch (error) {
    if (error instanceof WeirError) return undefined;
    throw error;
  }
}

/** Owns how many streams are open, in all and for each token. */
class OpenStreams {
  readonly #byToken = new Map<string, number>();
  count = 0;

  /** @throws CapacityError `queue-full` */
  acquire(tokenId: string): () => void {
    const ofToken = this.#byToken.get(tokenId) ?? 0;
    if (this.count >= STREAMS_MAX || ofToken >= STREAMS_OF_TOKEN_MAX) {
      throw new CapacityError('queue-full', 'Too many event streams are open.');
    }
    this.count += 1;
    this.#byToken.set(tokenId, ofToken + 1);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.count -= 1;
      const left = (this.#byToken.get(tokenId) ?? 1) - 1;
      if (left === 0) this.#byToken.delete(tokenId);
      else this.#byToken.set(tokenId, left);
    };
  }
}

/** Pulled by the socket: a client that does not read holds its source back, not the memory. */
function eventStream(
  events: AsyncIterable<RunEvent>,
  gate: Gate,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const iterator = events[Symbol.asyncIterator]();
  let pending: Promise<IteratorResult<RunEvent>> | undefined;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(utf8.encode(': open\n\n'));
    },
    async pull(controller) {
      pending ??= iterator.next();
      const beat = new AbortController();
      try {
        const sleep = gate.clock.sleep(BEAT_MS, AbortSignal.any([beat.signal, signal]));
        const first = await Promise.race([pending, sleep]);
        if (first === undefined) {
          if (signal.aborted) return controller.close();
          return controller.enqueue(utf8.encode(': beat\n\n'));
        }
        pending = undefined;
        if (first.done === true) return controller.close();
        controller.enqueue(utf8.encode(eventText(first.value)));
      } catch (error) {
        if (!signal.aborted) controller.enqueue(utf8.encode(failureText(error, gate)));
        controller.close();
      } finally {
        beat.abort();
      }
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

function eventText(event: RunEvent): string {
  return `id: ${event.seq}\nevent: run\ndata: ${JSON.stringify(runEventBody(event))}\n\n`;
}

function failureText(error: unknown, gate: Gate): string {
  const problem = problemOf(error, gate.clock.now());
  if (problem.opaque) {
    gate.log.error({ err: error, instance: problem.document.instance }, 'an event stream failed');
  }
  gate.metrics.countProblem(problem.document.code);
  return `event: problem\ndata: ${JSON.stringify(problem.document)}\n\n`;
}

function afterSeqOf(header: string | string[] | undefined): number {
  if (header === undefined || header === '') return 0;
  if (typeof header === 'string' && LAST_EVENT_ID.test(header)) return Number(header);
  throw new InputError('malformed-message', 'Last-Event-ID is not an event’s number.', {
    path: 'last-event-id',
  });
}
