/** Metering: records by cursor and sums of them, for billing systems. */
import { z } from '@hono/zod-openapi';
import {
  MeteringPageSchema,
  PAGE_DEFAULT,
  PAGE_MAX,
  UsageBodySchema,
} from '../../contracts/api.ts';
import { InstantSchema } from '../../contracts/contract.ts';
import { InputError } from '../../errors.ts';
import { ContractIdSchema, PartyIdSchema } from '../../system/ids.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { MeteringService } from '../services.ts';
import { recordBody, usageLineBody } from '../wire.ts';

const RecordQuery = z.strictObject({
  /** The `next` of the page before; left out for the first. */
  after: z
    .string()
    .regex(/^\d{1,18}$/)
    .default('0'),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
});

const UsageQuerySchema = z.strictObject({
  from: InstantSchema.optional(),
  to: InstantSchema.optional(),
  analyst: PartyIdSchema.optional(),
  contractId: ContractIdSchema.optional(),
});

export function mountMetering(app: HttpApp, gate: Gate, metering: MeteringService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/metering/records',
      tag: 'metering',
      summary: 'Metering records in order, after a cursor.',
      roles: ['billing', 'operator'],
      query: RecordQuery,
      answers: { 200: { description: 'A page of records.', schema: MeteringPageSchema } },
      problems: [],
    },
    async ({ query }) => {
      const after = BigInt(query.after);
      const found = await metering.records(after, query.limit + 1);
      const page = found.slice(0, query.limit);
      return json({
        records: page.map(recordBody),
        next: (page.at(-1)?.seq ?? after).toString(),
        more: found.length > query.limit,
      });
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/metering/usage',
      tag: 'metering',
      summary: 'Sums of records by analyst, contract, outcome and currency.',
      roles: ['billing', 'operator'],
      query: UsageQuerySchema,
      answers: { 200: { description: 'Sums.', schema: UsageBodySchema } },
      problems: ['parameter-invalid'],
    },
    async ({ query }) => {
      const fromMs = query.from === undefined ? undefined : Date.parse(query.from);
      const toMs = query.to === undefined ? undefined : Date.parse(query.to);
      if (fromMs !== undefined && toMs !== undefined && fromMs > toMs) {
        throw new InputError('parameter-invalid', 'The span of time ends before it begins.', {
          path: '/from',
        });
      }
      const { analyst, contractId } = query;
      const lines = await metering.usage({ fromMs, toMs, analyst, contractId });
      return json({ lines: lines.map(usageLineBody) });
    },
  );
}
