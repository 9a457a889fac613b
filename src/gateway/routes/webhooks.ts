/** Webhooks of billing systems: receivers, what could not be delivered, delivery once more by hand. */
import { z } from '@hono/zod-openapi';
import { PAGE_DEFAULT, PAGE_MAX } from '../../contracts/api.ts';
import {
  CreatedWebhookSchema,
  DeadLettersSchema,
  EmptySchema,
  RedeliverySchema,
  WebhookListSchema,
  WebhookRequestSchema,
} from '../../contracts/billing-api.ts';
import type { Webhooks } from '../../ledger/webhooks.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import { instant } from '../wire.ts';

export type WebhookService = Pick<
  Webhooks,
  'add' | 'list' | 'remove' | 'enable' | 'deadLetters' | 'redeliver'
>;

const SMALL_MAX_BYTES = 8192;
const Params = z.strictObject({ webhookId: z.uuid() });
const DeadQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,18}$/)
    .default('0'),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
});

export function mountWebhooks(app: HttpApp, gate: Gate, webhooks: WebhookService): void {
  mountReceivers(app, gate, webhooks);
  mountDeliveries(app, gate, webhooks);
}

function mountReceivers(app: HttpApp, gate: Gate, webhooks: WebhookService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/webhooks',
      tag: 'webhooks',
      summary: 'Has every record from now on told to an address; the secret is shown this once.',
      roles: ['billing', 'operator'],
      body: { schema: WebhookRequestSchema, bytesMax: SMALL_MAX_BYTES },
      answers: { 201: { description: 'The receiver.', schema: CreatedWebhookSchema } },
      problems: ['parameter-invalid'],
    },
    async ({ body }) => json(await webhooks.add(body.url, body.label), 201),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/webhooks',
      tag: 'webhooks',
      summary: 'Receivers, without their secrets.',
      roles: ['billing', 'operator'],
      answers: { 200: { description: 'Receivers.', schema: WebhookListSchema } },
      problems: [],
    },
    async () => {
      const listed = await webhooks.list();
      return json({
        webhooks: listed.map(({ createdAtMs, ...one }) => ({
          ...one,
          createdAt: instant(createdAtMs),
        })),
      });
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'delete',
      path: '/v1/webhooks/{webhookId}',
      tag: 'webhooks',
      summary: 'Forgets a receiver and what was to be told to it.',
      roles: ['billing', 'operator'],
      params: Params,
      answers: { 200: { description: 'Gone.', schema: EmptySchema } },
      problems: ['route-unknown'],
    },
    async ({ params }) => {
      await webhooks.remove(params.webhookId);
      return json({});
    },
  );
}

function mountDeliveries(app: HttpApp, gate: Gate, webhooks: WebhookService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/webhooks/{webhookId}/enable',
      tag: 'webhooks',
      summary: 'Turns a receiver that answered 410 on again.',
      roles: ['billing', 'operator'],
      params: Params,
      answers: { 200: { description: 'Active.', schema: EmptySchema } },
      problems: ['route-unknown'],
    },
    async ({ params }) => {
      await webhooks.enable(params.webhookId);
      return json({});
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/webhook-dead-letters',
      tag: 'webhooks',
      summary: 'Deliveries that every attempt failed for.',
      roles: ['billing', 'operator'],
      query: DeadQuery,
      answers: { 200: { description: 'Deliveries.', schema: DeadLettersSchema } },
      problems: [],
    },
    async ({ query }) => {
      const dead = await webhooks.deadLetters(BigInt(query.after), query.limit);
      return json({
        deliveries: dead.map(({ endpointId, seq, attempts, answer, updatedAtMs }) => ({
          webhookId: endpointId,
          seq: String(seq),
          attempts,
          answer,
          at: instant(updatedAtMs),
        })),
      });
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/webhooks/{webhookId}/redeliver',
      tag: 'webhooks',
      summary: 'Has one record told again, whatever became of it before.',
      roles: ['billing', 'operator'],
      params: Params,
      body: { schema: RedeliverySchema, bytesMax: SMALL_MAX_BYTES },
      answers: { 202: { description: 'It is due now.', schema: EmptySchema } },
      problems: ['route-unknown'],
    },
    async ({ params, body }) => {
      await webhooks.redeliver(params.webhookId, BigInt(body.seq));
      return json({}, 202);
    },
  );
}
