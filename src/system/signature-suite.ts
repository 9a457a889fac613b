/**
 * Seam: how identity keys sign. EdDSA now; an SM2 suite plugs in here.
 * Every signature names its context, so that one made for a contract can never serve as a receipt.
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { assertInvariant } from '../errors.ts';
import type { Random } from './random.ts';

/** What a signature is for. A new kind of signed thing gets a new entry. */
export type SignatureContext =
  | 'weir/contract/v1'
  | 'weir/refusal/v1'
  | 'weir/revocation/v1'
  | 'weir/pause/v1'
  | 'weir/release/v1'
  | 'weir/request/v1'
  | 'weir/run-key/v1'
  | 'weir/descriptor/v1'
  | 'weir/suppression/v1'
  | 'weir/sealed-sum/v1'
  | 'weir/secret-weights/v1'
  | 'weir/match/v1'
  | 'weir/spend/v1'
  | 'weir/receipt/v1'
  | 'weir/countersign/v1'
  | 'weir/enrolment/v1'
  | 'weir/catalog/v1'
  | 'weir/regrade/v1'
  | 'weir/backup/v1'
  | 'weir/exit-bundle/v1'
  | 'weir/sealed-channel/v1'
  | 'weir/link/v1';

/** Raw keys: 32 bytes each for EdDSA. `secretKey` never leaves the process that holds it. */
export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

export interface SignatureSuite {
  /** The JOSE `alg` of this suite. */
  readonly algorithm: 'EdDSA' | 'SM2';
  generate(random: Random): KeyPair;
  sign(context: SignatureContext, message: Uint8Array, keys: KeyPair): Uint8Array;
  /** False for a wrong, truncated or malformed signature; never throws on untrusted input. */
  isValid(
    context: SignatureContext,
    message: Uint8Array,
    signature: Uint8Array,
    publicKey: Uint8Array,
  ): boolean;
  /**
   * Signs a JWS signing input, whose protected header names the context in `typ`, so that any JOSE
   * library can verify it. It begins with `eyJ`, a framed message with its context's length (< 32):
   * neither kind of signature can serve as the other.
   * @see RFC 7515 §5.1, RFC 8037 §3.1
   */
  signJwsInput(input: string, keys: KeyPair): Uint8Array;
  /** False for a wrong, truncated or malformed signature; never throws on untrusted input. */
  isJwsInputValid(input: string, signature: Uint8Array, publicKey: Uint8Array): boolean;
}

/** Base64url of `{"`: how every JOSE header begins. */
const JOSE_START = 'eyJ';
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** Length-prefixed context before the message: no pair of contexts can collide. */
function framed(context: SignatureContext, message: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(context);
  const out = new Uint8Array(1 + name.length + message.length);
  out[0] = name.length;
  out.set(name, 1);
  out.set(message, 1 + name.length);
  return out;
}

/** Ed25519 by node:crypto. @see RFC 8032 */
export const eddsaSuite: SignatureSuite = {
  algorithm: 'EdDSA',
  generate(random) {
    const secretKey = random.bytes(32);
    const spki = createPublicKey(privateKeyObject(secretKey)).export({
      format: 'der',
      type: 'spki',
    });
    return { publicKey: new Uint8Array(spki.subarray(-32)), secretKey };
  },
  sign(context, message, keys) {
    return new Uint8Array(sign(null, framed(context, message), privateKeyObject(keys.secretKey)));
  },
  isValid(context, message, signature, publicKey) {
    return isEd25519Valid(framed(context, message), signature, publicKey);
  },
  signJwsInput(input, keys) {
    assertInvariant(input.startsWith(JOSE_START), 'a JWS signing input begins with its header');
    return new Uint8Array(sign(null, Buffer.from(input), privateKeyObject(keys.secretKey)));
  },
  isJwsInputValid(input, signature, publicKey) {
    if (!input.startsWith(JOSE_START)) return false;
    return isEd25519Valid(Buffer.from(input), signature, publicKey);
  },
};

function isEd25519Valid(
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.length !== 64 || publicKey.length !== 32) return false;
  try {
    const key = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, publicKey]),
      format: 'der',
      type: 'spki',
    });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}

/** What people compare by eye: the first 16 bytes of SHA-256 of the public key, in groups of four hex digits. */
export function fingerprintOf(publicKey: Uint8Array): string {
  const hex = createHash('sha256').update(publicKey).digest('hex').slice(0, 32);
  return (hex.match(/.{4}/g) ?? []).join('-');
}

function privateKeyObject(secretKey: Uint8Array): ReturnType<typeof createPrivateKey> {
  return createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, secretKey]),
    format: 'der',
    type: 'pkcs8',
  });
}
