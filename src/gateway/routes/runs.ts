/** Runs: start, look, cancel, fetch the sealed result. An analyst sees its own runs alone. */
import { z } from '@hono/zod-openapi';
import {
  IDEMPOTENCY_KEY,
  RunBodySchema,
  RunResultBodySchema,
  StartedRunSchema,
  StartRunRequestSchema,
  WEIGHTS_TEXT_MAX,
} from '../../contracts/api.ts';
import { InputError } from '../../errors.ts';
import { decodeBase64url } from '../../system/base64url.ts';
import { RunIdSchema } from '../../system/ids.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { RunService } from '../services.ts';
import { runBody } from '../wire.ts';

/** A request, and beside it the longest encrypted weights there can be, in base64url. */
const START_MAX_BYTES = 1024 * 1024 + WEIGHTS_TEXT_MAX;
export const RunParams = z.strictObject({ runId: RunIdSchema });

export function mountRuns(app: HttpApp, gate: Gate, runs: RunService): void {
  mountStart(app, gate, runs);
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/runs/{runId}',
      tag: 'runs',
      summary: 'A run as it stands.',
      roles: ['analyst'],
      params: RunParams,
      answers: { 200: { description: 'The run.', schema: RunBodySchema } },
      problems: ['run-unknown'],
    },
    async ({ params, caller }) => json(runBody(await runs.get(params.runId, caller.party))),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'delete',
      path: '/v1/runs/{runId}',
      tag: 'runs',
      summary: 'Asks a run to stop; what domains have spent stays spent.',
      roles: ['analyst'],
      params: RunParams,
      answers: { 200: { description: 'The run after the request.', schema: RunBodySchema } },
      problems: ['run-unknown'],
    },
    async ({ params, caller }) => json(runBody(await runs.cancel(params.runId, caller.party))),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/runs/{runId}/result',
      tag: 'runs',
      summary: 'The result, sealed to the contract’s recipient, with its receipt.',
      roles: ['analyst'],
      params: RunParams,
      answers: { 200: { description: 'Sealed result.', schema: RunResultBodySchema } },
      problems: ['run-unknown', 'result-not-ready', 'result-expired', 'run-cancelled'],
    },
    async ({ params, caller }) => json(await runs.result(params.runId, caller.party)),
  );
}

function mountStart(app: HttpApp, gate: Gate, runs: RunService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/runs',
      tag: 'runs',
      summary: 'Reserves quota and starts a run, which goes on whether or not the caller stays.',
      roles: ['analyst'],
      headers: z.object({ 'idempotency-key': z.string().regex(IDEMPOTENCY_KEY) }),
      body: { schema: StartRunRequestSchema, bytesMax: START_MAX_BYTES },
      contractOf: (body) => body.request.contractId,
      answers: {
        202: { description: 'Reserved; follow the Location.', schema: StartedRunSchema },
      },
      problems: [
        'idempotency-key-missing',
        'idempotency-conflict',
        'result-expired',
        'contract-unknown',
        'contract-not-active',
        'contract-revoked',
        'contract-expired',
        'plan-outside-contract',
        'parameter-invalid',
        'party-not-in-contract',
        'signature-invalid',
        'request-replayed',
        'request-expired',
        'quota-exceeded',
        'overflow-possible',
        'domain-unreachable',
        'disk-full',
      ],
    },
    async ({ body, caller, context }) => {
      const started = await runs.start({
        analyst: caller.party,
        idempotencyKey: idempotencyKeyOf(context.env.incoming.headers['idempotency-key']),
        request: { request: body.request, jws: body.jws },
        attachment: body.weights === undefined ? undefined : decodeBase64url(body.weights),
      });
      const { runId, state, repeated, quota } = started;
      return {
        status: 202,
        headers: { location: `/v1/runs/${runId}` },
        body: { json: { runId, state, repeated } },
        quota,
      };
    },
  );
}

function idempotencyKeyOf(header: string | string[] | undefined): string {
  if (header === undefined) {
    throw new InputError('idempotency-key-missing', 'The call has no Idempotency-Key.', {
      remedy: 'Send a fresh random Idempotency-Key; send the same one again when you retry.',
    });
  }
  if (typeof header !== 'string' || !IDEMPOTENCY_KEY.test(header)) {
    throw new InputError(
      'malformed-message',
      'The Idempotency-Key is not 1 to 128 visible characters.',
      {
        path: 'idempotency-key',
      },
    );
  }
  return header;
}
