/** When the SDK asks again by itself: only for calls that may be repeated, a bounded number of times. */
import type { Clock } from '../system/clock.ts';
import type { Random } from '../system/random.ts';
import { GatewayUnreachable, WeirProblem } from './problem.ts';

export interface RetryPolicy {
  /** Calls in all, the first included. */
  readonly attemptsMax: number;
  readonly baseMs: number;
  readonly waitMaxMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attemptsMax: 5, baseMs: 200, waitMaxMs: 15_000 };

/** Codes that speak of the moment, not of the call; `result-not-ready` is the caller's to wait for. */
const PASSING: ReadonlySet<string> = new Set([
  'rate-limited',
  'queue-full',
  'store-unavailable',
  'shutting-down',
]);

/** Runs `call` until it succeeds, fails for good, or attempts run out; then throws its last error. */
export async function withRetry<Answer>(
  call: () => Promise<Answer>,
  policy: RetryPolicy,
  clock: Clock,
  random: Random,
  signal?: AbortSignal,
): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (attempt >= policy.attemptsMax || !isPassing(error)) throw error;
      await clock.sleep(waitMs(error, attempt, policy, random), signal);
      if (signal?.aborted) throw error;
    }
  }
}

/** True where the same call may succeed a little later. */
export function isPassing(error: unknown): boolean {
  if (error instanceof GatewayUnreachable) return true;
  // The code alone would not tell a gateway that is full from a run that ended because one was.
  return error instanceof WeirProblem && PASSING.has(error.code) && error.document.retryable;
}

/** The gateway's own wish, else doubling with jitter, so that many clients do not return at once. */
function waitMs(error: unknown, attempt: number, policy: RetryPolicy, random: Random): number {
  const asked = error instanceof WeirProblem ? error.retryAfterS : undefined;
  if (asked !== undefined) return Math.min(asked * 1000, policy.waitMaxMs);
  const doubled = Math.min(policy.baseMs * 2 ** (attempt - 1), policy.waitMaxMs);
  const [byte = 0] = random.bytes(1);
  return doubled * (0.5 + byte / 512);
}
