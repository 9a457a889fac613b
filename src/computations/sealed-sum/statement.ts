/**
 * What the first domain of a run tells the recipient, past the gateway: the key of the tags, and what
 * else the kind of run has, encrypted to the recipient; and which run it is of, signed. Without the
 * signature a gateway could make up a whole result: anyone can encrypt under a public key.
 */
import { hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, importJWK } from 'jose';
import { z } from 'zod';
import { signDocument, verifyDocument } from '../../contracts/signing.ts';
import { AbortError } from '../../errors.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { HashSchema, type Hash } from '../../system/ids.ts';
import type { KeyPair, SignatureContext } from '../../system/signature-suite.ts';
import { concatBytes } from '../../../protocols/common/bytes.ts';
import type { DomainRole } from '../computation.ts';

const TAG_KEY_BYTES = 32;
/** A statement as it travels, at most. */
export const STATEMENT_BYTES_MAX = 12_288;

/** Whose statement it is: one of another kind of run never serves. */
export interface StatementKind {
  readonly context: SignatureContext;
  readonly format: string;
  /** `typ` of the encrypted part. */
  readonly type: string;
  /** Of the tag key's derivation. */
  readonly label: string;
}

export const SEALED_STATEMENT: StatementKind = {
  context: 'weir/sealed-sum/v1',
  format: 'weir-sealed-sum/1',
  type: 'weir-tag-key/1',
  label: 'weir/sealed-sum/v1/tag-key',
};

export const WEIGHTS_STATEMENT: StatementKind = {
  context: 'weir/secret-weights/v1',
  format: 'weir-secret-weights/1',
  type: 'weir-weights-tag-key/1',
  label: 'weir/secret-weights/v1/tag-key',
};

const StatementSchema = z.strictObject({
  statement: z.strictObject({
    format: z.string().max(64),
    descriptorHash: HashSchema,
    /** Compact JWE to the recipient. */
    tagKey: z.string().max(8192),
  }),
  /** Detached JWS by the descriptor's first party. */
  jws: z.string().max(2048),
});

/** What a statement tells the recipient. */
export interface Told {
  /** Secret from the gateway. */
  readonly tagKey: Uint8Array;
  /** What else the kind of run has; secret from the gateway. */
  readonly more: Uint8Array;
}

/**
 * The key of the tags, from the seed that the domains share: the gateway knows neither.
 * Secret: wiped by the caller when the run ends.
 */
export function tagKeyOf(
  seed: Uint8Array,
  descriptorHash: Uint8Array,
  { label }: StatementKind,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', seed, descriptorHash, label, TAG_KEY_BYTES));
}

/** The first party's statement, as bytes that the gateway passes on. */
export async function encodeStatement(
  kind: StatementKind,
  role: Pick<DomainRole, 'contract' | 'descriptorHash' | 'identity'>,
  tagKey: Uint8Array,
  more: Uint8Array = new Uint8Array(),
): Promise<Uint8Array> {
  const { encryptionKey } = role.contract.recipient;
  const descriptorHash = HashSchema.parse(Buffer.from(role.descriptorHash).toString('hex'));
  const key = await importJWK({ kty: 'OKP', crv: 'X25519', x: encryptionKey }, 'ECDH-ES');
  const header = { alg: 'ECDH-ES', enc: 'A256GCM', typ: kind.type, descriptor: descriptorHash };
  const content = concatBytes([tagKey, more]);
  try {
    const sealed = await new CompactEncrypt(content).setProtectedHeader(header).encrypt(key);
    const statement = { format: kind.format, descriptorHash, tagKey: sealed };
    const jws = signDocument(kind.context, statement, role.identity);
    return new TextEncoder().encode(JSON.stringify({ statement, jws }));
  } finally {
    content.fill(0);
  }
}

/**
 * As the gateway passes it on, unread: the recipient verifies it.
 * @throws AbortError `transcript-mismatch`
 */
export function statementText(bytes: Uint8Array): string {
  try {
    if (bytes.length <= STATEMENT_BYTES_MAX)
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Told below, as what is too long.
  }
  throw new AbortError('transcript-mismatch', 'The statement to the recipient is malformed.');
}

/**
 * Verifies a statement and opens what it tells.
 * @param signKey - of the descriptor's first party, from the contract.
 * @param moreBytes - of what the kind of run has besides the tag key.
 * @throws AbortError `decryption-failed` whatever is wrong; IdentityError `signature-invalid`
 */
export async function openStatement(
  kind: StatementKind,
  text: string,
  descriptorHash: Hash,
  signKey: Uint8Array,
  recipient: KeyPair,
  moreBytes = 0,
): Promise<Told> {
  const { statement, jws } = parseStatement(text);
  verifyDocument(kind.context, statement, jws, signKey);
  if (statement.descriptorHash !== descriptorHash || statement.format !== kind.format)
    throw unopened();
  try {
    const key = await importJWK(
      {
        kty: 'OKP',
        crv: 'X25519',
        x: encodeBase64url(recipient.publicKey),
        d: encodeBase64url(recipient.secretKey),
      },
      'ECDH-ES',
    );
    const { plaintext, protectedHeader } = await compactDecrypt(statement.tagKey, key, {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    const isOfThisRun =
      protectedHeader.typ === kind.type && protectedHeader['descriptor'] === descriptorHash;
    if (isOfThisRun && plaintext.length === TAG_KEY_BYTES + moreBytes) {
      const told = new Uint8Array(plaintext);
      return { tagKey: told.slice(0, TAG_KEY_BYTES), more: told.slice(TAG_KEY_BYTES) };
    }
  } catch {
    // One answer for every failure: which step failed would help whoever made the text.
  }
  throw unopened();
}

function parseStatement(text: string): z.infer<typeof StatementSchema> {
  try {
    return StatementSchema.parse(JSON.parse(text));
  } catch {
    throw unopened();
  }
}

function unopened(): AbortError {
  return new AbortError('decryption-failed', 'The sealed result cannot be opened.', {
    rule: 'statement of the run',
    remedy: 'Use the recipient’s keys, and the result of this very run.',
  });
}
