/**
 * The recipient's sealing key as files: the public bundle, which goes into contracts, and the
 * secret key under a passphrase. Made once, never overwritten, readable by their owner alone.
 */
import { scryptSync } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { equalBytes } from '../../protocols/common/bytes.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import {
  encodePublicBundle,
  encodeSecretKey,
  parsePublicBundle,
  parseSecretKey,
  publicBundleHash,
  type KeyKind,
  SCRYPT_LOG_COST,
  SEALING_KEYS,
  type SealingKeys,
  type Stretch,
} from '../../protocols/homomorphic/keys.ts';
import { AbortError, SetupError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { Random } from '../system/random.ts';

const PUBLIC_FILE = 'sealing-key.pub';
const SECRET_FILE = 'sealing-key.secret';
const SALT_AND_NONCE_BYTES = 28;
const OTHERS = 0o077;
const SCRYPT_MEMORY_BYTES_MAX = 2 ** 31 - 1;

/** OpenSSL's, several times as fast as the portable one. */
const nativeStretch: Stretch = (passphrase, salt, cost) =>
  new Uint8Array(
    scryptSync(passphrase, salt, 32, { N: cost, r: 8, p: 1, maxmem: SCRYPT_MEMORY_BYTES_MAX }),
  );

/** A sealing key in memory: `secretKey` opens every sum sealed to `publicKeys`. */
export type SealingKey = SealingKeys;

/** A contract's `sealingKey`: the public keys that its bounds need, and no more. */
export function sealingKeyText(publicKeys: SealingKeys['publicKeys'], residues: number): string {
  return encodeBase64url(encodePublicBundle(publicKeys.slice(0, residues)));
}

/**
 * Makes a directory with a new key. Both files are durable before the directory takes its name, so
 * after a crash there is a whole key or none, and never a public key whose secret was lost.
 * @param directory - must not be there yet: keys are never overwritten.
 * @param keys - from `generateKeysTask` of `workers/homomorphic`.
 * @throws SetupError `config-invalid` where it exists or the passphrase is too short.
 */
export function createSealingKey(
  directory: string,
  keys: SealingKeys,
  passphrase: string,
  random: Random,
  kind: KeyKind = SEALING_KEYS,
): void {
  const secret = encrypted(keys, passphrase, random, kind);
  const beside = `${directory}.${Buffer.from(random.bytes(8)).toString('hex')}.tmp`;
  try {
    mkdirSync(beside, { mode: 0o700 });
    writeSynced(join(beside, SECRET_FILE), secret);
    writeSynced(join(beside, PUBLIC_FILE), encodePublicBundle(keys.publicKeys, kind));
    sync(beside);
    renameSync(beside, directory);
    sync(dirname(directory));
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw new SetupError(
      'config-invalid',
      `The sealing key ${directory} cannot be created; keys are never overwritten.`,
      { path: directory, remedy: 'Choose another directory, or move the old key away.' },
      { cause: error },
    );
  }
}

/** The public keys alone: no passphrase is needed to draft a contract. @throws as `readSealingKey` */
export function readSealingPublicKeys(
  directory: string,
  kind: KeyKind = SEALING_KEYS,
): SealingKeys['publicKeys'] {
  return publicKeysIn(join(directory, PUBLIC_FILE), kind).publicKeys;
}

/**
 * Reads a key.
 * @throws SetupError `key-unreadable` where a file is missing, malformed or readable by others, or
 *   the two are not of one key; AbortError `decryption-failed` for a wrong passphrase.
 */
export function readSealingKey(
  directory: string,
  passphrase: string,
  kind: KeyKind = SEALING_KEYS,
): SealingKey {
  const secretPath = join(directory, SECRET_FILE);
  const publicPath = join(directory, PUBLIC_FILE);
  const file = readOwn(secretPath);
  const { bundle, publicKeys } = publicKeysIn(publicPath, kind);
  try {
    const { secretKey, bundleHash } = parseSecretKey(file, passphrase, nativeStretch, kind);
    if (equalBytes(bundleHash, publicBundleHash(bundle))) {
      return { publicKeys, secretKey };
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    if (error.code === 'decryption-failed') {
      throw new AbortError('decryption-failed', `The passphrase does not open ${secretPath}.`);
    }
    throw unreadable(secretPath, 'it is not a sealing key');
  }
  throw unreadable(publicPath, 'it belongs to another secret key');
}

function publicKeysIn(
  path: string,
  kind: KeyKind,
): {
  readonly bundle: Uint8Array;
  readonly publicKeys: SealingKeys['publicKeys'];
} {
  const bundle = readOwn(path);
  try {
    return { bundle, publicKeys: parsePublicBundle(bundle, kind) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw unreadable(path, 'it is not a public bundle');
  }
}

function encrypted(
  keys: SealingKeys,
  passphrase: string,
  random: Random,
  kind: KeyKind,
): Uint8Array {
  try {
    return encodeSecretKey(
      keys,
      passphrase,
      random.bytes(SALT_AND_NONCE_BYTES),
      SCRYPT_LOG_COST,
      nativeStretch,
      kind,
    );
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new SetupError('config-invalid', 'The passphrase is too short.', {
      remedy: error.message,
    });
  }
}

function writeSynced(path: string, content: Uint8Array): void {
  writeFileSync(path, content, { flag: 'wx', mode: 0o600, flush: true });
}

function sync(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readOwn(path: string): Uint8Array {
  try {
    const descriptor = openSync(path, 'r');
    try {
      if ((fstatSync(descriptor).mode & OTHERS) !== 0) {
        throw unreadable(path, 'others may read it; run chmod 600 on it');
      }
      return new Uint8Array(readFileSync(descriptor));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw unreadable(path, 'it is missing or this account may not read it');
  }
}

function unreadable(path: string, why: string): SetupError {
  return new SetupError('key-unreadable', `The key file ${path} cannot be used: ${why}.`, { path });
}
