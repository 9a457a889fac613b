/** Base64url without padding, strict: one text a byte string, so that no signed text is malleable. */
import { InputError } from '../errors.ts';

/** @see RFC 4648 §5 */
export function encodeBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/**
 * The bytes of a text, which must be exactly what `encodeBase64url` gives for them.
 * @param sizeBytes - refuses any other size.
 * @throws InputError `malformed-message`; the text is not repeated, it may be secret.
 */
export function decodeBase64url(text: string, sizeBytes?: number): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  if (encodeBase64url(bytes) !== text || (sizeBytes ?? bytes.length) !== bytes.length) {
    throw new InputError('malformed-message', 'A base64url value is malformed or of wrong size.');
  }
  return bytes;
}
