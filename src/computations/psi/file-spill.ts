/**
 * Spills in files that no crash leaves behind: each is unlinked as soon as it is open, so the
 * system frees it when the process ends, however it ends. What is written is enciphered under a
 * key that only memory holds, so that the freed blocks tell nothing either.
 */
import { createCipheriv } from 'node:crypto';
import { open, mkdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { releaseBytes } from '../../../protocols/common/bytes.ts';
import { CapacityError } from '../../errors.ts';
import type { OpenSpill } from '../../../protocols/psi/spill.ts';
import type { Random } from '../../system/random.ts';

const OWNER_ONLY = 0o600;
const NAME_BYTES = 16;
const KEY_BYTES = 32;
const BLOCK_BYTES = 16;

/**
 * Opens spills in a directory of the domain.
 * @throws CapacityError `disk-full` from `append`
 */
export function fileSpills(directory: string, random: Random): OpenSpill {
  return async () => {
    await mkdir(directory, { recursive: true });
    const name = Buffer.from(random.bytes(NAME_BYTES)).toString('hex');
    const path = join(directory, `psi-${name}.spill`);
    const file = await open(path, 'wx+', OWNER_ONLY);
    try {
      await unlink(path);
    } catch (error) {
      // A file that nobody closes ends the process when the collector comes upon it.
      await file.close();
      throw error;
    }
    const key = random.bytes(KEY_BYTES);
    let sizeBytes = 0;
    return {
      async append(bytes) {
        const offset = sizeBytes;
        // No place is written twice: a failed append leaves a gap.
        sizeBytes += bytes.length;
        const ciphertext = enciphered(key, offset, bytes);
        try {
          for (let done = 0; done < bytes.length; ) {
            const part = ciphertext.subarray(done);
            done += (await file.write(part, 0, part.length, offset + done)).bytesWritten;
          }
        } catch (error) {
          throw asDiskError(error);
        } finally {
          releaseBytes(ciphertext);
        }
        return offset;
      },
      async read(offset, into) {
        for (let done = 0; done < into.length; ) {
          const { bytesRead } = await file.read(into, done, into.length - done, offset + done);
          if (bytesRead === 0) throw new Error('a spill ended early');
          done += bytesRead;
        }
        const plaintext = enciphered(key, offset, into);
        into.set(plaintext);
        // Not left to the collector: it looks at heaps, and these are arrays beside them, by the gigabyte.
        releaseBytes(plaintext);
      },
      async close() {
        key.fill(0);
        await file.close();
      },
    };
  };
}

/** AES-256 in counter mode, its own inverse: the key stream's byte is the file's. */
function enciphered(key: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  const counter = Buffer.alloc(BLOCK_BYTES);
  counter.writeBigUInt64BE(BigInt(Math.floor(offset / BLOCK_BYTES)), BLOCK_BYTES / 2);
  const cipher = createCipheriv('aes-256-ctr', key, counter);
  cipher.update(new Uint8Array(offset % BLOCK_BYTES));
  return cipher.update(bytes);
}

function asDiskError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new CapacityError('disk-full', 'The disk is full: the set could not be spilled.', {
    remedy: 'Free space in the domain’s directory and run again.',
  });
}
