import { createDecipheriv } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileSpills } from '../../src/computations/psi/file-spill.ts';
import { systemRandom } from '../../src/system/random.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weir-spill-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** The numbers of the files of this directory that are open. */
function openFiles(): readonly string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  });
}

/** What is on the disk of the open, nameless ones. */
function onDisk(): Buffer {
  return Buffer.concat(openFiles().map((fd) => readFileSync(`/proc/self/fd/${fd}`)));
}

describe('a spill in a file', () => {
  it('gives back what was written, from any place', async () => {
    const part = fc.uint8Array({ maxLength: 70 });
    const open = fileSpills(directory, systemRandom);
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { minLength: 1 }),
        fc.nat(),
        fc.nat(),
        async (parts, a, b) => {
          const spill = await open();
          const all = Buffer.concat(parts);
          let sizeBytes = 0;
          for (const each of parts) {
            const given = each.slice();
            expect(await spill.append(each)).toBe(sizeBytes);
            expect(each).toEqual(given);
            sizeBytes += each.length;
          }
          const from = a % (sizeBytes + 1);
          const lengthBytes = b % (sizeBytes - from + 1);
          const read = new Uint8Array(lengthBytes);
          await spill.read(from, read);
          expect(Buffer.compare(read, all.subarray(from, from + lengthBytes))).toBe(0);
          await spill.close();
        },
      ),
      { numRuns: 200 },
    );
  });

  it('has no name', async () => {
    const spill = await fileSpills(directory, systemRandom)();
    await spill.append(new Uint8Array(100));
    expect(await readdir(directory)).toEqual([]);
    await spill.close();
  });

  it.skipIf(process.platform !== 'linux')('is not left open where it cannot be made', async () => {
    const files = createRequire(import.meta.url)('node:fs/promises') as { unlink: unknown };
    const { unlink } = files;
    files.unlink = () => Promise.reject(new Error('no such file'));
    syncBuiltinESMExports();
    try {
      const opening = fileSpills(directory, systemRandom)();
      await expect(opening).rejects.toThrow('no such file');
      expect(openFiles()).toEqual([]);
    } finally {
      files.unlink = unlink;
      syncBuiltinESMExports();
    }
  });

  it.skipIf(process.platform !== 'linux')('shows nothing of it on the disk', async () => {
    const secret = Buffer.from('patient 4711, born 2001-01-01 '.repeat(9));
    const spill = await fileSpills(directory, systemRandom)();
    await spill.append(secret);
    expect(onDisk()).toHaveLength(secret.length);
    expect(onDisk().includes('patient')).toBe(false);
    await spill.close();
    // Under a key that the test knows, it finds there what was written.
    const known = { ...systemRandom, bytes: (count: number) => new Uint8Array(count) };
    const open = await fileSpills(directory, known)();
    await open.append(secret);
    const decipher = createDecipheriv('aes-256-ctr', Buffer.alloc(32), Buffer.alloc(16));
    expect(decipher.update(onDisk()).equals(secret)).toBe(true);
    await open.close();
  });
});
