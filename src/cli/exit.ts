/** From an error to one sentence and an exit code (after sysexits.h). */
import { type ErrorFamily, WeirError } from '../errors.ts';

const EXIT_CODES: Readonly<Record<ErrorFamily, number>> = {
  input: 65,
  identity: 77,
  state: 65,
  policy: 77,
  metering: 75,
  abort: 69,
  capacity: 75,
  setup: 78,
  invariant: 70,
};

const SYSTEM_SENTENCES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken; choose another with --port or stop what listens there.',
  EACCES: 'permission denied; run it as the account that owns the directory.',
  ENOSPC: 'the disk is full; free some space and start again (nothing acknowledged is lost).',
  ECONNREFUSED: 'nothing answers there; is the gateway (or the domain) running?',
  ENOENT: 'a file is missing',
};

/** What to tell a person; the code where the error is not one of ours. */
export function sentenceOf(error: unknown): string {
  if (error instanceof WeirError) {
    const remedy = error.facts.remedy;
    return remedy === undefined ? error.message : `${error.message} ${remedy}`;
  }
  const code = systemCodeOf(error);
  const known = code === undefined ? undefined : SYSTEM_SENTENCES[code];
  const path = error instanceof Error && 'path' in error ? ` (${String(error.path)})` : '';
  if (known !== undefined) return `${known}${path}`;
  return error instanceof Error ? error.message : String(error);
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof WeirError) return EXIT_CODES[error.family];
  return systemCodeOf(error) === undefined ? 70 : 74;
}

function systemCodeOf(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < 4 && current instanceof Error; depth += 1) {
    if ('code' in current && typeof current.code === 'string' && current.code.startsWith('E')) {
      return current.code;
    }
    current = current.cause;
  }
  return undefined;
}
