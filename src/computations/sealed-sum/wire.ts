/** Names of a sealed sum's messages after the counting round, and the table they are released as. */
import { AbortError, WeirError, type CodeOf } from '../../errors.ts';
import { ProtocolError, type ProtocolErrorCode } from '../../../protocols/common/protocol-error.ts';

export const SEALED_KINDS = {
  /** First party to gateway, for the recipient. */
  statement: 'round2.statement',
  /** Each party to gateway, a frame of ciphertexts. */
  sealed: 'round2.sealed',
} as const;

/**
 * A sealed release is a table of one text column with this name: the statement, the descriptor as
 * JSON, then the summed frames in base64url, in the order of the shape's places.
 */
export const SEALED_COLUMN = 'sealed-sum/1';

/** True where a release is one that only its recipient's sealing key opens. */
export function isSealedRelease(release: { readonly columns: readonly string[] }): boolean {
  return release.columns.length === 1 && release.columns[0] === SEALED_COLUMN;
}

const CODES: Readonly<Partial<Record<ProtocolErrorCode, CodeOf<'abort'>>>> = {
  'decryption-failed': 'decryption-failed',
  'encoding-failed': 'domain-failed',
};

/**
 * Runs a role; a check of the protocol that fails ends it as a typed abort.
 * @throws AbortError `decryption-failed`; `domain-failed` where the native library failed, twice;
 *   else `transcript-mismatch`. Other WeirErrors as they are.
 */
export async function asSealedAbort<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WeirError || !(error instanceof ProtocolError)) throw error;
    throw new AbortError(
      CODES[error.code] ?? 'transcript-mismatch',
      'A message of the run did not pass its checks.',
      { rule: error.code },
      { cause: error },
    );
  }
}
