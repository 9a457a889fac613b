/**
 * Keys that would make a signature or an encryption meaningless are refused when they are first
 * seen: under an Ed25519 key of low order one signature fits any document; with an X25519 key of
 * low order anybody knows the shared secret.
 * @see RFC 7748 §6.1; Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", SSR 2020
 */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { decodeBase64url } from '../system/base64url.ts';

const X25519_SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const X25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** Any scalar finds a low-order point: the product is zero for all of them. */
const PROBE = createPrivateKey({
  key: Buffer.concat([X25519_PKCS8_PREFIX, Buffer.alloc(32, 0x55)]),
  format: 'der',
  type: 'pkcs8',
});

/** A canonically encoded point that is not of low order. @param key - 32 bytes in base64url. */
export function isStrongSignKey(key: string): boolean {
  try {
    return !ed25519.Point.fromBytes(decodeBase64url(key, 32)).isSmallOrder();
  } catch {
    return false;
  }
}

/** Not of low order. @param key - 32 bytes in base64url. */
export function isStrongEncryptionKey(key: string): boolean {
  try {
    const spki = Buffer.concat([X25519_SPKI_PREFIX, decodeBase64url(key, 32)]);
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return diffieHellman({ privateKey: PROBE, publicKey }).some((byte) => byte !== 0);
  } catch {
    return false;
  }
}
