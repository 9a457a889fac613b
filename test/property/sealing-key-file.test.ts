import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createSealingKey,
  readSealingKey,
  readSealingPublicKeys,
} from '../../src/client/sealing-key.ts';
import { systemRandom } from '../../src/system/random.ts';
import {
  generateSealingKeys,
  parseSecretKey,
  type SealingKeys,
} from '../../protocols/homomorphic/keys.ts';
import { loadSeal } from '../../workers/seal-instance.ts';

const PASSPHRASE = 'correct horse battery';
let keys: SealingKeys;
let parent: string;
let root: string;
beforeAll(async () => {
  keys = generateSealingKeys(await loadSeal(), 1);
  parent = mkdtempSync(join(tmpdir(), 'weir-sealing-'));
  root = join(parent, 'sealing');
});
afterAll(() => rmSync(parent, { recursive: true }));

describe('the sealing key on disk', () => {
  it('is made once, opens with its passphrase, and is readable by its owner alone', () => {
    createSealingKey(root, keys, PASSPHRASE, systemRandom);
    expect(readSealingKey(root, PASSPHRASE)).toEqual(keys);
    expect(readSealingPublicKeys(root)).toEqual(keys.publicKeys);
    for (const name of ['sealing-key.secret', 'sealing-key.pub'])
      expect(statSync(join(root, name)).mode & 0o777).toBe(0o600);
    const refused = expect.objectContaining({ code: 'config-invalid' });
    const secret = readFileSync(join(root, 'sealing-key.secret'));
    expect(() => createSealingKey(root, keys, PASSPHRASE, systemRandom)).toThrow(refused);
    const elsewhere = join(parent, 'elsewhere');
    expect(() => createSealingKey(elsewhere, keys, 'too short', systemRandom)).toThrow(refused);
    // Nothing is overwritten, and nothing half-made is left beside.
    expect(readFileSync(join(root, 'sealing-key.secret'))).toEqual(secret);
    expect(readdirSync(parent)).toEqual(['sealing']);
    expect(() => readSealingKey(root, 'another passphrase')).toThrow(
      expect.objectContaining({ code: 'decryption-failed' }),
    );
  });

  it('is the same file by whichever scrypt, at the full cost', () => {
    const file = new Uint8Array(readFileSync(join(root, 'sealing-key.secret')));
    expect(file[8]).toBe(17);
    expect(parseSecretKey(file, PASSPHRASE).secretKey).toEqual(keys.secretKey);
  });

  it('refuses files that others may read, that are missing or not of one key', () => {
    const unreadable = expect.objectContaining({ code: 'key-unreadable' });
    const secret = join(root, 'sealing-key.secret');
    const bundle = join(root, 'sealing-key.pub');
    chmodSync(secret, 0o640);
    expect(() => readSealingKey(root, PASSPHRASE)).toThrow(unreadable);
    chmodSync(secret, 0o600);
    expect(() => readSealingKey(join(root, 'nowhere'), PASSPHRASE)).toThrow(unreadable);
    const good = readFileSync(bundle);
    const changed = Buffer.from(good);
    changed[100]! ^= 1;
    writeFileSync(bundle, changed);
    expect(() => readSealingKey(root, PASSPHRASE)).toThrow(unreadable);
    writeFileSync(bundle, good);
    readSealingKey(root, PASSPHRASE);
  });
});
