/**
 * The spend statement: a domain's signed word that it counted a run before anything derived from
 * its data left. Numbered without gaps and chained, so that whoever has seen one can tell when the
 * domain's counters were rolled back.
 */
import { z } from 'zod';
import { canonicalHash } from '../system/canonical-json.ts';
import { HashSchema, PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import type { Hash } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { Bytes32Schema, HOLDERS_MAX, InstantSchema } from './contract.ts';
import { ATTEMPTS_MAX } from './descriptor.ts';
import { signDocument, verifyDocument } from './signing.ts';

/** The hash before the first statement. */
export const SPEND_GENESIS: Hash = HashSchema.parse('0'.repeat(64));

const Runs = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const SpendSchema = z.strictObject({
  format: z.literal('weir-spend/1'),
  /** The domain that counts. */
  party: PartyIdSchema,
  /** 1, 2, 3 … over all contracts of this domain. */
  seq: z.int().min(1),
  /** Hash of the statement before, or of what the officer accepted in its place. */
  previous: HashSchema,
  contractHash: HashSchema,
  requestHash: HashSchema,
  nonce: Bytes32Schema,
  runId: RunIdSchema,
  attempt: z.int().min(1).max(ATTEMPTS_MAX),
  descriptorHash: HashSchema,
  parties: z.array(PartyIdSchema).min(1).max(HOLDERS_MAX),
  /** 1, or 0 for a further attempt of a run that is counted already. */
  runs: z.int().min(0).max(1),
  /** Runs of this contract after this one, in all and in the named windows. */
  counted: z.strictObject({
    total: Runs,
    day: z.strictObject({ key: z.string().max(10), runs: Runs }),
    month: z.strictObject({ key: z.string().max(7), runs: Runs }),
  }),
  at: InstantSchema,
});
export type Spend = z.infer<typeof SpendSchema>;

export const SignedSpendSchema = z.strictObject({
  spend: SpendSchema,
  /** Detached JWS by the domain. */
  jws: z.string().max(2048),
});
export type SignedSpend = z.infer<typeof SignedSpendSchema>;

export function spendHash(spend: Spend): Hash {
  return canonicalHash(spend);
}

export function signSpend(spend: Spend, keys: KeyPair): SignedSpend {
  return { spend, jws: signDocument('weir/spend/v1', spend, keys) };
}

/** @returns the statement's hash. @throws IdentityError `signature-invalid` */
export function verifySpend(signed: SignedSpend, publicKey: Uint8Array): Hash {
  verifyDocument('weir/spend/v1', signed.spend, signed.jws, publicKey, signed.spend.party);
  return spendHash(signed.spend);
}
