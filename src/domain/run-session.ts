/** What a domain holds of one attempt of a run, and which of two calls at one time goes on. */
import type { DescriptorParty } from '../contracts/describe-run.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import type { z } from 'zod';
import { AbortError, InputError, InvariantError, StateError, WeirError } from '../errors.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import type { DomainConnection } from '../link/domain-connection.ts';
import type { Clock } from '../system/clock.ts';
import type { Hash } from '../system/ids.ts';
import type { RegisteredDataset } from './dataset-registry.ts';
import type { PreparedRun, PrepareMessage } from './verify-run.ts';

/** Where a crash test may end the process, besides a computation's own steps. */
export const SESSION_STEPS = [
  'prepared',
  'agreed',
  'before-spend',
  'after-spend',
  'finished',
] as const;

/** The longest that a run may take in a domain, whatever its gateway allows: then its keys are wiped. */
export const RUN_MS_MAX = 86_400_000;

/**
 * What a session is at. Changed before any waiting, so that of two calls at one time only one goes
 * on, and no secret is wiped under a call that is about to use it.
 */
export type Phase = 'prepared' | 'agreeing' | 'agreed' | 'starting' | 'computing';

/** Where a run's frames come and go. */
export type RunChannels = Pick<DomainConnection, 'claimRunChannel'>;
/** The same of a run that is to begin, which is not counted where they go no more. */
export type StartChannels = Pick<DomainConnection, 'claimRunChannel' | 'endOfRun'>;

/** A run that all parties agreed on and that is being counted here. */
export interface Started {
  readonly descriptor: Descriptor;
  readonly descriptorHash: Hash;
  readonly over: RunChannels;
  /** Resolves once the count is on disk. */
  readonly spent: Promise<SignedSpend>;
}

/** One attempt of a run, from prepare to its end. */
export interface Session {
  readonly message: PrepareMessage;
  readonly prepared: PreparedRun;
  readonly dataset: RegisteredDataset;
  readonly entry: DescriptorParty;
  readonly ephemeralSecret: Uint8Array;
  readonly createdMs: number;
  /** Aborted with a WeirError when the run must not go on: its contract was revoked. */
  readonly stop: AbortController;
  phase: Phase;
  descriptor: Descriptor | undefined;
  agreedHash: Hash | undefined;
  done: Promise<void> | undefined;
  /** What the source's engine took: told in this domain's own log, nowhere else. */
  engineMs: number;
}

/**
 * Takes the session from one phase to the next while `work` goes on; a failure puts it back, unless
 * `work` has taken it further.
 * @throws StateError `round-mismatch` where it is at another phase, by another call at this moment, say
 */
export async function during<Answer>(
  session: Session,
  from: Phase,
  to: Phase,
  work: () => Promise<Answer>,
): Promise<Answer> {
  if (session.phase !== from) {
    throw new StateError('round-mismatch', `This attempt of the run is ${session.phase}.`, {
      rule: `it must be ${from}`,
    });
  }
  session.phase = to;
  try {
    return await work();
  } finally {
    if (session.phase === to) session.phase = from;
  }
}

/** Its secret is in use or about to be: it is not forgotten before it ends. */
export function isAtWork(session: Session): boolean {
  return session.phase === 'starting' || session.phase === 'computing';
}

/** A gateway that falls silent in the middle of a run holds a domain's keys for so long at most. */
export async function endInTime(session: Session, clock: Clock, over: AbortSignal): Promise<void> {
  await clock.sleep(RUN_MS_MAX, over);
  if (over.aborted) return;
  session.stop.abort(new AbortError('run-timed-out', 'The run took longer than a domain waits.'));
}

/** What the gateway sent, as it must be. @throws InputError `malformed-message` */
export function parsed<Schema extends z.ZodType>(schema: Schema, body: unknown): z.infer<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new InputError('malformed-message', 'The gateway sent a malformed message.', {
    path: issue?.path.join('.') ?? '',
  });
}

/** What is not of the closed union is a bug of this domain: opaque outside. */
export function asWeirError(error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  return new InvariantError('internal', 'The domain failed on an internal error.', undefined, {
    cause: error,
  });
}
