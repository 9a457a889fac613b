/** RFC 8785 canonical JSON: the one byte string that is hashed and signed for a document. */
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { InputError } from '../errors.ts';
import type { Hash } from './ids.ts';

/**
 * The canonical UTF-8 bytes of a JSON value.
 * @throws InputError `malformed-message` where the value is not JSON (undefined, NaN, a lone surrogate).
 * @see RFC 8785
 */
export function canonicalBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalText(value));
}

/** The canonical form as text; its UTF-8 bytes are `canonicalBytes`. @throws InputError */
export function canonicalText(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch {
    text = undefined;
  }
  if (text === undefined) {
    throw new InputError('malformed-message', 'The document has no canonical JSON form.');
  }
  return text;
}

/** SHA-256 over the canonical form, as hex. */
export function canonicalHash(value: unknown): Hash {
  return createHash('sha256').update(canonicalBytes(value)).digest('hex') as Hash;
}
