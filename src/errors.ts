/**
 * Every error that may cross a process boundary: one closed union of codes, one class per family.
 * `src/gateway/problem.ts` is the only table from code to problem document.
 */

export const ERROR_CODES = {
  input: [
    'malformed-message',
    'invalid-json',
    'body-too-large',
    'frame-too-large',
    'set-too-large',
    'too-many-cells',
    'query-not-supported',
    'dataset-unknown',
    'column-unknown',
    'parameter-invalid',
    'overflow-possible',
    'idempotency-key-missing',
  ],
  identity: [
    'credential-missing',
    'credential-invalid',
    'credential-expired',
    'scope-insufficient',
    'party-not-in-contract',
    'party-not-pinned',
    'signature-invalid',
    'signature-missing',
    'enrolment-token-invalid',
    'enrolment-token-expired',
  ],
  state: [
    'route-unknown',
    'run-unknown',
    'contract-unknown',
    'contract-not-active',
    'round-mismatch',
    'idempotency-conflict',
    'run-cancelled',
    'result-expired',
    'result-not-ready',
    'request-replayed',
    'request-expired',
    'party-set-changed',
    'descriptor-mismatch',
    'history-rolled-back',
    'already-exists',
  ],
  policy: [
    'contract-revoked',
    'contract-expired',
    'plan-outside-contract',
    'grade-forbids-protocol',
    'column-usage-forbids',
    'cell-too-small',
    'parties-below-minimum',
    'dataset-drifted',
    'refused-by-officer',
    'noise-required',
  ],
  metering: ['quota-exceeded', 'rate-limited', 'contract-counter-exhausted'],
  abort: [
    'transcript-mismatch',
    'tag-mismatch',
    'domain-left',
    'domain-unreachable',
    'domain-failed',
    'analyst-left',
    'gateway-restarted',
    'run-timed-out',
    'decryption-failed',
  ],
  capacity: ['queue-full', 'shutting-down', 'disk-full', 'store-unavailable'],
  setup: [
    'config-invalid',
    'config-missing',
    'port-taken',
    'tls-required',
    'source-missing',
    'source-unreadable',
    'key-unreadable',
    'peer-mismatch',
  ],
  invariant: ['internal'],
} as const;

export type ErrorFamily = keyof typeof ERROR_CODES;
export type CodeOf<F extends ErrorFamily> = (typeof ERROR_CODES)[F][number];
export type ErrorCode = CodeOf<ErrorFamily>;

/** What a refusal may name besides its code. Never elements, shares, keys, ciphertexts or bodies. */
export interface ErrorFacts {
  readonly column?: string;
  readonly rule?: string;
  readonly party?: string;
  /** What would be allowed, or what to do. */
  readonly remedy?: string;
  readonly path?: string;
  readonly dimension?: string;
  readonly left?: string;
  readonly resetsAt?: string;
  readonly retryAfterS?: number;
  readonly receipt?: string;
  /** True where the decision depended on rows: then it is charged in full. */
  readonly dependedOnRows?: boolean;
  /** True where it ended the run that was asked about: the same call will give the same answer. */
  readonly runIsOver?: boolean;
}

/** An expected failure with a code of the closed union; `message` is one sentence fit for users. */
export abstract class WeirError extends Error {
  abstract readonly family: ErrorFamily;
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.facts = facts;
  }
}

/** The caller sent something that cannot be accepted as it is. */
export class InputError extends WeirError {
  readonly family = 'input' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(code: CodeOf<'input'>, message: string, facts?: ErrorFacts, options?: ErrorOptions) {
    super(code, message, facts, options);
  }
}

/** Who asks is not known, not proven or not allowed. */
export class IdentityError extends WeirError {
  readonly family = 'identity' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(
    code: CodeOf<'identity'>,
    message: string,
    facts?: ErrorFacts,
    options?: ErrorOptions,
  ) {
    super(code, message, facts, options);
  }
}

/** The thing asked for is not in a state that allows it. */
export class StateError extends WeirError {
  readonly family = 'state' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(code: CodeOf<'state'>, message: string, facts?: ErrorFacts, options?: ErrorOptions) {
    super(code, message, facts, options);
  }
}

/** A rule of the contract, the grade or the domain forbids it. */
export class PolicyError extends WeirError {
  readonly family = 'policy' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(code: CodeOf<'policy'>, message: string, facts?: ErrorFacts, options?: ErrorOptions) {
    super(code, message, facts, options);
  }
}

/** A quota or a rate is exhausted. */
export class MeteringError extends WeirError {
  readonly family = 'metering' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(
    code: CodeOf<'metering'>,
    message: string,
    facts?: ErrorFacts,
    options?: ErrorOptions,
  ) {
    super(code, message, facts, options);
  }
}

/** A protocol ended without a result. */
export class AbortError extends WeirError {
  readonly family = 'abort' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(code: CodeOf<'abort'>, message: string, facts?: ErrorFacts, options?: ErrorOptions) {
    super(code, message, facts, options);
  }
}

/** Not now: try again later. */
export class CapacityError extends WeirError {
  readonly family = 'capacity' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(
    code: CodeOf<'capacity'>,
    message: string,
    facts?: ErrorFacts,
    options?: ErrorOptions,
  ) {
    super(code, message, facts, options);
  }
}

/** The program cannot start or go on as it is configured. */
export class SetupError extends WeirError {
  readonly family = 'setup' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(code: CodeOf<'setup'>, message: string, facts?: ErrorFacts, options?: ErrorOptions) {
    super(code, message, facts, options);
  }
}

/** A bug: opaque to callers, logged, and the reservation is voided. */
export class InvariantError extends WeirError {
  readonly family = 'invariant' as const;
  // oxlint-disable-next-line no-useless-constructor -- narrows the code to this family's
  constructor(
    code: CodeOf<'invariant'>,
    message: string,
    facts?: ErrorFacts,
    options?: ErrorOptions,
  ) {
    super(code, message, facts, options);
  }
}

/**
 * States what must hold; a violation is a bug and ends the operation, never the process's integrity.
 * @throws InvariantError `internal`
 */
export function assertInvariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new InvariantError('internal', `invariant violated: ${what}`);
}

const CLASS_OF = {
  input: InputError,
  identity: IdentityError,
  state: StateError,
  policy: PolicyError,
  metering: MeteringError,
  abort: AbortError,
  capacity: CapacityError,
  setup: SetupError,
  invariant: InvariantError,
} as const;

/** The error of a code that came from another process or a stored row; undefined for no such code. */
export function errorOfCode(
  code: string,
  message: string,
  facts?: ErrorFacts,
): WeirError | undefined {
  for (const [family, codes] of Object.entries(ERROR_CODES)) {
    if ((codes as readonly string[]).includes(code)) {
      const Class = CLASS_OF[family as ErrorFamily] as new (
        code: ErrorCode,
        message: string,
        facts?: ErrorFacts,
      ) => WeirError;
      return new Class(code as ErrorCode, message, facts);
    }
  }
  return undefined;
}
