/**
 * The receipt: what a run was, what it cost and where it stands in the record and the audit log,
 * signed by the gateway and countersigned by the domains that took part. Verified offline, from
 * the contract and nothing else: every key comes out of what the holders signed.
 */
import { z } from 'zod';
import { IdentityError, InputError, StateError } from '../errors.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { ContractIdSchema, HashSchema, PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { HOLDERS_MAX, InstantSchema, PublicKeySchema } from './contract.ts';
import type { SignedContract } from './contract.ts';
import { ATTEMPTS_MAX } from './descriptor.ts';
import { payloadOf, signDocument, verifyDocument, verifyPayload } from './signing.ts';
import { contractHash, holderKeyOf, verifyAllSignatures } from './signed-documents.ts';

/** Decimal digits of a whole amount. */
const Amount = z.string().regex(/^\d{1,39}$/);

export const ReceiptSchema = z.strictObject({
  format: z.literal('weir-receipt/1'),
  /** The gateway's signing key; a domain countersigns only under the one it has pinned. */
  gatewayKey: PublicKeySchema,
  runId: RunIdSchema,
  attempt: z.int().min(1).max(ATTEMPTS_MAX),
  contractId: ContractIdSchema,
  contractHash: HashSchema,
  requestHash: HashSchema,
  /** Null where the parties never agreed. */
  descriptorHash: HashSchema.nullable(),
  /** Exactly the parties of the descriptor, in its order; empty where there is none. */
  parties: z.array(PartyIdSchema).max(HOLDERS_MAX),
  /** The domains' own counts of this run, as the gateway witnessed them. */
  spends: z
    .array(z.strictObject({ party: PartyIdSchema, seq: z.int().min(1), hash: HashSchema }))
    .max(HOLDERS_MAX),
  outcome: z.enum(['posted', 'refused', 'voided', 'expired']),
  /** Why it was refused or voided. */
  code: z.string().max(64).nullable(),
  units: z.record(z.string().max(32), Amount),
  chargeMicros: Amount,
  currency: z.string().regex(/^[A-Z]{3}$/),
  /** The metering record: its number and the hash of its canonical form. */
  record: z.strictObject({ seq: Amount, hash: HashSchema }),
  /** The audit log's head with this run's entry in it. */
  audit: z.strictObject({ size: Amount, hash: HashSchema }),
  /** SHA-256 of the sealed result, where there is one. */
  resultHash: HashSchema.nullable(),
  at: InstantSchema,
});
export type Receipt = z.infer<typeof ReceiptSchema>;

export const CountersignatureSchema = z.strictObject({
  party: PartyIdSchema,
  /** Detached JWS over the receipt, context `weir/countersign/v1`. */
  jws: z.string().max(2048),
});
export type Countersignature = z.infer<typeof CountersignatureSchema>;

export const SignedReceiptSchema = z.strictObject({
  receipt: ReceiptSchema,
  /** Detached JWS by the gateway, context `weir/receipt/v1`. */
  jws: z.string().max(2048),
  countersignatures: z.array(CountersignatureSchema).max(HOLDERS_MAX),
});
export type SignedReceipt = z.infer<typeof SignedReceiptSchema>;

export function receiptHash(receipt: Receipt): Hash {
  return canonicalHash(receipt);
}

/** @throws InputError `malformed-message` where the receipt names another gateway key. */
export function signReceipt(receipt: Receipt, gateway: KeyPair): SignedReceipt {
  if (receipt.gatewayKey !== encodeBase64url(gateway.publicKey)) {
    throw new InputError('malformed-message', 'The receipt names another gateway key.');
  }
  return { receipt, jws: signDocument('weir/receipt/v1', receipt, gateway), countersignatures: [] };
}

/** What a domain knows of a run it took part in. */
export interface KnownRun {
  readonly runId: string;
  readonly attempt: number;
  readonly contractHash: Hash;
  readonly requestHash: Hash;
  readonly descriptorHash: Hash;
  /** This domain's own spend for it. */
  readonly spend: { readonly seq: number; readonly hash: Hash };
}

/**
 * A domain's countersignature: the gateway is the pinned one, the run is the one this domain took
 * part in, and its own count stands in the receipt as it made it.
 * @throws IdentityError `signature-invalid`, `party-not-pinned`; StateError `descriptor-mismatch`
 */
export function countersignReceipt(
  signed: SignedReceipt,
  known: KnownRun,
  self: PartyId,
  identity: KeyPair,
  isPinnedGateway: (publicKey: Uint8Array) => boolean,
): Countersignature {
  const { receipt, jws } = signed;
  const gatewayKey = decodeBase64url(receipt.gatewayKey, 32);
  if (!isPinnedGateway(gatewayKey)) {
    throw new IdentityError('party-not-pinned', 'The receipt is by a gateway not pinned here.', {
      party: 'gateway',
      rule: 'gateways are pinned at enrolment',
    });
  }
  verifyDocument('weir/receipt/v1', receipt, jws, gatewayKey, 'gateway');
  const own = receipt.spends.find((spend) => spend.party === self);
  const isKnown =
    receipt.runId === known.runId &&
    receipt.attempt === known.attempt &&
    receipt.contractHash === known.contractHash &&
    receipt.requestHash === known.requestHash &&
    receipt.descriptorHash === known.descriptorHash &&
    receipt.parties.includes(self) &&
    own?.seq === known.spend.seq &&
    own.hash === known.spend.hash;
  if (!isKnown) {
    throw new StateError('descriptor-mismatch', 'The receipt is not of a run of this domain.', {
      party: self,
      rule: 'runId, attempt, hashes and own spend',
    });
  }
  return { party: self, jws: signDocument('weir/countersign/v1', receipt, identity) };
}

/** One countersignature by a party of the receipt. @throws IdentityError */
export function verifyCountersignature(
  receipt: Receipt,
  countersignature: Countersignature,
  contract: SignedContract['contract'],
): void {
  const { party, jws } = countersignature;
  if (!receipt.parties.includes(party)) throw strangerTo(party);
  verifyDocument('weir/countersign/v1', receipt, jws, holderKeyOf(contract, party), party);
}

export interface VerifiedReceipt {
  readonly hash: Hash;
  readonly countersignedBy: readonly PartyId[];
  /** Parties of the run whose countersignature is not there (yet). */
  readonly missing: readonly PartyId[];
}

export interface ReceiptExpectations {
  readonly contract: SignedContract;
  /** Where the verifier has pinned the gateway itself. */
  readonly gatewayKey?: Uint8Array;
  /** The sealed result that came with the receipt. */
  readonly resultHash?: Hash;
}

/**
 * Verifies a receipt offline: the contract's signatures, the gateway's, every countersignature.
 * Without a pinned gateway key at least one holder must vouch for the key by countersigning.
 * @throws IdentityError `signature-invalid`, `signature-missing`, `party-not-in-contract`,
 *   `party-not-pinned`; StateError `descriptor-mismatch`
 */
export function verifyReceipt(
  signed: SignedReceipt,
  expected: ReceiptExpectations,
): VerifiedReceipt {
  const { receipt, jws, countersignatures } = signed;
  const { contract } = expected.contract;
  verifyAllSignatures(expected.contract);
  if (receipt.contractHash !== contractHash(contract) || receipt.contractId !== contract.id) {
    throw otherThan('contractHash');
  }
  if (expected.resultHash !== undefined && receipt.resultHash !== expected.resultHash) {
    throw otherThan('resultHash');
  }
  const gatewayKey = decodeBase64url(receipt.gatewayKey, 32);
  const pinned = expected.gatewayKey;
  if (pinned !== undefined && encodeBase64url(pinned) !== receipt.gatewayKey) {
    throw new IdentityError('party-not-pinned', 'The receipt is by another gateway.', {
      party: 'gateway',
      rule: 'gatewayKey',
    });
  }
  const payload = payloadOf(receipt);
  verifyPayload('weir/receipt/v1', payload, jws, gatewayKey, 'gateway');
  const waiting = new Set(receipt.parties);
  for (const { party, jws: counter } of countersignatures) {
    if (!waiting.delete(party)) throw strangerTo(party);
    const key = holderKeyOf(contract, party);
    verifyPayload('weir/countersign/v1', payload, counter, key, party);
  }
  const countersignedBy = countersignatures.map((one) => one.party);
  if (pinned === undefined && countersignedBy.length === 0) {
    throw new IdentityError('signature-missing', 'Nobody vouches for the gateway’s key.', {
      party: 'gateway',
      rule: 'a pinned gateway key, or a holder’s countersignature',
    });
  }
  return { hash: receiptHash(receipt), countersignedBy, missing: [...waiting] };
}

function strangerTo(party: PartyId): IdentityError {
  return new IdentityError('party-not-in-contract', 'A countersignature is by nobody expected.', {
    party,
    rule: 'each party of the run countersigns once',
  });
}

function otherThan(rule: string): StateError {
  return new StateError('descriptor-mismatch', 'The receipt is for something else.', { rule });
}
