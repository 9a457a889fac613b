import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openAnchor } from '../../src/domain/anchor.ts';
import { openPins, PINS_MAX } from '../../src/domain/pins.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { HashSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { HOLDERS } from '../fixtures/contract.ts';
import { codeOf } from '../fixtures/counting.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weir-files-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
const [first, second] = HOLDERS as [(typeof HOLDERS)[0], (typeof HOLDERS)[0]];

describe('pins', () => {
  const keys = eddsaSuite.generate(systemRandom);
  const others = eddsaSuite.generate(systemRandom);

  it('are kept over a restart, in a private file, and removed only by name', async () => {
    const path = join(directory, 'pins.json');
    const pins = await openPins(path);
    await pins.trust('holders', first, keys.publicKey);
    await pins.trust('holders', first, keys.publicKey);
    await pins.trust('gateways', second, others.publicKey);
    expect(await modeOf(path)).toBe(0o600);
    expect(await readdir(directory)).toEqual(['pins.json']);
    const again = await openPins(path);
    expect(again.key('holders', first)).toEqual(keys.publicKey);
    expect(again.key('gateways', first)).toBeUndefined();
    expect(again.isGateway(others.publicKey)).toBe(true);
    expect(again.isGateway(keys.publicKey)).toBe(false);
    await again.distrust('holders', first);
    expect((await openPins(path)).list('holders')).toEqual([]);
  });

  it('never change silently: another key or another name is refused', async () => {
    const pins = await openPins(join(directory, 'pins.json'));
    await pins.trust('holders', first, keys.publicKey);
    const trust = (id: typeof first, key: Uint8Array): Promise<string> =>
      codeOf(() => pins.trust('holders', id, key));
    expect(await trust(first, others.publicKey)).toBe('already-exists');
    expect(await trust(second, keys.publicKey)).toBe('already-exists');
    expect(await trust(second, new Uint8Array(32))).toBe('malformed-message');
    const both = await Promise.all([
      trust(second, others.publicKey),
      trust(second, keys.publicKey),
    ]);
    expect(both).toEqual(['accepted', 'already-exists']);
    expect(pins.key('holders', first)).toEqual(keys.publicKey);
  });

  it('are so many at most, of each kind', async () => {
    const path = join(directory, 'pins.json');
    const pin = (index: number): object => ({
      id: `holder-${index}`,
      signKey: encodeBase64url(
        new Uint8Array(32)
          .fill(1)
          .with(0, index % 256)
          .with(1, index >> 8),
      ),
    });
    const holders = Array.from({ length: PINS_MAX - 1 }, (_, index) => pin(index));
    await writeFile(path, JSON.stringify({ format: 'weir-pins/1', holders, gateways: [] }));
    const pins = await openPins(path);
    await pins.trust('holders', first, keys.publicKey);
    expect(await codeOf(() => pins.trust('holders', second, others.publicKey))).toBe(
      'set-too-large',
    );
    await pins.trust('gateways', second, others.publicKey);
    // What was written is read again.
    expect((await openPins(path)).list('holders')).toHaveLength(PINS_MAX);
  });

  it('that are damaged are not taken for empty', async () => {
    const path = join(directory, 'pins.json');
    for (const text of ['', '{', '{}', '{"format":"weir-pins/1","holders":[]}']) {
      await writeFile(path, text);
      expect(await codeOf(() => openPins(path))).toBe('config-invalid');
    }
  });
});

describe('the anchor', () => {
  const head = (seq: number): { seq: number; hash: ReturnType<typeof HashSchema.parse> } => ({
    seq,
    hash: HashSchema.parse(seq.toString(16).padStart(64, '0')),
  });

  it('keeps the last head, and the one before when the last write is torn at any byte', async () => {
    const path = join(directory, 'anchor');
    const anchor = await openAnchor(path);
    expect(await anchor.read()).toBeUndefined();
    for (let seq = 0; seq <= 5; seq += 1) {
      await anchor.write(head(seq));
      expect(await anchor.read()).toEqual(head(seq));
    }
    const before = await readFile(path);
    await anchor.write(head(6));
    const after = await readFile(path);
    expect(await modeOf(path)).toBe(0o600);
    for (let bytes = 0; bytes < 150; bytes += 1) {
      const torn = Buffer.concat([after.subarray(0, bytes), before.subarray(bytes)]);
      await writeFile(path, torn);
      const read = await anchor.read();
      // Torn to the end it is the new head; anywhere else the slot of 5 still stands.
      expect([5, 6]).toContain(read?.seq);
      if (bytes < 100) expect(read).toEqual(head(5));
    }
    await anchor.close();
  });
});
