/**
 * Frames of a run that its analyst takes part in: fetched by long polls and posted in batches, each
 * under its number, so that a call whose answer was lost is made again. The bytes are sealed
 * between analyst and holder.
 */
import { z } from '@hono/zod-openapi';
import { FramesDueSchema } from '../../contracts/api.ts';
import {
  encodeGuestFrames,
  GUEST_BATCH_BYTES_MAX,
  parseGuestFrames,
} from '../../contracts/guest-frames.ts';
import { CapacityError } from '../../errors.ts';
import { json, mountGuarded, type Gate, type GuardedCall, type HttpApp } from '../endpoint.ts';
import { onceClosed } from '../leaving.ts';
import type { GuestService, RelayService } from '../services.ts';
import { RunParams } from './runs.ts';

/** Calls of one token that may wait at a time: two directions of a few runs. */
const WAITING_OF_TOKEN_MAX = 16;
const MEDIA_TYPE = 'application/octet-stream';
const Numbered = z.string().regex(/^\d{1,9}$/);
const PROBLEMS = [
  'run-unknown',
  'round-mismatch',
  'run-cancelled',
  'analyst-left',
  'gateway-restarted',
  'queue-full',
] as const;

export function mountFrames(
  app: HttpApp,
  gate: Gate,
  guests: GuestService,
  relays: RelayService,
  closing: AbortSignal,
): void {
  const waiting = new Map<string, number>();
  const routes = { gate, guests, relays, closing, waiting };
  mountRead(app, routes);
  mountSend(app, routes);
}

interface FrameRoutes {
  readonly gate: Gate;
  readonly guests: GuestService;
  readonly relays: RelayService;
  readonly closing: AbortSignal;
  /** Calls that wait, by token. */
  readonly waiting: Map<string, number>;
}

function mountRead(app: HttpApp, { gate, guests, relays, closing, waiting }: FrameRoutes): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/runs/{runId}/frames',
      tag: 'runs',
      summary: 'Frames for the analyst of a run that it takes part in; waits for the next ones.',
      roles: ['analyst'],
      params: RunParams,
      query: z.strictObject({ after: Numbered }),
      answers: {
        200: {
          description: 'Frames from this number on, none where none came in time.',
          schema: z.string().meta({ format: 'binary' }),
          mediaType: MEDIA_TYPE,
        },
        204: { description: 'No more frames will come.' },
      },
      problems: PROBLEMS,
    },
    (call) =>
      whileConnected(call, waiting, closing, async (signal) => {
        const { params, caller, query, context } = call;
        const { incoming } = context.env;
        const handed = { runId: params.runId, analyst: caller.party, incoming, signal };
        const elsewhere = await relays.relay(handed);
        if (elsewhere !== undefined) return elsewhere;
        const after = Number(query.after);
        const frames = await guests.read(params.runId, caller.party, after, signal);
        if (frames === undefined) return json(undefined, 204);
        const bytes = Uint8Array.from(encodeGuestFrames(frames));
        return { status: 200, body: { bytes, mediaType: MEDIA_TYPE } };
      }),
  );
}

function mountSend(app: HttpApp, { gate, guests, relays, closing, waiting }: FrameRoutes): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/runs/{runId}/frames',
      tag: 'runs',
      summary: 'Frames from the analyst of a run that it takes part in; waits for room.',
      roles: ['analyst'],
      params: RunParams,
      query: z.strictObject({ first: Numbered }),
      takesBytes: true,
      goesOn: true,
      answers: { 200: { description: 'Which frame is due next.', schema: FramesDueSchema } },
      problems: [...PROBLEMS, 'frame-too-large'],
    },
    (call) =>
      whileConnected(call, waiting, closing, async (signal) => {
        const { params, caller, query, context } = call;
        const { incoming } = context.env;
        const bytes = await gate.bodies.readBytes(incoming, GUEST_BATCH_BYTES_MAX);
        const handed = { runId: params.runId, analyst: caller.party, incoming, signal };
        const elsewhere = await relays.relay({ ...handed, body: bytes });
        if (elsewhere !== undefined) return elsewhere;
        const frames = parseGuestFrames(bytes);
        const first = Number(query.first);
        const due = await guests.accept(params.runId, caller.party, first, frames, signal);
        return json({ due });
      }),
  );
}

/** @throws CapacityError `queue-full` */
async function whileConnected<Params, Query, Answer>(
  { caller, context }: GuardedCall<Params, Query, undefined>,
  waiting: Map<string, number>,
  closing: AbortSignal,
  work: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  const { tokenId } = caller;
  const before = waiting.get(tokenId) ?? 0;
  if (before >= WAITING_OF_TOKEN_MAX) {
    throw new CapacityError('queue-full', 'Too many calls of this token wait for frames.');
  }
  waiting.set(tokenId, before + 1);
  const gone = new AbortController();
  const stay = onceClosed(context.env.outgoing, () => gone.abort());
  try {
    return await work(AbortSignal.any([gone.signal, closing]));
  } finally {
    stay();
    const left = (waiting.get(tokenId) ?? 1) - 1;
    if (left === 0) waiting.delete(tokenId);
    else waiting.set(tokenId, left);
  }
}
