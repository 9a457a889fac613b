/**
 * Small files that are whole or not there: written beside, synced, renamed, the directory synced.
 * A crash at any point leaves the old content or the new, never a part.
 */
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';

/** @param mode - permission bits of the new file; secrets and pins are 0o600. */
export async function writeAtomically(
  path: string,
  content: Uint8Array | string,
  mode: number,
): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = await open(beside, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the entries of a directory durable: a new name, a removed one. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
