/**
 * A result that only the contract's recipient can read: compact JWE, ECDH-ES on X25519 with
 * A256GCM. Run and contract stand in the protected header, which is authenticated with the content,
 * so a result can neither be moved to another run nor be read as another contract's.
 * @see RFC 7516, RFC 8037 §3.2
 */
import { createHash } from 'node:crypto';
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader, importJWK } from 'jose';
import type { CompactJWEHeaderParameters } from 'jose';
import { z } from 'zod';
import { AbortError, InputError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { HashSchema, RunIdSchema } from '../system/ids.ts';
import type { Hash, RunId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import { RoundingTermsSchema, type RoundingTerms } from './rounding-terms.ts';
import type { Contract } from './contract.ts';

/** A result's JSON text at most; beyond it a run's cells were not bounded. */
export const RESULT_BYTES_MAX = 512 * 1024 * 1024;
const TYPE = 'weir-result/1';
const PADDING_STEP_BYTES_MAX = 2 ** 20;

export const ReleaseSchema = z.strictObject({
  columns: z.array(z.string()),
  /** Decimals as strings where a double would round twice. */
  rows: z.array(z.array(z.union([z.string(), z.number(), z.null()]))),
  suppressedCells: z.int().min(0),
  releasedCells: z.int().min(0),
  /** To what figures were rounded; absent where none were. */
  rounding: RoundingTermsSchema.exactOptional(),
});

export const ResultSchema = z.strictObject({
  format: z.literal(TYPE),
  runId: RunIdSchema,
  contractHash: HashSchema,
  release: ReleaseSchema,
});
export type Result = z.infer<typeof ResultSchema>;

/** Which run and contract a result belongs to. */
export interface ResultPlace {
  readonly runId: RunId;
  readonly contractHash: Hash;
}

/** Padding: a length tells no more than a power of two from here on, and whole mebibytes in the end. */
export interface ResultPadding {
  readonly sizeBytesMin: number;
}

/**
 * Encrypts a result to the recipient the contract names.
 * @returns compact JWE text; its length tells the result's size, or only its bucket where padded.
 * @throws InputError `set-too-large` beyond `RESULT_BYTES_MAX`
 */
export async function sealResult(
  place: ResultPlace,
  release: {
    readonly columns: readonly string[];
    readonly rows: readonly (readonly (string | number | null)[])[];
    readonly suppressedCells: number;
    readonly releasedCells: number;
    readonly rounding?: RoundingTerms;
  },
  recipient: Contract['recipient'],
  padding?: ResultPadding,
): Promise<string> {
  const { runId, contractHash } = place;
  const document = { format: TYPE, runId, contractHash, release };
  const bytes = padded(new TextEncoder().encode(JSON.stringify(document)), padding);
  if (bytes.length > RESULT_BYTES_MAX) {
    throw new InputError('set-too-large', 'The result is too large.', {
      rule: `at most ${RESULT_BYTES_MAX} bytes`,
      remedy: 'Group by fewer labels.',
    });
  }
  const key = await importJWK({ kty: 'OKP', crv: 'X25519', x: recipient.encryptionKey }, 'ECDH-ES');
  return new CompactEncrypt(bytes)
    .setProtectedHeader({ ...headerOf(place), kid: recipient.id })
    .encrypt(key);
}

/**
 * Decrypts a sealed result and checks that it is of this run and contract, outside and inside.
 * @param recipient - the recipient's X25519 keys, raw.
 * @throws AbortError `decryption-failed`, whatever is wrong: the reason is not told apart
 */
export async function openResult(
  sealed: string,
  place: ResultPlace,
  recipient: KeyPair,
): Promise<Result> {
  try {
    // Before anything is computed with it: no other algorithm, no compression, no further member.
    const { epk, kid, ...header } = decodeProtectedHeader(sealed);
    const isOutside =
      typeof kid === 'string' &&
      epk !== undefined &&
      canonicalHash(header) === canonicalHash(headerOf(place));
    const key = await importJWK(
      {
        kty: 'OKP',
        crv: 'X25519',
        x: encodeBase64url(recipient.publicKey),
        d: encodeBase64url(recipient.secretKey),
      },
      'ECDH-ES',
    );
    if (isOutside) {
      const { plaintext } = await compactDecrypt(sealed, key);
      const result = ResultSchema.parse(JSON.parse(new TextDecoder().decode(plaintext)));
      const isInside = result.runId === place.runId && result.contractHash === place.contractHash;
      if (isInside) return result;
    }
  } catch {
    // One code for every failure: what failed would help whoever made the text.
  }
  throw new AbortError('decryption-failed', 'The sealed result cannot be opened.', {
    rule: 'recipient key, run and contract',
    remedy: 'Use the recipient’s key, and the result of this very run.',
  });
}

/** White space behind JSON changes nothing of what it says. */
function padded(
  bytes: Uint8Array<ArrayBuffer>,
  padding: ResultPadding | undefined,
): Uint8Array<ArrayBuffer> {
  if (padding === undefined) return bytes;
  let sizeBytes = padding.sizeBytesMin;
  while (sizeBytes < bytes.length) sizeBytes += Math.min(sizeBytes, PADDING_STEP_BYTES_MAX);
  const out = new Uint8Array(sizeBytes).fill(' '.charCodeAt(0));
  out.set(bytes);
  return out;
}

function headerOf(place: ResultPlace): CompactJWEHeaderParameters {
  const { runId: run, contractHash: contract } = place;
  return { alg: 'ECDH-ES', enc: 'A256GCM', typ: TYPE, run, contract };
}

/** SHA-256 of the sealed text, as the receipt names it. */
export function sealedResultHash(sealed: string): Hash {
  return HashSchema.parse(createHash('sha256').update(sealed).digest('hex'));
}
