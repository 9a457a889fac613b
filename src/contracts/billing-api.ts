/** The bodies of the billing routes: statements, corrections, webhooks. As in `api.ts`, amounts are decimal strings. */
import { z } from 'zod';
import { ContractIdSchema, HashSchema, PartyIdSchema } from '../system/ids.ts';
import { InstantSchema } from './contract.ts';

const Amount = z.string().regex(/^-?\d{1,39}$/);
const Units = z.record(z.string(), Amount);
const Seq = z.string().regex(/^\d{1,18}$/);
export const StatementBodySchema = z.looseObject({
  analyst: PartyIdSchema,
  month: z.string(),
  timeZone: z.string(),
  final: z.boolean(),
  lines: z.array(
    z.looseObject({
      contractId: ContractIdSchema.optional(),
      currency: z.string(),
      records: Amount,
      corrections: Amount,
      units: Units,
      chargeMicros: Amount,
      earlierMonthsMicros: Amount,
    }),
  ),
  totalMicros: z.record(z.string(), Amount),
  hash: HashSchema,
});
export type StatementBody = z.infer<typeof StatementBodySchema>;

export const CorrectionRequestSchema = z.strictObject({
  /** The number of the posted record that the new one takes the place of. */
  supersedes: Seq,
  /** What it should have been. */
  chargeMicros: Seq,
  reason: z.string().min(1).max(500),
});
export type CorrectionRequest = z.infer<typeof CorrectionRequestSchema>;

export const WebhookRequestSchema = z.strictObject({
  url: z.string().max(2048),
  label: z.string().max(200).default(''),
});
export const CreatedWebhookSchema = z.object({
  id: z.string(),
  /** Standard Webhooks `whsec_…`; shown this once. */
  secret: z.string(),
});
export type CreatedWebhook = z.infer<typeof CreatedWebhookSchema>;
export const WebhookListSchema = z.object({
  webhooks: z.array(
    z.object({
      id: z.string(),
      url: z.string(),
      label: z.string(),
      state: z.enum(['active', 'disabled']),
      createdAt: InstantSchema,
    }),
  ),
});
export type WebhookList = z.infer<typeof WebhookListSchema>;
export const DeadLettersSchema = z.object({
  deliveries: z.array(
    z.object({
      webhookId: z.string(),
      seq: z.string(),
      attempts: z.int(),
      answer: z.string().nullish(),
      at: InstantSchema,
    }),
  ),
});
export type DeadLetters = z.infer<typeof DeadLettersSchema>;
export const RedeliverySchema = z.strictObject({ seq: Seq });
export const EmptySchema = z.object({});
