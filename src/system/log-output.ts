/**
 * Where log lines go: a file descriptor, written in the background. A line that cannot be written
 * (the disk is full, nobody reads the pipe any more) is dropped, and the program goes on: no log
 * may stop a gateway or hold its exit.
 */
import { write, writeSync } from 'node:fs';

/** Characters that may wait to be written; further lines are dropped. */
export const WAITING_CHARS_MAX = 4 * 1024 * 1024;
/** A pipe whose reader is slow is tried again after this time. */
const BUSY_RETRY_MS = 50;

/** Of each output with lines on their way: what still waits at the process's exit. */
const rests = new Set<() => void>();

export interface LineOutput {
  write(line: string): void;
}

/** Lines to this descriptor in their order; what still waits at the process's exit is written then. */
export function lineOutput(fd: number): LineOutput {
  let waiting: string[] = [];
  let waitingChars = 0;
  let isWriting = false;

  const take = (): Buffer => {
    const text = waiting.join('');
    waiting = [];
    waitingChars = 0;
    return Buffer.from(text);
  };
  const writeRest = (): void => {
    if (waiting.length > 0) writeSync(fd, take());
  };
  const next = (): void => {
    isWriting = waiting.length > 0;
    if (isWriting) put(take());
    else settled(writeRest);
  };
  const put = (bytes: Buffer): void => {
    write(fd, bytes, (error, written) => {
      if (error === null && written < bytes.length) put(bytes.subarray(written));
      else if (isBusy(error)) setTimeout(() => put(bytes), BUSY_RETRY_MS);
      else next();
    });
  };
  return {
    write: (line) => {
      if (waitingChars + line.length > WAITING_CHARS_MAX) return;
      waiting.push(line);
      waitingChars += line.length;
      if (isWriting) return;
      unsettled(writeRest);
      next();
    },
  };
}

/** One listener for all outputs: a process has one exit, and a bound on who may listen for it. */
function unsettled(writeRest: () => void): void {
  if (rests.size === 0) process.once('exit', writeRests);
  rests.add(writeRest);
}

function settled(writeRest: () => void): void {
  rests.delete(writeRest);
  if (rests.size === 0) process.off('exit', writeRests);
}

function writeRests(): void {
  for (const writeRest of rests) {
    try {
      writeRest();
    } catch {
      // Nobody is left to be told.
    }
  }
}

function isBusy(error: NodeJS.ErrnoException | null): boolean {
  return error?.code === 'EAGAIN' || error?.code === 'EBUSY';
}
