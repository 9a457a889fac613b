/** Programs of the build as child processes of a test. */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Order, Told } from './program.ts';

const DIST = fileURLToPath(new URL('../../../dist/', import.meta.url));
/** The `weir` command as it is shipped. */
export const WEIR = `${DIST}src/cli/main.js`;
/** The same programs, with the tests' hold on their steps. */
export const CONTROLLED = `${DIST}test/e2e/support/program.js`;

const READY_MS_MAX = 40_000;
const STOP_MS_MAX = 12_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Owns a child process; `stop` or `kill` it. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly ended: Promise<Ended>;
  /** Of a controlled program only. */
  order(order: Order): Promise<void>;
  /** Resolves once the program is held at the step that it was ordered to hold at. */
  held(): Promise<void>;
  /** Asks it to end, and waits. */
  stop(): Promise<Ended>;
  /** SIGKILL, and waits. */
  kill(): Promise<Ended>;
}

/** @throws where the build is missing. */
export function requireBuild(): void {
  if (existsSync(WEIR) && existsSync(CONTROLLED)) return;
  throw new Error('These tests run the build: run `npm run build` first, or `npm test`.');
}

/** Starts a script of the build; resolves when it says that it is ready. */
export async function startProgram(
  name: string,
  script: string,
  args: readonly string[],
  logFile: string,
  /** Options of Node itself, and where the program's temporary files go. */
  host: {
    readonly execArgv?: readonly string[];
    readonly temporary?: string;
    /** Kills the program as long as it is not ready. */
    readonly signal?: AbortSignal;
  } = {},
): Promise<Program> {
  requireBuild();
  const output = openSync(logFile, 'a', 0o600);
  // The runner's own options are not the programs'.
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const child = fork(script, [...args], {
    stdio: ['ignore', output, output, 'ipc'],
    execArgv: [...(host.execArgv ?? [])],
    env: host.temporary === undefined ? env : { ...env, TMPDIR: host.temporary },
  });
  closeSync(output);
  const kill = (): void => void child.kill('SIGKILL');
  host.signal?.addEventListener('abort', kill, { once: true });
  const ended = new Promise<Ended>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const facts = await readiness(name, child, ended, logFile);
  host.signal?.removeEventListener('abort', kill);
  return {
    name,
    pid: child.pid ?? -1,
    facts,
    ended,
    order: (order) =>
      child.connected
        ? answered(child, 'done', () => void child.send(order))
        : Promise.reject(new Error(`${name} has ended`)),
    held: () => answered(child, 'held', () => undefined),
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      const end = await ended;
      clearTimeout(timer);
      return end;
    },
    kill: async () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

interface Ready {
  readonly kind: 'ready';
  readonly facts: Record<string, unknown>;
}

async function readiness(
  name: string,
  child: ChildProcess,
  ended: Promise<Ended>,
  logFile: string,
): Promise<Record<string, unknown>> {
  const ready = Promise.withResolvers<Record<string, unknown>>();
  let isWaiting = true;
  const failed = (why: string): void => {
    if (!isWaiting) return;
    child.kill('SIGKILL');
    ready.reject(new Error(`${name} ${why}:\n${readFileSync(logFile, 'utf8').slice(-4000)}`));
  };
  const timer = setTimeout(() => failed('did not get ready'), READY_MS_MAX);
  const listen = (message: Ready | Told): void => {
    if (message.kind === 'ready') ready.resolve(message.facts);
  };
  child.on('message', listen);
  void ended.then(({ code, signal }) => failed(`ended with ${code ?? signal}`));
  try {
    return await ready.promise;
  } finally {
    isWaiting = false;
    clearTimeout(timer);
    child.off('message', listen);
  }
}

function answered(child: ChildProcess, kind: Told['kind'], ask: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (work: () => void): void => {
      child.off('message', listen);
      child.off('exit', gone);
      work();
    };
    const listen = (told: Told): void => {
      if (told.kind === kind) done(resolve);
    };
    const gone = (): void => done(() => reject(new Error('the program ended')));
    child.on('message', listen);
    child.once('exit', gone);
    ask();
  });
}
