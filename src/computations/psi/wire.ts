/** What a match tells the gateway when it is over, and how a failed check of the protocol ends it. */
import { z } from 'zod';
import { AbortError, WeirError } from '../../errors.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { STATEMENT_LENGTH_MAX } from './statement.ts';

export const PSI_KINDS = {
  /** Either holder to gateway, before its result: how far it is. */
  progress: 'psi.progress',
  /** Receiver to gateway: what disclosure control lets out. */
  result: 'psi.result',
  /** Sender to gateway: it has answered everything; for a sum, with its half for the recipient. */
  done: 'psi.done',
} as const;

/** The release of an intersection: the receiver's statement, under this column's name. */
export const SEALED_KEYS_COLUMN = 'psi-keys/1';
/** The release of a sum: the receiver's statement, then the sender's. */
export const SEALED_SUM_COLUMN = 'psi-sum/1';

/** The release by groups: the receiver's statement; then the sender's, where values were summed. */
export const SEALED_GROUPS_COLUMN = 'psi-groups/1';

/** Whether a release is one that only its recipient opens. */
export function isSealedMatch(release: { readonly columns: readonly string[] }): boolean {
  const [column] = release.columns;
  return (
    column === SEALED_KEYS_COLUMN || column === SEALED_SUM_COLUMN || column === SEALED_GROUPS_COLUMN
  );
}

/** `shared` is null where the number may not be released. */
const ResultSchema = z.discriminatedUnion('ask', [
  z.strictObject({
    ask: z.literal('cardinality'),
    shared: z.int().min(0).nullable(),
  }),
  z.strictObject({
    ask: z.literal('intersection'),
    statement: z.string().max(STATEMENT_LENGTH_MAX),
  }),
  z.strictObject({ ask: z.literal('sum'), statement: z.string().max(STATEMENT_LENGTH_MAX) }),
  z.strictObject({ ask: z.literal('groups'), statement: z.string().max(STATEMENT_LENGTH_MAX) }),
]);
export type PsiResult = z.infer<typeof ResultSchema>;

export function encodePsiResult(result: PsiResult): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(result));
}

/** @throws AbortError `transcript-mismatch` where it is anything else */
export function parsePsiResult(bytes: Uint8Array, ask: PsiResult['ask']): PsiResult {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    value = undefined;
  }
  const parsed = ResultSchema.safeParse(value);
  if (parsed.success && parsed.data.ask === ask) return parsed.data;
  throw new AbortError('transcript-mismatch', 'The result of the match is malformed.');
}

/**
 * Runs a role; a check of the protocol that fails ends it as a typed abort.
 * @throws AbortError `transcript-mismatch`; `domain-failed` where the native library failed; other
 *   WeirErrors as they are.
 */
export async function asPsiAbort<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WeirError || !(error instanceof ProtocolError)) throw error;
    throw new AbortError(
      // The native library's own failure is nobody's message.
      error.code === 'encoding-failed' ? 'domain-failed' : 'transcript-mismatch',
      'A message of the match did not pass its checks.',
      { rule: error.code },
      { cause: error },
    );
  }
}
