/** The `weir` command as a user starts it, and what it leaves behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/system/clock.ts';
import { requireBuild } from './child.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const COMMAND = `${ROOT}src/cli/weir.cjs`;
const POLL_MS = 20;

export interface Command {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The exit code, or null where a signal ended it; output is complete then. */
  readonly ended: Promise<number | null>;
}

export interface CommandOptions {
  /** Arguments of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Shell text that runs before, in the same process: a limit, a mount. */
  readonly shellFirst?: string;
  /** A command that runs the whole. */
  readonly around?: readonly string[];
}

/** Starts `weir` with these arguments. */
export function weir(args: readonly string[], options: CommandOptions = {}): Command {
  requireBuild();
  const words = [process.execPath, ...(options.nodeArgs ?? []), COMMAND, ...args];
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const [program = '', ...rest] = [
    ...(options.around ?? []),
    ...(options.shellFirst === undefined
      ? []
      : ['sh', '-c', `${options.shellFirst}; exec "$@"`, 'sh']),
    ...words,
  ];
  const child = spawn(program, rest, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  return {
    process: child,
    pid: child.pid ?? -1,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
  };
}

/** Waits for a text on standard output or standard error. */
export async function printed(command: Command, text: string): Promise<void> {
  let code: number | null | undefined;
  void command.ended.then((ended) => (code = ended));
  while (!command.stdout().includes(text) && !command.stderr().includes(text)) {
    if (code !== undefined) throw new Error(`ended with ${code}: ${command.stderr()}`);
    await systemClock.sleep(POLL_MS);
  }
}

/** Processes whose parent this is, from /proc. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((candidate) => statOf(candidate)?.parent === pid);
}

/** Whether all of them have ended within the time; one that nobody has reaped counts as ended. */
export async function allGone(pids: readonly number[], withinMs: number): Promise<boolean> {
  const untilMs = systemClock.monotonic() + withinMs;
  for (;;) {
    const alive = pids.filter((pid) => !['Z', 'X', undefined].includes(statOf(pid)?.state));
    if (alive.length === 0) return true;
    if (systemClock.monotonic() >= untilMs) return false;
    await systemClock.sleep(POLL_MS);
  }
}

/** @see proc_pid_stat(5) */
function statOf(pid: number): { state: string | undefined; parent: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}
