/**
 * Child processes of `weir up`: started with a message channel to the parent, whose end, for any
 * reason at all, ends the child too.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { SetupError } from '../errors.ts';

/** A child that is not ready by then is given up. */
export const READY_TIMEOUT_MS = 60_000;
/** A child that has not ended by then after being asked is killed. */
const STOP_TIMEOUT_MS = 8000;
/** After its parent's end a child has this long before it exits without further ado. */
const ORPHAN_EXIT_MS = 1200;

const ReadySchema = z.object({
  kind: z.literal('ready'),
  facts: z.record(z.string(), z.unknown()),
});
const FailedSchema = z.object({
  kind: z.literal('failed'),
  message: z.string(),
  exitCode: z.number(),
});

export interface Child {
  readonly name: string;
  /** What the child told when it was ready. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  stop(): Promise<void>;
}

/**
 * Starts a `weir` sub-command as a child and waits until it is ready.
 * @param logFile - where its output goes; undefined: to this process's own.
 * @throws SetupError with the sentence that the child would have printed.
 */
export async function startChild(
  name: string,
  args: readonly string[],
  logFile: string | undefined,
): Promise<Child> {
  const output = logFile === undefined ? 'inherit' : openSync(logFile, 'a', 0o600);
  const main = fileURLToPath(new URL('main.js', import.meta.url));
  const child = fork(main, args, {
    stdio: ['ignore', output, output, 'ipc'],
    serialization: 'json',
  });
  if (typeof output === 'number') closeSync(output);
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
  });
  const facts = await readiness(name, child, logFile);
  return { name, facts, process: child, exited, stop: () => stopChild(child, exited) };
}

function readiness(
  name: string,
  child: ChildProcess,
  logFile: string | undefined,
): Promise<Readonly<Record<string, unknown>>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(
        new SetupError('config-invalid', `${name} did not get ready; see ${logFile ?? 'above'}`),
      );
    }, READY_TIMEOUT_MS);
    const fail = (message: string): void => {
      clearTimeout(timer);
      reject(new SetupError('config-invalid', `${name}: ${message}`));
    };
    child.on('message', (message) => {
      const ready = ReadySchema.safeParse(message);
      const failed = FailedSchema.safeParse(message);
      if (failed.success) fail(failed.data.message);
      if (!ready.success) return;
      clearTimeout(timer);
      resolve(ready.data.facts);
    });
    child.once('exit', (code) => fail(`ended with code ${code}; see ${logFile ?? 'above'}`));
    child.once('error', (error) => fail(error.message));
  });
}

async function stopChild(child: ChildProcess, exited: Promise<number | null>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}

/** In a child: tells the parent that it is ready. Does nothing where nobody started it so. */
export function tellReady(facts: Readonly<Record<string, unknown>>): void {
  tell({ kind: 'ready', facts });
}

/** In a child: tells the parent why it cannot start. */
export function tellFailed(message: string, exitCode: number): void {
  tell({ kind: 'failed', message, exitCode });
}

/** Of a program that `weir.cjs` started: the descriptor that closes when `weir.cjs` ends. */
const LIFELINE = 'WEIR_LIFELINE';

function tell(message: object): void {
  // A parent that is gone meanwhile hears nothing; its end is dealt with in `stopOnSignals`.
  if (process.connected) process.send?.(message, () => undefined);
}

/**
 * Runs `stop` once on SIGINT, SIGTERM or the parent's end, then exits. After the parent's end the
 * exit is forced, so that no orphan keeps a port or a lock.
 */
export function stopOnSignals(stop: () => Promise<void>): void {
  let stopping = false;
  const begin = (forced: boolean): void => {
    if (forced) setTimeout(() => process.exit(1), ORPHAN_EXIT_MS).unref();
    if (stopping) return;
    stopping = true;
    void stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  // In a group a terminal's Ctrl-C reaches children too: the parent decides when they stop.
  process.on('SIGINT', () => {
    if (!process.connected) begin(false);
  });
  process.on('SIGTERM', () => begin(false));
  process.on('disconnect', () => begin(true));
  // A parent that ended while this program was still starting: its end was told before anyone listened.
  if (process.send !== undefined && !process.connected) begin(true);
  const lifeline = process.env[LIFELINE];
  // Children of this program have a lifeline of their own: the message channel.
  delete process.env[LIFELINE];
  if (lifeline !== undefined) {
    const pipe = new Socket({ fd: Number(lifeline) }).unref();
    pipe.on('error', () => undefined);
    pipe.on('close', () => begin(true));
    pipe.resume();
  }
}
