/**
 * How often opening under a key failed, beside the key. Whoever hands over changed results and learns
 * which of them failed learns a little of the secret key each time; after a few failures the key opens
 * nothing any more, so that little stays little.
 */
import { closeSync, fsyncSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import { SetupError } from '../errors.ts';

/** A sound gateway causes none. What three failures among 2^14 openings can tell is 39 bits. */
export const FAILED_OPENINGS_MAX = 3;
const FILE = 'failed-openings';

/**
 * Opens something with the key in `directory`; a failure that depended on the key is on disk before
 * anyone is told of it.
 * @throws SetupError `key-unreadable` where too many have failed; else as `open`
 */
export async function countingFailures<Answer>(
  directory: string,
  open: () => Promise<Answer>,
): Promise<Answer> {
  if (failedOpenings(directory) >= FAILED_OPENINGS_MAX) {
    throw new SetupError(
      'key-unreadable',
      `${FAILED_OPENINGS_MAX} results under this key were changed on their way: it opens no more.`,
      {
        path: directory,
        remedy: 'Make a new key, agree on a new contract, and report the gateway.',
      },
    );
  }
  try {
    return await open();
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'decryption-failed') countOne(directory);
    throw error;
  }
}

/** A byte each. */
function failedOpenings(directory: string): number {
  return statSync(join(directory, FILE), { throwIfNoEntry: false })?.size ?? 0;
}

function countOne(directory: string): void {
  const descriptor = openSync(join(directory, FILE), 'a', 0o600);
  try {
    writeSync(descriptor, '!');
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
