/**
 * The SDK: every route of the API as a typed method. Answers are parsed against the schemas the
 * gateway describes its routes with; a refusal is a WeirProblem. Calls that may be repeated are
 * retried, others never.
 */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import * as api from '../contracts/api.ts';
import * as billing from '../contracts/billing-api.ts';
import type { ContractSignature, SignedContract } from '../contracts/contract.ts';
import {
  EnrolmentAnswerSchema,
  type EnrolmentAnswer,
  type EnrolmentRequest,
} from '../contracts/enrolment.ts';
import { encodeGuestFrames, parseGuestFrames, type GuestFrame } from '../contracts/guest-frames.ts';
import type { SignedRequest } from '../contracts/request.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { systemClock, type Clock } from '../system/clock.ts';
import type { ContractId, RunId } from '../system/ids.ts';
import { systemRandom, type Random } from '../system/random.ts';
import { followRun } from './follow.ts';
import { GatewayUnreachable, parseJson, problemFrom } from './problem.ts';
import { DEFAULT_RETRY, withRetry, type RetryPolicy } from './retry.ts';
import { Transport, type HttpAnswer, type HttpCall, type TransportOptions } from './transport.ts';

export interface WeirClientOptions extends TransportOptions {
  readonly retry?: RetryPolicy;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface Page<Cursor> {
  readonly after?: Cursor;
  readonly limit?: number;
}

export interface UsageFilter {
  readonly from?: string;
  readonly to?: string;
  readonly analyst?: string;
  readonly contractId?: string;
}

/**
 * Owns its connections: `close` it when done. Every method throws WeirProblem for a refusal and
 * GatewayUnreachable where no usable answer came.
 */
export class WeirClient {
  readonly clock: Clock;
  readonly random: Random;
  readonly #transport: Transport;
  readonly #retry: RetryPolicy;

  /** @throws SetupError `config-invalid`, `tls-required` */
  constructor(options: WeirClientOptions) {
    this.#transport = new Transport(options);
    this.#retry = options.retry ?? DEFAULT_RETRY;
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? systemRandom;
  }

  /**
   * Starts a run. The same key with the same request is the same run, however often it is sent:
   * keep the key where a crash must not run twice.
   * @param weights - the encrypted weights that the request names.
   */
  startRun(
    request: SignedRequest,
    idempotencyKey: string = randomUUID(),
    weights?: Uint8Array,
  ): Promise<api.StartedRunBody> {
    const headers = { 'idempotency-key': idempotencyKey };
    const json =
      weights === undefined ? request : { ...request, weights: encodeBase64url(weights) };
    const call = { method: 'POST', path: '/v1/runs', headers, json } as const;
    return this.#again(call, api.StartedRunSchema);
  }

  run(runId: RunId): Promise<api.RunBody> {
    return this.#again({ method: 'GET', path: `/v1/runs/${runId}` }, api.RunBodySchema);
  }

  /** Asks the run to stop; one that has ended stays as it is. */
  cancelRun(runId: RunId): Promise<api.RunBody> {
    return this.#again({ method: 'DELETE', path: `/v1/runs/${runId}` }, api.RunBodySchema);
  }

  /** The sealed result and its receipt; a run without one throws the code it ended with. */
  result(runId: RunId): Promise<api.RunResultBody> {
    const call = { method: 'GET', path: `/v1/runs/${runId}/result` } as const;
    return this.#again(call, api.RunResultBodySchema);
  }

  /** Events after `afterSeq`, then live ones until the run ends; reconnects where the stream breaks. */
  follow(runId: RunId, afterSeq = 0, signal?: AbortSignal): AsyncGenerator<api.RunEventBody> {
    return followRun(this, this.#transport, runId, afterSeq, signal);
  }

  /**
   * Frames of a run that this analyst takes part in, from number `after` on: none where none came
   * in time, undefined where none will.
   */
  async frames(
    runId: RunId,
    after: number,
    signal?: AbortSignal,
  ): Promise<readonly GuestFrame[] | undefined> {
    const path = `/v1/runs/${runId}/frames?after=${after}`;
    const call = { method: 'GET', path, ...(signal === undefined ? {} : { signal }) } as const;
    const answer = await this.#retried(() => this.#answer(call), signal);
    return answer.status === 204 ? undefined : parseGuestFrames(answer.body);
  }

  /** Sends frames of such a run, the first of them under this number. @returns the next one due. */
  async sendFrames(
    runId: RunId,
    first: number,
    frames: readonly GuestFrame[],
    signal?: AbortSignal,
  ): Promise<number> {
    const path = `/v1/runs/${runId}/frames?first=${first}`;
    const bytes = encodeGuestFrames(frames);
    const sent = { bytes, ...(signal === undefined ? {} : { signal }) };
    const call = { method: 'POST', path, ...sent } as const;
    const { due } = await this.#retried(() => this.#once(call, api.FramesDueSchema), signal);
    return due;
  }

  explain(request: api.ExplainRequest): Promise<api.ExplainBody> {
    const call = { method: 'POST', path: '/v1/explain', json: request } as const;
    return this.#again(call, api.ExplainBodySchema);
  }

  /** What a query compiles to, would cost and show, and everything that refuses it. */
  plan(request: api.PlanRequest): Promise<api.PlanBody> {
    const call = { method: 'POST', path: '/v1/plans', json: request } as const;
    return this.#again(call, api.PlanBodySchema);
  }

  /** Files a contract; the same one again is answered alike. */
  proposeContract(contract: SignedContract): Promise<api.ContractBody> {
    const call = { method: 'POST', path: '/v1/contracts', json: contract } as const;
    return this.#again(call, api.ContractBodySchema);
  }

  contract(id: ContractId): Promise<api.ContractBody> {
    return this.#again({ method: 'GET', path: `/v1/contracts/${id}` }, api.ContractBodySchema);
  }

  contracts(page: Page<ContractId> = {}): Promise<api.ContractPage> {
    const call = { method: 'GET', path: `/v1/contracts${queryOf(page)}` } as const;
    return this.#again(call, api.ContractPageSchema);
  }

  /** Every contract of the caller's, oldest first, page after page. */
  async *everyContract(): AsyncGenerator<api.ContractBody> {
    let after: ContractId | undefined;
    for (;;) {
      const page = await this.contracts(after === undefined ? {} : { after });
      yield* page.contracts;
      // A gateway that goes round in circles is not followed.
      if (page.next === null || (after !== undefined && page.next <= after)) return;
      after = page.next;
    }
  }

  signContract(id: ContractId, signature: ContractSignature): Promise<api.ContractBody> {
    const path = `/v1/contracts/${id}/signatures`;
    return this.#once({ method: 'POST', path, json: signature }, api.ContractBodySchema);
  }

  /** The operator stops a contract's runs. */
  suspendContract(id: ContractId, reason: string): Promise<api.ContractBody> {
    const path = `/v1/contracts/${id}/suspension`;
    return this.#again({ method: 'POST', path, json: { reason } }, api.ContractBodySchema);
  }

  /** The operator lets them begin again; a holder's own suspension stays. */
  resumeContract(id: ContractId): Promise<api.ContractBody> {
    const path = `/v1/contracts/${id}/suspension`;
    return this.#once({ method: 'DELETE', path }, api.ContractBodySchema);
  }

  datasets(): Promise<api.DatasetList> {
    return this.#again({ method: 'GET', path: '/v1/catalog/datasets' }, api.DatasetListSchema);
  }

  /** What the catalog shows, as its holders signed it. */
  publications(): Promise<api.PublicationList> {
    const call = { method: 'GET', path: '/v1/catalog/publications' } as const;
    return this.#again(call, api.PublicationListSchema);
  }

  /** A page of metering records; go on with its `next`. */
  meteringRecords(page: Page<string> = {}): Promise<api.MeteringPage> {
    const call = { method: 'GET', path: `/v1/metering/records${queryOf(page)}` } as const;
    return this.#again(call, api.MeteringPageSchema);
  }

  usage(filter: UsageFilter = {}): Promise<api.UsageBody> {
    const call = { method: 'GET', path: `/v1/metering/usage${queryOf(filter)}` } as const;
    return this.#again(call, api.UsageBodySchema);
  }

  /** One analyst's statement of one calendar month, amounts as decimal strings. */
  statement(query: {
    readonly analyst: string;
    readonly month: string;
    readonly timeZone?: string;
  }): Promise<billing.StatementBody> {
    const path = `/v1/metering/statement${queryOf(query)}`;
    return this.#again({ method: 'GET', path }, billing.StatementBodySchema);
  }

  /** Corrects a posted charge by a new record. */
  correct(correction: billing.CorrectionRequest): Promise<api.MeteringRecordBody> {
    const call = { method: 'POST', path: '/v1/metering/corrections', json: correction } as const;
    return this.#once(call, api.MeteringRecordBodySchema);
  }

  /** Has every record from now on told to `url`; the secret is shown this once. */
  addWebhook(url: string, label: string): Promise<billing.CreatedWebhook> {
    const call = { method: 'POST', path: '/v1/webhooks', json: { url, label } } as const;
    return this.#once(call, billing.CreatedWebhookSchema);
  }

  webhooks(): Promise<billing.WebhookList> {
    return this.#again({ method: 'GET', path: '/v1/webhooks' }, billing.WebhookListSchema);
  }

  removeWebhook(id: string): Promise<object> {
    const path = `/v1/webhooks/${encodeURIComponent(id)}`;
    return this.#again({ method: 'DELETE', path }, billing.EmptySchema);
  }

  enableWebhook(id: string): Promise<object> {
    const path = `/v1/webhooks/${encodeURIComponent(id)}/enable`;
    return this.#again({ method: 'POST', path }, billing.EmptySchema);
  }

  /** Deliveries that every attempt failed for. */
  deadLetters(page: Page<string> = {}): Promise<billing.DeadLetters> {
    const path = `/v1/webhook-dead-letters${queryOf(page)}`;
    return this.#again({ method: 'GET', path }, billing.DeadLettersSchema);
  }

  redeliver(webhookId: string, seq: string): Promise<object> {
    const path = `/v1/webhooks/${encodeURIComponent(webhookId)}/redeliver`;
    return this.#again({ method: 'POST', path, json: { seq } }, billing.EmptySchema);
  }

  /** A domain's enrolment; check the answer with `verifyEnrolmentAnswer`. Safe to repeat. */
  enrol(request: EnrolmentRequest): Promise<EnrolmentAnswer> {
    const call = { method: 'POST', path: '/v1/enrolments', json: request } as const;
    return this.#again(call, EnrolmentAnswerSchema);
  }

  domains(): Promise<api.DomainList> {
    return this.#again({ method: 'GET', path: '/v1/domains' }, api.DomainListSchema);
  }

  createEnrolmentToken(request: api.EnrolmentTokenRequest): Promise<api.EnrolmentTokenBody> {
    const call = { method: 'POST', path: '/v1/enrolment-tokens', json: request } as const;
    return this.#once(call, api.EnrolmentTokenBodySchema);
  }

  createToken(request: api.TokenRequest): Promise<api.CreatedTokenBody> {
    const call = { method: 'POST', path: '/v1/tokens', json: request } as const;
    return this.#once(call, api.CreatedTokenSchema);
  }

  tokens(): Promise<api.TokenList> {
    return this.#again({ method: 'GET', path: '/v1/tokens' }, api.TokenListSchema);
  }

  revokeToken(id: string): Promise<api.TokenBody> {
    const path = `/v1/tokens/${encodeURIComponent(id)}`;
    return this.#again({ method: 'DELETE', path }, api.TokenBodySchema);
  }

  /** Drops the connections; calls under way fail. */
  close(): void {
    this.#transport.close();
  }

  #again<Body>(call: HttpCall, schema: z.ZodType<Body>): Promise<Body> {
    return this.#retried(() => this.#once(call, schema));
  }

  #retried<Answer>(call: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    return withRetry(call, this.#retry, this.clock, this.random, signal);
  }

  /** @throws WeirProblem for a refusal */
  async #answer(call: HttpCall): Promise<HttpAnswer> {
    const answer = await this.#transport.send(call);
    const { status, headers, body } = answer;
    if (status >= 200 && status <= 299) return answer;
    throw problemFrom(body.toString('utf8'), status, headers['retry-after']);
  }

  async #once<Body>(call: HttpCall, schema: z.ZodType<Body>): Promise<Body> {
    const parsed = schema.safeParse(parseJson((await this.#answer(call)).body.toString('utf8')));
    if (parsed.success) return parsed.data;
    throw new GatewayUnreachable(
      `The gateway’s answer to ${call.method} ${call.path.split('?')[0]} is not of this API’s version.`,
    );
  }
}

function queryOf(members: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(members)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}
