/** Watches the system calls of a metering process: no acknowledgement without a sync before it. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TraceReport {
  readonly acknowledgements: number;
  /** Acknowledgements with log pages behind them that were not synced, or with no sync at all. */
  readonly unsynced: number;
  /** The system calls before the first of them. */
  readonly first: readonly string[];
}

const CHILD = new URL('./ledger-child.ts', import.meta.url).pathname;
const WATCH_MS = 2_500;

export function hasStrace(): boolean {
  return spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0;
}

/** One requester, so that each acknowledgement answers the last write. */
export async function traceSyncs(
  directory: string,
  mode: 'honest' | 'unsynced',
): Promise<TraceReport> {
  const output = join(directory, `${mode}.strace`);
  const calls = 'trace=write,pwrite64,fdatasync,fsync';
  const child = spawn(
    'strace',
    [
      '-f',
      '-y',
      '-e',
      calls,
      '-o',
      output,
      process.execPath,
      CHILD,
      'sqlite',
      join(directory, `${mode}-traced.db`),
      '1',
      mode,
      '1',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'], detached: true },
  );
  const started = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stdout.resume();
  await Promise.race([started, ended]);
  await sleep(WATCH_MS);
  // The whole group: strace leaves its child alone when it is killed.
  if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  await ended;
  return readTrace(readFileSync(output, 'utf8'));
}

/** @param text - `strace -f -y` of writes and syncs, in the order in which they happened. */
export function readTrace(text: string): TraceReport {
  let acknowledgements = 0;
  let unsynced = 0;
  let first: readonly string[] = [];
  let since: string[] = [];
  let dirty = false;
  let synced = false;
  const underWay = new Map<string, boolean>();
  for (const line of text.split('\n')) {
    since.push(line.slice(0, 160));
    const pid = line.split(' ', 1)[0] ?? '';
    const isLog = line.includes('-wal>');
    if (/\bpwrite64\(/.test(line) && isLog) dirty = true;
    if (/\bf(?:data)?sync\(/.test(line)) {
      if (line.includes('<unfinished')) underWay.set(pid, isLog);
      else if (isLog && line.endsWith('= 0')) [dirty, synced] = [false, true];
    } else if (/<\.\.\. f(?:data)?sync resumed>/.test(line) && underWay.get(pid) === true) {
      if (line.endsWith('= 0')) [dirty, synced] = [false, true];
    } else if (/\bwrite\(1</.test(line) && /"(?:reserved|posted|voided) /.test(line)) {
      acknowledgements += 1;
      if (dirty || !synced) {
        unsynced += 1;
        if (first.length === 0) first = since;
      }
      synced = false;
      since = [];
    }
  }
  return { acknowledgements, unsynced, first };
}
