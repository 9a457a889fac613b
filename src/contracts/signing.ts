/**
 * Signatures on documents: detached JWS over canonical JSON. The protected header is fixed for each
 * context (`{"alg":"EdDSA","typ":"weir/contract/v1"}`), so a signature made for one kind of document
 * never serves for another, and there is nothing in it that an attacker may choose.
 * @see RFC 7515 appendix F, RFC 8037, RFC 8785
 */
import { IdentityError } from '../errors.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import { canonicalBytes } from '../system/canonical-json.ts';
import { eddsaSuite } from '../system/signature-suite.ts';
import type { KeyPair, SignatureContext, SignatureSuite } from '../system/signature-suite.ts';

/** A longer text is refused before it is looked at. */
export const JWS_LENGTH_MAX = 2048;

/** A document's canonical form, encoded once where many signatures are checked against it. */
export type Payload = string & { readonly __brand: 'Payload' };

/** @throws InputError `malformed-message` where the document is not JSON. */
export function payloadOf(document: unknown): Payload {
  return encodeBase64url(canonicalBytes(document)) as Payload;
}

/**
 * Signs a document: `header..signature`, the payload part empty.
 * @throws InputError `malformed-message` where the document is not JSON.
 */
export function signDocument(
  context: SignatureContext,
  document: unknown,
  keys: KeyPair,
  suite: SignatureSuite = eddsaSuite,
): string {
  const header = headerOf(context, suite);
  const signature = suite.signJwsInput(`${header}.${payloadOf(document)}`, keys);
  return `${header}..${encodeBase64url(signature)}`;
}

/**
 * Verifies a detached signature. The header must be, byte for byte, the one of this context and
 * suite; the signature must be in its only base64url form.
 * @param publicKey - raw, 32 bytes, from a pin or a document that is itself verified.
 * @param party - named in the refusal.
 * @throws IdentityError `signature-invalid`
 */
export function verifyDocument(
  context: SignatureContext,
  document: unknown,
  jws: string,
  publicKey: Uint8Array,
  party?: string,
  suite: SignatureSuite = eddsaSuite,
): void {
  verifyPayload(context, payloadOf(document), jws, publicKey, party, suite);
}

/** As `verifyDocument`, for a payload that is encoded already. @throws IdentityError `signature-invalid` */
export function verifyPayload(
  context: SignatureContext,
  payload: Payload,
  jws: string,
  publicKey: Uint8Array,
  party?: string,
  suite: SignatureSuite = eddsaSuite,
): void {
  const header = headerOf(context, suite);
  const signature = parseDetached(jws, header);
  const valid =
    signature !== undefined && suite.isJwsInputValid(`${header}.${payload}`, signature, publicKey);
  if (valid) return;
  throw new IdentityError('signature-invalid', `The signature (${context}) does not verify.`, {
    rule: context,
    ...(party === undefined ? {} : { party }),
    remedy: 'The named party signs exactly this document with its identity key.',
  });
}

function headerOf(context: SignatureContext, suite: SignatureSuite): string {
  return encodeBase64url(canonicalBytes({ alg: suite.algorithm, typ: context }));
}

function parseDetached(jws: string, header: string): Uint8Array | undefined {
  if (jws.length > JWS_LENGTH_MAX || !jws.startsWith(`${header}..`)) return undefined;
  try {
    return decodeBase64url(jws.slice(header.length + 2), 64);
  } catch {
    return undefined;
  }
}
