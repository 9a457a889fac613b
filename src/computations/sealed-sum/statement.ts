/**
 * What the first domain of a run tells the recipient, past the gateway: the key of the tags,
 * encrypted to the recipient, and which run it is of, signed. Without the signature a gateway could
 * make up a whole result: anyone can encrypt under a public key.
 */
import { hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, importJWK } from 'jose';
import { z } from 'zod';
import type { Contract } from '../../contracts/contract.ts';
import { signDocument, verifyDocument } from '../../contracts/signing.ts';
import { AbortError } from '../../errors.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import { HashSchema, type Hash } from '../../system/ids.ts';
import type { KeyPair } from '../../system/signature-suite.ts';

const TYPE = 'weir-tag-key/1';
const TAG_KEY_BYTES = 32;
/** A statement as it travels, at most. */
export const STATEMENT_BYTES_MAX = 8192;

const StatementSchema = z.strictObject({
  statement: z.strictObject({
    format: z.literal('weir-sealed-sum/1'),
    descriptorHash: HashSchema,
    /** Compact JWE to the recipient. */
    tagKey: z.string().max(4096),
  }),
  /** Detached JWS by the descriptor's first party. */
  jws: z.string().max(2048),
});

/**
 * The key of the tags, from the seed that the domains share: the gateway knows neither.
 * Secret: wiped by the caller when the run ends.
 */
export function tagKeyOf(seed: Uint8Array, descriptorHash: Uint8Array): Uint8Array {
  const label = 'weir/sealed-sum/v1/tag-key';
  return new Uint8Array(hkdfSync('sha256', seed, descriptorHash, label, TAG_KEY_BYTES));
}

/** The first party's statement, as bytes that the gateway passes on. */
export async function encodeStatement(
  descriptorHash: Hash,
  tagKey: Uint8Array,
  recipient: Contract['recipient'],
  identity: KeyPair,
): Promise<Uint8Array> {
  const key = await importJWK({ kty: 'OKP', crv: 'X25519', x: recipient.encryptionKey }, 'ECDH-ES');
  const sealed = await new CompactEncrypt(tagKey)
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', typ: TYPE, descriptor: descriptorHash })
    .encrypt(key);
  const statement = { format: 'weir-sealed-sum/1', descriptorHash, tagKey: sealed };
  const jws = signDocument('weir/sealed-sum/v1', statement, identity);
  return new TextEncoder().encode(JSON.stringify({ statement, jws }));
}

/**
 * Verifies a statement and opens its key.
 * @param signKey - of the descriptor's first party, from the contract.
 * @throws AbortError `decryption-failed` whatever is wrong; IdentityError `signature-invalid`
 */
export async function openStatement(
  text: string,
  descriptorHash: Hash,
  signKey: Uint8Array,
  recipient: KeyPair,
): Promise<Uint8Array> {
  const { statement, jws } = parseStatement(text);
  verifyDocument('weir/sealed-sum/v1', statement, jws, signKey);
  if (statement.descriptorHash !== descriptorHash) throw unopened();
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
      protectedHeader.typ === TYPE && protectedHeader['descriptor'] === descriptorHash;
    if (isOfThisRun && plaintext.length === TAG_KEY_BYTES) return new Uint8Array(plaintext);
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
  return new AbortError('decryption-failed', 'The sealed sum cannot be opened.', {
    rule: 'statement of the run',
    remedy: 'Use the recipient’s keys, and the result of this very run.',
  });
}
