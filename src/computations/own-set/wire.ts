/** What the holder of a match with an analyst's own set tells the gateway when it is over. */
import { z } from 'zod';
import { AbortError } from '../../errors.ts';

/** Holder to gateway: what disclosure control lets out. */
export const OWN_SET_RESULT = 'own-set.result';

/** Of a result: one number. */
export const OWN_SET_RESULT_BYTES_MAX = 64;

/** `shared` is noised, and null where it may not be released. */
const ResultSchema = z.strictObject({ shared: z.int().min(0).nullable() });
export type OwnSetResult = z.infer<typeof ResultSchema>;

export function encodeOwnSetResult(result: OwnSetResult): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(result));
}

/** @throws AbortError `transcript-mismatch` where it is anything else */
export function parseOwnSetResult(bytes: Uint8Array): OwnSetResult {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    value = undefined;
  }
  const parsed = ResultSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AbortError('transcript-mismatch', 'The result of the match is malformed.');
}
