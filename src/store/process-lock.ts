/**
 * One process a directory: a second gateway or domain on the same state would end the first one's
 * runs, write over balances it remembers, and take its counters for rolled back.
 *
 * The lock is SQLite's own on an empty file, so the operating system gives it up however the holder
 * dies: no crash leaves one behind.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { CapacityError, SetupError } from '../errors.ts';
import { storeFault } from './database.ts';

/** SQLITE_BUSY. */
const BUSY = 5;

export interface ProcessLock {
  release(): void;
}

/**
 * Takes the lock, at once or not at all.
 * @param file - created with mode 0600 beside the state; holds nothing.
 * @throws SetupError `port-taken` where another process holds it; CapacityError
 *   `store-unavailable`, `disk-full`
 */
export function takeProcessLock(file: string): ProcessLock {
  try {
    closeSync(openSync(file, 'a', 0o600));
    const db = new DatabaseSync(file);
    try {
      db.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      db.close();
      throw error;
    }
    return { release: () => db.close() };
  } catch (error) {
    if ((error as { errcode?: number }).errcode === BUSY) throw taken(file);
    const fault = storeFault(error, `The lock ${file} cannot be taken`);
    if (fault.code === 'disk-full') throw fault;
    throw new CapacityError(
      'store-unavailable',
      `The lock ${file} cannot be taken.`,
      { remedy: 'See that the directory exists and is writable.' },
      { cause: error },
    );
  }
}

/**
 * Opens a program under the lock, which is given up when the program is closed or did not open.
 * @throws as `takeProcessLock`, and what `open` throws
 */
export async function openLocked<Program extends { close(): Promise<void> }>(
  file: string,
  open: () => Promise<Program>,
): Promise<Program> {
  const lock = takeProcessLock(file);
  try {
    const program = await open();
    const close = async (): Promise<void> => {
      await program.close();
      lock.release();
    };
    return { ...program, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function taken(file: string): SetupError {
  return new SetupError('port-taken', `A process is running on this directory already (${file}).`, {
    path: file,
    remedy: 'Stop it first, or use another --dir.',
  });
}
