/** What a match tells the gateway when it is over, and how a failed check of the protocol ends it. */
import { z } from 'zod';
import { AbortError, WeirError } from '../../errors.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { REVEALED_KEYS_MAX } from './shape.ts';

export const PSI_KINDS = {
  /** Receiver to gateway: what disclosure control lets out. */
  result: 'psi.result',
  /** Sender to gateway: it has answered everything. */
  done: 'psi.done',
} as const;

/** The release of an intersection: one text, sealed to the recipient, under this column's name. */
export const SEALED_KEYS_COLUMN = 'psi-keys/1';
/** A sealed text's length at most. */
const SEALED_LENGTH_MAX = REVEALED_KEYS_MAX * 1024;

/** `shared` is null where the number may not be released. */
const ResultSchema = z.discriminatedUnion('ask', [
  z.strictObject({
    ask: z.literal('cardinality'),
    shared: z.int().min(0).nullable(),
  }),
  z.strictObject({
    ask: z.literal('intersection'),
    sealedKeys: z.string().max(SEALED_LENGTH_MAX).nullable(),
  }),
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
 * @throws AbortError `transcript-mismatch`; other WeirErrors as they are.
 */
export async function asPsiAbort<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WeirError || !(error instanceof ProtocolError)) throw error;
    throw new AbortError(
      'transcript-mismatch',
      'A message of the match did not pass its checks.',
      { rule: error.code },
      { cause: error },
    );
  }
}
