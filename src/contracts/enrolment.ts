/**
 * How a domain becomes known to a gateway: a one-time token names the domain, a signature over the
 * token's hash proves that it holds its key, and the gateway's signed answer lets the officer
 * compare fingerprints of both keys by eye.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InputError, IdentityError } from '../errors.ts';
import { canonicalBytes } from '../system/canonical-json.ts';
import { HashSchema, PartyIdSchema, type Hash, type PartyId } from '../system/ids.ts';
import type { KeyPair, SignatureSuite } from '../system/signature-suite.ts';
import { PartySchema, PublicKeySchema } from './contract.ts';
import { isStrongSignKey } from './key-strength.ts';

export const ENROLMENT_TOKEN = /^weir_enrol_[A-Za-z0-9_-]{43}$/;
/** 64 bytes in base64url, in its only spelling. */
const SignatureText = z.string().regex(/^[A-Za-z0-9_-]{85}[AQgw]$/);

export const EnrolmentRequestSchema = z.strictObject({
  token: z.string().max(200),
  party: PartySchema,
  /** Ed25519 over the claim's canonical form, context `weir/enrolment/v1`. */
  proof: SignatureText,
});
export type EnrolmentRequest = z.infer<typeof EnrolmentRequestSchema>;

export const EnrolmentAnswerSchema = z.strictObject({
  format: z.literal('weir-enrolment-answer/1'),
  tokenHash: HashSchema,
  party: PartyIdSchema,
  signKey: PublicKeySchema,
  gatewayKey: PublicKeySchema,
  /** Ed25519 by the gateway over the fields above. */
  signature: SignatureText,
});
export type EnrolmentAnswer = z.infer<typeof EnrolmentAnswerSchema>;

/** What stands for the token in everything that is signed or stored. */
export function enrolmentTokenHash(token: string): Hash {
  return HashSchema.parse(createHash('sha256').update(token).digest('hex'));
}

function claimBytes(tokenHash: Hash, party: PartyId, signKey: string): Uint8Array {
  return canonicalBytes({ format: 'weir-enrolment/1', tokenHash, party, signKey });
}

/** The body a domain sends: its name and key, with the proof that it holds the key. */
export function encodeEnrolment(
  token: string,
  party: EnrolmentRequest['party'],
  keys: KeyPair,
  suite: SignatureSuite,
): EnrolmentRequest {
  const bytes = claimBytes(enrolmentTokenHash(token), party.id, party.signKey);
  const proof = Buffer.from(suite.sign('weir/enrolment/v1', bytes, keys)).toString('base64url');
  return { token, party, proof };
}

/** @throws IdentityError `signature-invalid` where the sender does not hold the key it names. */
export function verifyEnrolment(request: EnrolmentRequest, suite: SignatureSuite): Hash {
  const tokenHash = enrolmentTokenHash(request.token);
  // Under a key of low order one signature fits every message: such a key would be nobody's.
  const isProven =
    isStrongSignKey(request.party.signKey) &&
    suite.isValid(
      'weir/enrolment/v1',
      claimBytes(tokenHash, request.party.id, request.party.signKey),
      Buffer.from(request.proof, 'base64url'),
      Buffer.from(request.party.signKey, 'base64url'),
    );
  if (!isProven) {
    throw new IdentityError(
      'signature-invalid',
      'The enrolment is not signed by the key it names.',
      {
        party: request.party.id,
      },
    );
  }
  return tokenHash;
}

/** The gateway's signed answer to an enrolment it has stored. */
export function encodeEnrolmentAnswer(
  tokenHash: Hash,
  party: EnrolmentRequest['party'],
  gateway: KeyPair,
  suite: SignatureSuite,
): EnrolmentAnswer {
  const answer = {
    format: 'weir-enrolment-answer/1',
    tokenHash,
    party: party.id,
    signKey: party.signKey,
    gatewayKey: Buffer.from(gateway.publicKey).toString('base64url'),
  } as const;
  const signature = suite.sign('weir/enrolment/v1', canonicalBytes(answer), gateway);
  return { ...answer, signature: Buffer.from(signature).toString('base64url') };
}

/**
 * Checks that the answer is for this very request and signed by the key it names; whether that
 * key is the gateway's is for the officer, who compares its fingerprint out of band.
 * @returns the gateway's public key, 32 bytes.
 * @throws InputError `malformed-message`; IdentityError `signature-invalid`.
 */
export function verifyEnrolmentAnswer(
  answer: EnrolmentAnswer,
  request: EnrolmentRequest,
  suite: SignatureSuite,
): Uint8Array {
  const { signature, ...signed } = answer;
  const isForRequest =
    answer.tokenHash === enrolmentTokenHash(request.token) &&
    answer.party === request.party.id &&
    answer.signKey === request.party.signKey;
  if (!isForRequest) {
    throw new InputError('malformed-message', 'The gateway answered another enrolment.');
  }
  const gatewayKey = new Uint8Array(Buffer.from(answer.gatewayKey, 'base64url'));
  const isSigned = suite.isValid(
    'weir/enrolment/v1',
    canonicalBytes(signed),
    Buffer.from(signature, 'base64url'),
    gatewayKey,
  );
  if (!isSigned) {
    throw new IdentityError('signature-invalid', 'The gateway did not sign its enrolment answer.');
  }
  return gatewayKey;
}
