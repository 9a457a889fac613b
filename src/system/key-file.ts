/**
 * Secret keys on disk: one JSON file a key, mode 0600, made once and never overwritten. A file that
 * others may read is refused, as ssh does, so that a careless copy is noticed before it is used.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { SetupError } from '../errors.ts';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import type { KeyPair } from './signature-suite.ts';

const KEY_BYTES = 32;
const OTHERS = 0o077;

const KeyFileSchema = z.strictObject({
  format: z.literal('weir-key/1'),
  kind: z.enum(['ed25519', 'x25519']),
  publicKey: z.string(),
  secretKey: z.string(),
});
export type KeyKind = z.infer<typeof KeyFileSchema>['kind'];

/**
 * Writes a new key; whole and durable when it returns, name included, and not there before.
 * @throws SetupError `config-invalid` where the file exists or cannot be made.
 */
export function createKeyFile(path: string, kind: KeyKind, keys: KeyPair): void {
  const text = JSON.stringify({
    format: 'weir-key/1',
    kind,
    publicKey: encodeBase64url(keys.publicKey),
    secretKey: encodeBase64url(keys.secretKey),
  });
  const beside = `${path}.${randomBytes(8).toString('hex')}.new`;
  try {
    writeSynced(beside, `${text}\n`);
    // A link is refused where the name is taken, and a crash leaves no part of a key under it.
    linkSync(beside, path);
    syncDirectory(dirname(path));
  } catch (error) {
    throw new SetupError(
      'config-invalid',
      `The key file ${path} cannot be created; keys are never overwritten.`,
      { path, remedy: 'Choose another directory, or move the old key away.' },
      { cause: error },
    );
  } finally {
    rmSync(beside, { force: true });
  }
}

function writeSynced(path: string, text: string): void {
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Reads a key.
 * @throws SetupError `key-unreadable` where it is missing, malformed, of another kind, or readable
 *   by others. The message names the file, never its content.
 */
export function readKeyFile(path: string, kind: KeyKind): KeyPair {
  let text: string;
  try {
    const descriptor = openSync(path, 'r');
    try {
      if ((fstatSync(descriptor).mode & OTHERS) !== 0) throw tooOpen(path);
      text = readFileSync(descriptor, 'utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw unreadable(path, 'it is missing or this account may not read it');
  }
  try {
    const parsed = KeyFileSchema.parse(JSON.parse(text));
    if (parsed.kind !== kind) throw unreadable(path, `it is not a key of kind ${kind}`);
    return {
      publicKey: decodeBase64url(parsed.publicKey, KEY_BYTES),
      secretKey: decodeBase64url(parsed.secretKey, KEY_BYTES),
    };
  } catch (error) {
    if (error instanceof SetupError) throw error;
    // The cause is not kept: a parser's message may quote the file.
    throw unreadable(path, 'it is not a key file');
  }
}

function tooOpen(path: string): SetupError {
  return new SetupError('key-unreadable', `The key file ${path} can be read by others.`, {
    path,
    remedy: `Run: chmod 600 ${path}`,
  });
}

function unreadable(path: string, why: string): SetupError {
  return new SetupError('key-unreadable', `The key file ${path} cannot be used: ${why}.`, { path });
}
