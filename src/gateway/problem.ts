/**
 * Errors as RFC 9457 problem documents. Only what `ErrorFacts` may name goes out; bugs, setup
 * faults and foreign errors leave as an opaque `internal` with an instance id that the log shows.
 */
import { randomUUID } from 'node:crypto';
import {
  CapacityError,
  InputError,
  WeirError,
  type ErrorCode,
  type ErrorFacts,
} from '../errors.ts';
import { PROBLEM_TABLE } from './problem-table.ts';

export const PROBLEM_TYPE = 'application/problem+json';
const PROBLEM_URN = 'urn:weir:problem:';
/** Told where an error says nothing else about when to come back. */
const RETRY_AFTER_S = 5;
const FACT_CHARS_MAX = 512;

/** Facts that go out as extension members, in this order; a receipt comes after them. */
const MEMBERS = [
  'path',
  'column',
  'rule',
  'party',
  'remedy',
  'dimension',
  'left',
  'resetsAt',
] as const satisfies readonly (keyof ErrorFacts)[];

export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly titleZh: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly retryable: boolean;
  readonly instance?: string;
  readonly [member: string]: unknown;
}

export interface Problem {
  readonly document: ProblemDocument;
  readonly headers: Readonly<Record<string, string>>;
  /** True where the error is the gateway's fault and must be logged with its instance id. */
  readonly opaque: boolean;
}

/**
 * The problem document of any thrown value, with the headers its status asks for.
 * `detail` is the error's own sentence, except for bugs, setup faults and foreign errors.
 * @param nowMs - to turn `resetsAt` into a Retry-After.
 */
export function problemOf(error: unknown, nowMs: number): Problem {
  const known = error instanceof WeirError ? error : foreign(error);
  if (known === undefined || known.family === 'invariant' || known.family === 'setup') {
    return opaqueProblem();
  }
  const row = PROBLEM_TABLE[known.code];
  const waitS = retryAfterS(known, row.status, nowMs);
  return {
    opaque: false,
    headers: headersFor(known.code, row.status, waitS),
    document: {
      type: PROBLEM_URN + known.code,
      title: row.title,
      titleZh: row.titleZh,
      status: row.status,
      code: known.code,
      detail: known.message.slice(0, FACT_CHARS_MAX),
      // A spent quota comes back only where its window ends; a run that is over, never.
      retryable:
        known.facts.runIsOver !== true &&
        (row.retryable || (row.status === 429 && waitS !== undefined)),
      ...membersOf(known.facts),
    },
  };
}

/** The problem as an HTTP response. Never cached: an error says nothing about the next call. */
export function problemResponse(
  problem: Problem,
  extra: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(problem.document), {
    status: problem.document.status,
    headers: {
      'content-type': PROBLEM_TYPE,
      'cache-control': 'no-store',
      ...extra,
      ...problem.headers,
    },
  });
}

function opaqueProblem(): Problem {
  const row = PROBLEM_TABLE.internal;
  return {
    opaque: true,
    headers: {},
    document: {
      type: `${PROBLEM_URN}internal`,
      title: row.title,
      titleZh: row.titleZh,
      status: row.status,
      code: 'internal',
      detail:
        'Something went wrong in the gateway; its operator finds the reason by this instance id.',
      retryable: row.retryable,
      instance: `urn:uuid:${randomUUID()}`,
    },
  };
}

/** Errors of the platform that have a code of their own: anything else stays a bug. */
function foreign(error: unknown): WeirError | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new CapacityError('disk-full', 'The gateway cannot write: its disk is full.');
  }
  if (error instanceof URIError) {
    return new InputError('malformed-message', 'The address is not validly percent-encoded.');
  }
  return undefined;
}

function membersOf(facts: ErrorFacts): Record<string, unknown> {
  const members: Record<string, unknown> = {};
  for (const name of MEMBERS) {
    const value = facts[name];
    if (value !== undefined) members[name] = value.slice(0, FACT_CHARS_MAX);
  }
  const receipt = documentOf(facts.receipt);
  if (receipt !== undefined) members['receipt'] = receipt;
  return members;
}

/** Whole, and as a document: a receipt that is cut or requoted does not verify. */
function documentOf(json: string | undefined): unknown {
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function retryAfterS(error: WeirError, status: number, nowMs: number): number | undefined {
  if (error.facts.runIsOver === true) return undefined;
  if (error.facts.retryAfterS !== undefined) return Math.max(1, Math.ceil(error.facts.retryAfterS));
  if (error.facts.resetsAt !== undefined) {
    const resetsAtMs = Date.parse(error.facts.resetsAt);
    if (Number.isFinite(resetsAtMs)) return Math.max(1, Math.ceil((resetsAtMs - nowMs) / 1000));
  }
  const row = PROBLEM_TABLE[error.code];
  return row.retryable || status === 503 ? RETRY_AFTER_S : undefined;
}

function headersFor(
  code: ErrorCode,
  status: number,
  waitS: number | undefined,
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (waitS !== undefined) headers['retry-after'] = String(waitS);
  if (status === 401) headers['www-authenticate'] = challenge(code);
  return headers;
}

/** @see RFC 6750 §3 */
function challenge(code: ErrorCode): string {
  if (code === 'credential-missing') return 'Bearer realm="weir"';
  return 'Bearer realm="weir", error="invalid_token"';
}
