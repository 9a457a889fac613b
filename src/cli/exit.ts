/** From an error to one sentence and an exit code (after sysexits.h). */
import { z } from 'zod';
import { GatewayUnreachable, WeirProblem } from '../client/problem.ts';
import { visible } from '../contracts/plain-text.ts';
import { type ErrorFamily, errorOfCode, WeirError } from '../errors.ts';

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
  EISDIR: 'a directory stands where a file is needed; name a file.',
};

/** What to tell a person, in one line; the code where the error is not one of ours. */
export function sentenceOf(error: unknown): string {
  return visible(wordsOf(error));
}

function wordsOf(error: unknown): string {
  const stated = statedError(error);
  if (stated !== undefined) {
    const { remedy } = stated.facts;
    // A bug is opaque to callers over the network; who started the program sees what it was.
    const cause = stated.family === 'invariant' ? stated.cause : undefined;
    const further = cause instanceof Error ? cause.message : remedy;
    return further === undefined ? stated.message : `${stated.message} ${further}`;
  }
  if (error instanceof GatewayUnreachable) return `${error.message} Is it running there?`;
  const code = systemCodeOf(error);
  const known = code === undefined ? undefined : SYSTEM_SENTENCES[code];
  const path = error instanceof Error && 'path' in error ? ` (${String(error.path)})` : '';
  if (known !== undefined) return `${known}${path}`;
  if (error instanceof z.ZodError) return refusedValue(error);
  return error instanceof Error ? error.message : String(error);
}

/** A value that no command looked at before: of several the first. */
function refusedValue({ issues: [issue] }: z.ZodError): string {
  const path = issue?.path.join('.') ?? '';
  return `${path === '' ? 'A value' : path} is not accepted: ${issue?.message ?? 'malformed'}.`;
}

export function exitCodeOf(error: unknown): number {
  const stated = statedError(error);
  if (stated !== undefined) return EXIT_CODES[stated.family];
  if (error instanceof z.ZodError) return EXIT_CODES.input;
  if (error instanceof GatewayUnreachable) return EXIT_CODES.abort;
  return systemCodeOf(error) === undefined ? 70 : 74;
}

/** An error of the closed union: raised here, or stated by the gateway. */
function statedError(error: unknown): WeirError | undefined {
  if (!(error instanceof WeirProblem)) return error instanceof WeirError ? error : undefined;
  const { remedy } = error.document;
  const facts = typeof remedy === 'string' ? { remedy } : {};
  return errorOfCode(error.code, error.message, facts);
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
