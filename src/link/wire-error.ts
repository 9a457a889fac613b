/** How a WeirError crosses a link and comes back as the class it was. */
import { z } from 'zod';
import {
  AbortError,
  CapacityError,
  type CodeOf,
  ERROR_CODES,
  type ErrorFacts,
  type ErrorFamily,
  IdentityError,
  InputError,
  MeteringError,
  PolicyError,
  SetupError,
  StateError,
  WeirError,
} from '../errors.ts';
import type { PartyId } from '../system/ids.ts';

const TEXT_CHARS_MAX = 1_000;
const Text = z.string().max(TEXT_CHARS_MAX).exactOptional();

/** An error on the wire. `code` is checked on decoding: a newer peer may know more codes. */
export const WireErrorSchema = z.strictObject({
  code: z.string().min(1).max(64),
  message: z.string().max(TEXT_CHARS_MAX),
  facts: z.strictObject({
    column: Text,
    rule: Text,
    party: Text,
    remedy: Text,
    path: Text,
    dimension: Text,
    left: Text,
    resetsAt: Text,
    retryAfterS: z.number().exactOptional(),
    receipt: Text,
    dependedOnRows: z.boolean().exactOptional(),
  }),
});
export type WireError = z.infer<typeof WireErrorSchema>;

/**
 * What may be told of a failure: code, sentence and facts of a WeirError. A bug crosses as
 * `internal` without its message, which could name what the other side must not learn.
 */
export function encodeError(error: unknown): WireError {
  if (!(error instanceof WeirError) || error.family === 'invariant') {
    return { code: 'internal', message: 'An internal error.', facts: {} };
  }
  const facts: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(error.facts)) {
    if (value === undefined) continue;
    facts[name] = typeof value === 'string' ? value.slice(0, TEXT_CHARS_MAX) : value;
  }
  return {
    code: error.code,
    message: error.message.slice(0, TEXT_CHARS_MAX),
    facts: facts as WireError['facts'],
  };
}

type Rebuild = (code: never, message: string, facts: ErrorFacts) => WeirError;

const REBUILD: Readonly<Record<Exclude<ErrorFamily, 'invariant'>, Rebuild>> = {
  input: (code: CodeOf<'input'>, message, facts) => new InputError(code, message, facts),
  identity: (code: CodeOf<'identity'>, message, facts) => new IdentityError(code, message, facts),
  state: (code: CodeOf<'state'>, message, facts) => new StateError(code, message, facts),
  policy: (code: CodeOf<'policy'>, message, facts) => new PolicyError(code, message, facts),
  metering: (code: CodeOf<'metering'>, message, facts) => new MeteringError(code, message, facts),
  abort: (code: CodeOf<'abort'>, message, facts) => new AbortError(code, message, facts),
  capacity: (code: CodeOf<'capacity'>, message, facts) => new CapacityError(code, message, facts),
  setup: (code: CodeOf<'setup'>, message, facts) => new SetupError(code, message, facts),
};

/**
 * The error that `party` reported, as its own class. A bug over there, and a code this version
 * does not know, is AbortError `domain-failed`. `facts.party` names `party` where it named nobody.
 */
export function decodeError(wire: WireError, party: PartyId): WeirError {
  const facts: ErrorFacts = { party, ...wire.facts };
  for (const [family, rebuild] of Object.entries(REBUILD)) {
    const codes: readonly string[] = ERROR_CODES[family as ErrorFamily];
    if (codes.includes(wire.code)) return rebuild(wire.code as never, wire.message, facts);
  }
  return new AbortError('domain-failed', `${party} could not go on.`, { party });
}

/** Why a signal was aborted, as an error that may be shown: its reason where that is one. */
export function cancelReason(signal: AbortSignal | undefined): WeirError {
  const reason: unknown = signal?.reason;
  if (reason instanceof WeirError) return reason;
  return new StateError('run-cancelled', 'It was cancelled.');
}
