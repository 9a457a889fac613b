import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKeyFile, readKeyFile } from '../../src/system/key-file.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';

describe('key files', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'weir-keys-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('keeps a key readable by its owner only', () => {
    const keys = eddsaSuite.generate(systemRandom);
    const path = join(directory, 'identity.key');
    createKeyFile(path, 'ed25519', keys);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readKeyFile(path, 'ed25519')).toEqual(keys);
  });

  it('is whole under its name or not there, and leaves nothing beside it', () => {
    const path = join(directory, 'identity.key');
    // What a crash while writing leaves: a part under another name, which hinders nothing.
    writeFileSync(`${path}.0011223344556677.new`, '{"format":', { mode: 0o600 });
    const keys = eddsaSuite.generate(systemRandom);
    createKeyFile(path, 'ed25519', keys);
    expect(readKeyFile(path, 'ed25519')).toEqual(keys);
    expect(() => createKeyFile(path, 'ed25519', keys)).toThrow(/never overwritten/);
    expect(readdirSync(directory).toSorted()).toEqual([
      'identity.key',
      'identity.key.0011223344556677.new',
    ]);
  });

  it('never overwrites a key', () => {
    const path = join(directory, 'identity.key');
    const keys = eddsaSuite.generate(systemRandom);
    createKeyFile(path, 'ed25519', keys);
    expect(() => createKeyFile(path, 'ed25519', eddsaSuite.generate(systemRandom))).toThrow(
      /never overwritten/,
    );
    expect(readKeyFile(path, 'ed25519')).toEqual(keys);
  });

  it('refuses a key that others may read, another kind, and what is no key', () => {
    const path = join(directory, 'identity.key');
    createKeyFile(path, 'ed25519', eddsaSuite.generate(systemRandom));
    expect(() => readKeyFile(path, 'x25519')).toThrow(/kind/);
    chmodSync(path, 0o640);
    expect(() => readKeyFile(path, 'ed25519')).toThrow(/read by others/);
    const other = join(directory, 'other.key');
    writeFileSync(other, '{"secretKey":"SECRET"', { mode: 0o600 });
    expect(() => readKeyFile(other, 'ed25519')).toThrow(/^(?!.*SECRET)/);
    expect(() => readKeyFile(join(directory, 'none.key'), 'ed25519')).toThrow(/missing/);
  });
});
