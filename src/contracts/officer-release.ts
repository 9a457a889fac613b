/**
 * An officer's word on one result, signed: it goes, or it does not. Bound to the run's descriptor, so
 * that it releases nothing else. It carries no reason: that could tell of the data, and stays in
 * the domain.
 */
import { z } from 'zod';
import { IdentityError } from '../errors.ts';
import { HashSchema, PartyIdSchema, RunIdSchema, type Hash, type RunId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { HOLDERS_MAX, InstantSchema, type Contract } from './contract.ts';
import { signKeyOf } from './signed-documents.ts';
import { JWS_LENGTH_MAX, signDocument, verifyDocument } from './signing.ts';

/** A domain to the gateway, over the run's channel: its part of the result is kept, durably. */
export const HELD_KIND = 'release.held';

const ReleaseDecisionSchema = z.strictObject({
  format: z.literal('weir-release/1'),
  runId: RunIdSchema,
  contractHash: HashSchema,
  descriptorHash: HashSchema,
  party: PartyIdSchema,
  decision: z.enum(['approved', 'refused']),
  at: InstantSchema,
});
export type ReleaseDecision = z.infer<typeof ReleaseDecisionSchema>;

export const SignedReleaseDecisionSchema = z.strictObject({
  release: ReleaseDecisionSchema,
  jws: z.string().max(JWS_LENGTH_MAX),
});
export type SignedReleaseDecision = z.infer<typeof SignedReleaseDecisionSchema>;

/** A domain tells its gateway how its officer decided. */
export const DecidedSchema = z.strictObject({ signed: SignedReleaseDecisionSchema });

/** All decided: every domain is to send its part over a channel of this name. */
export const DeliverSchema = z.strictObject({
  runId: RunIdSchema,
  /** A run id of its own, new for each try: what carries the parts, not what computed them. */
  deliveryId: RunIdSchema,
  decisions: z.array(SignedReleaseDecisionSchema).min(1).max(HOLDERS_MAX),
});
export type Deliver = z.infer<typeof DeliverSchema>;

/** Which result a decision must be of. */
export interface ReleasePlace {
  readonly runId: RunId;
  readonly contractHash: Hash;
  readonly descriptorHash: Hash;
}

export function signReleaseDecision(
  release: ReleaseDecision,
  keys: KeyPair,
): SignedReleaseDecision {
  return { release, jws: signDocument('weir/release/v1', release, keys) };
}

/** By a holder of the contract, of this very result. @throws IdentityError */
export function verifyReleaseDecision(
  { release, jws }: SignedReleaseDecision,
  contract: Contract,
  place: ReleasePlace,
): void {
  const { party } = release;
  const isOfIt =
    release.runId === place.runId &&
    release.contractHash === place.contractHash &&
    release.descriptorHash === place.descriptorHash &&
    contract.holders.some(({ id }) => id === party);
  if (!isOfIt) {
    throw new IdentityError('party-not-in-contract', 'The decision is not on this result.', {
      party,
      rule: 'runId, contractHash, descriptorHash, party',
    });
  }
  verifyDocument('weir/release/v1', release, jws, signKeyOf(contract, party), party);
}
