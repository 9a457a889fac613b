/** X25519 key pairs: a party's fresh key of a run, and a recipient's long-lived one. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { Random } from './random.ts';
import type { KeyPair } from './signature-suite.ts';

const KEY_BYTES = 32;
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** @see RFC 7748 §6.1 */
export function createExchangeKeys(random: Random): KeyPair {
  const secretKey = random.bytes(KEY_BYTES);
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, secretKey]),
    format: 'der',
    type: 'pkcs8',
  });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return { publicKey: new Uint8Array(spki.subarray(-KEY_BYTES)), secretKey };
}
