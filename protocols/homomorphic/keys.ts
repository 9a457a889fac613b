/**
 * The recipient's key pair as bytes: the public bundle that travels to the holders, and the secret
 * key as it may lie on disk, encrypted under a passphrase. Sealed sums and secret weights have a
 * kind each, of other parameters.
 *
 * Public bundle: `WEIRHEP1` (`WEIRHWP1` for weights), the number of residues (4 bytes), 4 zero bytes, then per residue the
 * identifier of its parameters and its public key. Secret file: `WEIRHES1` (`WEIRHWS1`), log2 N, r, p and a zero
 * byte, a 16-byte salt, a 12-byte nonce (all of it authenticated), then AES-256-GCM of the public
 * bundle's SHA-256 and the secret key's residues.
 */
import { gcm } from '@noble/ciphers/aes.js';
import { scrypt } from '@noble/hashes/scrypt.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { BgvParameters, BgvPublicKey, BgvSecretKey, HePrimitive } from '../common/bgv.ts';
import {
  checkPublicKey,
  checkSecretKey,
  PARAMETERS_ID_BYTES,
  parametersId,
  publicKeySizeBytes,
  secretKeySizeBytes,
} from '../common/bgv-ciphertext.ts';
import { concatBytes, equalBytes, viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { RESIDUES_MAX, sealedSumParameters } from './params.ts';
import { WEIGHTS_PLAIN_MODULI, weightsParameters } from './weights-params.ts';

/** What a key pair is for. */
export interface KeyKind {
  /** Eight bytes each. */
  readonly publicMagic: string;
  readonly secretMagic: string;
  readonly residuesMax: number;
  parameters(residue: number): BgvParameters;
}

/** Opens sealed sums. */
export const SEALING_KEYS: KeyKind = {
  publicMagic: 'WEIRHEP1',
  secretMagic: 'WEIRHES1',
  residuesMax: RESIDUES_MAX,
  parameters: sealedSumParameters,
};

/** Encrypts secret weights and opens weighted sums. */
export const WEIGHING_KEYS: KeyKind = {
  publicMagic: 'WEIRHWP1',
  secretMagic: 'WEIRHWS1',
  residuesMax: WEIGHTS_PLAIN_MODULI.length,
  parameters: weightsParameters,
};

const MAGIC_BYTES = 8;
const PUBLIC_HEADER_BYTES = 16;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HASH_BYTES = 32;
const COST_AT = MAGIC_BYTES;
const SALT_AT = COST_AT + 4;
const SECRET_HEADER_BYTES = SALT_AT + SALT_BYTES + NONCE_BYTES;
const BLOCK_SIZE = 8;
const PARALLELISM = 1;
/** 2^17 · 8 · 128 bytes = 128 MiB. @see OWASP Password Storage Cheat Sheet */
export const SCRYPT_LOG_COST = 17;
const SCRYPT_LOG_COST_MIN = 15;
const SCRYPT_LOG_COST_MAX = 20;
/** A passphrase shorter than this is refused when a key is stored. */
export const PASSPHRASE_LENGTH_MIN = 12;

/** scrypt with r = 8, p = 1 and 32 bytes out; @noble's unless the caller has a faster one. */
export type Stretch = (passphrase: string, salt: Uint8Array, cost: number) => Uint8Array;

const nobleStretch: Stretch = (passphrase, salt, cost) =>
  scrypt(passphrase, salt, { N: cost, r: BLOCK_SIZE, p: PARALLELISM, dkLen: 32, maxmem: 2 ** 31 });

export interface SealingKeys {
  /** One public key per residue, all under the one secret key. */
  readonly publicKeys: readonly BgvPublicKey[];
  /** Secret: opens every sum that was sealed to `publicKeys`. */
  readonly secretKey: BgvSecretKey;
}

/**
 * A fresh pair for `residues` plain moduli. One secret serves all: after scaling by 1/t_i each
 * public key is one more ring-LWE sample of it with its own uniform a.
 * @throws ProtocolError `parameter-invalid`
 */
export function generateSealingKeys(
  he: HePrimitive,
  residues: number = RESIDUES_MAX,
  kind: KeyKind = SEALING_KEYS,
): SealingKeys {
  const secretKey = he.generateSecretKey(kind.parameters(0));
  const publicKeys = Array.from({ length: residues }, (_, residue) =>
    he.generatePublicKey(kind.parameters(residue), secretKey),
  );
  return { publicKeys, secretKey };
}

/** 64 KiB a residue, of weights 640 KiB. */
export function encodePublicBundle(
  publicKeys: readonly BgvPublicKey[],
  kind: KeyKind = SEALING_KEYS,
): Uint8Array {
  const header = new Uint8Array(PUBLIC_HEADER_BYTES);
  header.set(new TextEncoder().encode(kind.publicMagic));
  viewOf(header).setUint32(MAGIC_BYTES, publicKeys.length, true);
  const parts = publicKeys.flatMap((key, residue) => [
    parametersId(kind.parameters(residue), 'key'),
    key,
  ]);
  return concatBytes([header, ...parts]);
}

/** Bytes of a bundle with so many keys. */
export function publicBundleSizeBytes(residues: number, kind: KeyKind): number {
  const keyBytes = publicKeySizeBytes(kind.parameters(0));
  return PUBLIC_HEADER_BYTES + residues * (PARAMETERS_ID_BYTES + keyBytes);
}

/**
 * Accepts the recipient's public bundle, before anything native sees it.
 * @throws ProtocolError `message-malformed` for other parameters, another length, residues out of
 * range or a zero polynomial.
 */
export function parsePublicBundle(
  bytes: Uint8Array,
  kind: KeyKind = SEALING_KEYS,
): readonly BgvPublicKey[] {
  const parameters = kind.parameters(0);
  const entryBytes = PARAMETERS_ID_BYTES + publicKeySizeBytes(parameters);
  const count = (bytes.length - PUBLIC_HEADER_BYTES) / entryBytes;
  if (!Number.isInteger(count) || count < 1 || count > kind.residuesMax)
    throw new ProtocolError('message-malformed', `${bytes.length} bytes are no public bundle`);
  const header = encodePublicBundle([], kind);
  viewOf(header).setUint32(MAGIC_BYTES, count, true);
  if (!equalBytes(bytes.subarray(0, PUBLIC_HEADER_BYTES), header))
    throw new ProtocolError('message-malformed', 'not a public bundle');
  return Array.from({ length: count }, (_, residue) => {
    const at = PUBLIC_HEADER_BYTES + residue * entryBytes;
    const keyAt = at + PARAMETERS_ID_BYTES;
    const expected = parametersId(kind.parameters(residue), 'key');
    if (!equalBytes(bytes.subarray(at, keyAt), expected))
      throw new ProtocolError('message-malformed', `key ${residue} is of other parameters`);
    const key = new Uint8Array(bytes.subarray(keyAt, at + entryBytes));
    return checkPublicKey(kind.parameters(residue), key);
  });
}

/** SHA-256 of the encoded bundle. */
export function publicBundleHash(bundle: Uint8Array): Uint8Array {
  return sha256(bundle);
}

/**
 * The secret key under a passphrase: scrypt, then AES-256-GCM over the key and the hash of its
 * public bundle.
 *
 * Secret: `passphrase`; the key itself is in the result only encrypted.
 * @param randomBytes - 28 fresh bytes: salt and nonce.
 * @throws ProtocolError `parameter-invalid` for a passphrase under twelve characters.
 */
export function encodeSecretKey(
  keys: SealingKeys,
  passphrase: string,
  randomBytes: Uint8Array,
  logCost: number = SCRYPT_LOG_COST,
  stretch: Stretch = nobleStretch,
  kind: KeyKind = SEALING_KEYS,
): Uint8Array {
  if (passphrase.length < PASSPHRASE_LENGTH_MIN)
    throw new ProtocolError(
      'parameter-invalid',
      `a passphrase has at least ${PASSPHRASE_LENGTH_MIN} characters`,
    );
  if (randomBytes.length !== SALT_BYTES + NONCE_BYTES)
    throw new ProtocolError('length-wrong', 'salt and nonce take 28 bytes');
  const header = concatBytes([
    new TextEncoder().encode(kind.secretMagic),
    Uint8Array.of(logCost, BLOCK_SIZE, PARALLELISM, 0),
    randomBytes,
  ]);
  const wrappingKey = wrappingKeyOf(passphrase, header, stretch);
  const content = concatBytes([
    publicBundleHash(encodePublicBundle(keys.publicKeys, kind)),
    keys.secretKey,
  ]);
  try {
    return concatBytes([header, cipherOf(wrappingKey, header).encrypt(content)]);
  } finally {
    content.fill(0);
    wrappingKey.fill(0);
  }
}

/**
 * @returns the secret key and the hash of the public bundle it belongs to.
 * @throws ProtocolError `message-malformed` where the bytes are no key file; `decryption-failed`
 * for a wrong passphrase or a changed file, which nothing tells apart.
 */
export function parseSecretKey(
  file: Uint8Array,
  passphrase: string,
  stretch: Stretch = nobleStretch,
  kind: KeyKind = SEALING_KEYS,
): { readonly secretKey: BgvSecretKey; readonly bundleHash: Uint8Array } {
  const parameters = kind.parameters(0);
  const header = file.subarray(0, SECRET_HEADER_BYTES);
  const expected = SECRET_HEADER_BYTES + HASH_BYTES + secretKeySizeBytes(parameters) + TAG_BYTES;
  const logCost = header[COST_AT] ?? 0;
  if (
    file.length !== expected ||
    !equalBytes(header.subarray(0, COST_AT), new TextEncoder().encode(kind.secretMagic)) ||
    header[COST_AT + 1] !== BLOCK_SIZE ||
    header[COST_AT + 2] !== PARALLELISM ||
    header[COST_AT + 3] !== 0 ||
    // The file is read before it is authenticated: a forged cost must not exhaust memory.
    logCost < SCRYPT_LOG_COST_MIN ||
    logCost > SCRYPT_LOG_COST_MAX
  )
    throw new ProtocolError('message-malformed', 'not a sealing key file');
  const content = decrypt(file, header, wrappingKeyOf(passphrase, header, stretch));
  try {
    return {
      bundleHash: content.slice(0, HASH_BYTES),
      secretKey: checkSecretKey(parameters, content.slice(HASH_BYTES)),
    };
  } finally {
    content.fill(0);
  }
}

function decrypt(file: Uint8Array, header: Uint8Array, wrappingKey: Uint8Array): Uint8Array {
  try {
    return cipherOf(wrappingKey, header).decrypt(file.subarray(SECRET_HEADER_BYTES));
  } catch {
    throw new ProtocolError('decryption-failed', 'wrong passphrase or changed key file');
  } finally {
    wrappingKey.fill(0);
  }
}

function cipherOf(key: Uint8Array, header: Uint8Array): ReturnType<typeof gcm> {
  return gcm(key, header.slice(SALT_AT + SALT_BYTES), header);
}

/** NFKC, so that a passphrase typed on another keyboard is the same one. */
function wrappingKeyOf(passphrase: string, header: Uint8Array, stretch: Stretch): Uint8Array {
  const salt = header.slice(SALT_AT, SALT_AT + SALT_BYTES);
  return stretch(passphrase.normalize('NFKC'), salt, 2 ** (header[COST_AT] ?? SCRYPT_LOG_COST));
}
