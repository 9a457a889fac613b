/** For billing systems: CloudEvents, monthly statements, and corrections that edit nothing. */
import { z } from '@hono/zod-openapi';
import { MeteringRecordBodySchema, PAGE_DEFAULT, PAGE_MAX } from '../../contracts/api.ts';
import { CorrectionRequestSchema, StatementBodySchema } from '../../contracts/billing-api.ts';
import { PartyIdSchema } from '../../system/ids.ts';
import { EVENT_BATCH_CONTENT_TYPE } from '../../ledger/cloud-events.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { BillingService } from '../services.ts';
import { recordBody } from '../wire.ts';

const EventQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,18}$/)
    .default('0'),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
});
const StatementQuerySchema = z.strictObject({
  analyst: PartyIdSchema,
  month: z.string().max(16),
  timeZone: z.string().max(64).default('Asia/Shanghai'),
});
const SMALL_MAX_BYTES = 4096;

export function mountBilling(app: HttpApp, gate: Gate, billing: BillingService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/metering/events',
      tag: 'metering',
      summary: 'Metering records as a CloudEvents 1.0 batch, after a cursor.',
      roles: ['billing', 'operator'],
      query: EventQuery,
      answers: { 200: { description: 'A CloudEvents JSON batch.', schema: z.array(z.unknown()) } },
      problems: [],
    },
    async ({ query }) => ({
      status: 200,
      body: {
        text: await billing.events(BigInt(query.after), query.limit),
        mediaType: EVENT_BATCH_CONTENT_TYPE,
      },
    }),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/metering/statement',
      tag: 'metering',
      summary: 'One analyst’s statement of one calendar month.',
      roles: ['billing', 'operator'],
      query: StatementQuerySchema,
      answers: { 200: { description: 'The statement.', schema: StatementBodySchema } },
      problems: ['parameter-invalid'],
    },
    async ({ query }) => json(await billing.statement(query)),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/metering/corrections',
      tag: 'metering',
      summary: 'Corrects a posted charge by a new record; the old one stays as it is.',
      roles: ['operator'],
      body: { schema: CorrectionRequestSchema, bytesMax: SMALL_MAX_BYTES },
      answers: { 201: { description: 'The new record.', schema: MeteringRecordBodySchema } },
      problems: ['parameter-invalid', 'already-exists'],
    },
    async ({ body, caller }) => {
      const corrected = await billing.correct({
        supersedes: BigInt(body.supersedes),
        chargeMicros: BigInt(body.chargeMicros),
        reason: body.reason,
        by: caller.party,
      });
      return json(recordBody(corrected), 201);
    },
  );
}
