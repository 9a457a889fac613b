/**
 * What a gateway asks of the domains of a run, before data moves and after it: prepare, agree,
 * start, deliver (`officer-release.ts`), countersign. Parsed once at each end; every domain verifies every signature itself.
 */
import { z } from 'zod';
import { PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import { HOLDERS_MAX, SignedContractSchema } from './contract.ts';
import {
  ATTEMPTS_MAX,
  DescriptorSchema,
  DescriptorSignatureSchema,
  SignedRunKeySchema,
} from './descriptor.ts';
import { SignedReceiptSchema } from './receipt.ts';
import { SignedRequestSchema } from './request.ts';
import { type SignedSpend, SignedSpendSchema, SpendSchema } from './spend.ts';

/** Names of the link's requests. */
export const RUN_METHODS = {
  prepare: 'run.prepare',
  agree: 'run.agree',
  start: 'run.start',
  deliver: 'run.deliver',
  countersign: 'run.countersign',
} as const;

const Attempt = z.int().min(1).max(ATTEMPTS_MAX);

/** May this run? Answered with the domain's signed run key; nothing derived from data is in it. */
export const PrepareSchema = z.strictObject({
  runId: RunIdSchema,
  attempt: Attempt,
  parties: z.array(PartyIdSchema).min(1).max(HOLDERS_MAX),
  contract: SignedContractSchema,
  request: SignedRequestSchema,
});
export type Prepare = z.infer<typeof PrepareSchema>;

/** The descriptor all are to sign, with every party's run key; answered with a signature. */
export const AgreeSchema = z.strictObject({
  descriptor: DescriptorSchema,
  runKeys: z.array(SignedRunKeySchema).min(1).max(HOLDERS_MAX),
});
export type Agree = z.infer<typeof AgreeSchema>;

/** Everybody signed: verify, spend the counter, compute. */
export const StartSchema = z.strictObject({
  runId: RunIdSchema,
  attempt: Attempt,
  signatures: z.array(DescriptorSignatureSchema).min(1).max(HOLDERS_MAX),
});
export type Start = z.infer<typeof StartSchema>;

const WithoutParties = SpendSchema.omit({ parties: true });

/**
 * A run's receipt to countersign, with the spend statements it names, for the peers to witness: each
 * without the run's parties, which are those of the receipt. Named in every statement they would make
 * the message grow with the square of the holders, beyond what the link carries.
 */
export const CountersignSchema = z.strictObject({
  receipt: SignedReceiptSchema,
  spends: z.array(SignedSpendSchema.extend({ spend: WithoutParties })).max(HOLDERS_MAX),
});
export type Countersign = z.infer<typeof CountersignSchema>;

/** @param spends - of the receipt's very run: of its parties, in its order. */
export function encodeCountersign(
  receipt: Countersign['receipt'],
  spends: readonly SignedSpend[],
): Countersign {
  const without = spends.map(({ spend, jws }) => ({
    spend: WithoutParties.strip().parse(spend),
    jws,
  }));
  return { receipt, spends: without };
}

/** The statements as their domains signed them, where they are of the receipt's run. */
export function spendsOf({ receipt, spends }: Countersign): readonly SignedSpend[] {
  const { parties } = receipt.receipt;
  return spends.map(({ spend, jws }) => ({ spend: { ...spend, parties }, jws }));
}
