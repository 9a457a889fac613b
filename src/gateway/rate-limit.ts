/**
 * Token buckets with a bounded number of keys, and the response headers that tell callers where
 * they stand. @see draft-ietf-httpapi-ratelimit-headers
 */
import type { Clock } from '../system/clock.ts';
import type { QuotaLeft } from './services.ts';

export interface Rate {
  /** Calls a second in the long run. */
  readonly perSecond: number;
  /** Calls at once after a rest; at least 1. */
  readonly burst: number;
}

export interface Taken {
  readonly isAllowed: boolean;
  /** Whole calls left now. */
  readonly left: number;
  /** Seconds until the bucket is full again. */
  readonly fullInS: number;
  /** Seconds until one call is allowed; 0 where it is. */
  readonly retryAfterS: number;
}

interface Bucket {
  level: number;
  atMs: number;
}

/** Structured-field integers have at most 15 digits. @see RFC 9651 §3.3.1 */
const SF_INTEGER_MAX = 999_999_999_999_999n;
const WINDOW_S = { day: 86_400, month: 31 * 86_400, lifetime: undefined } as const;

/** Owns one bucket a key; beyond `keysMax` the longest unused goes, which gives it a fresh burst. */
export class TokenBuckets {
  readonly rate: Rate;
  readonly #clock: Clock;
  readonly #keysMax: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, clock: Clock, keysMax: number) {
    this.rate = rate;
    this.#clock = clock;
    this.#keysMax = keysMax;
  }

  /** Takes `count` calls, or none where fewer are left. `count` 0 only looks. */
  take(key: string, count = 1): Taken {
    const nowMs = this.#clock.monotonic();
    const known = this.#buckets.get(key);
    const level = known === undefined ? this.rate.burst : this.#refilled(known, nowMs);
    const isAllowed = level >= Math.max(count, 1);
    const after = isAllowed ? level - count : level;
    this.#keep(key, { level: after, atMs: nowMs }, known !== undefined);
    return {
      isAllowed,
      left: Math.floor(after),
      fullInS: Math.ceil((this.rate.burst - after) / this.rate.perSecond),
      retryAfterS: isAllowed ? 0 : Math.max(1, Math.ceil((1 - level) / this.rate.perSecond)),
    };
  }

  /** Undoes one `take`. */
  giveBack(key: string): void {
    const known = this.#buckets.get(key);
    if (known !== undefined) known.level = Math.min(this.rate.burst, known.level + 1);
  }

  #refilled(bucket: Bucket, nowMs: number): number {
    const gained = ((nowMs - bucket.atMs) / 1000) * this.rate.perSecond;
    return Math.min(this.rate.burst, bucket.level + Math.max(0, gained));
  }

  #keep(key: string, bucket: Bucket, isKnown: boolean): void {
    if (isKnown) this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size <= this.#keysMax) return;
    for (const oldest of this.#buckets.keys()) {
      this.#buckets.delete(oldest);
      return;
    }
  }
}

/** RateLimit and RateLimit-Policy: the caller's bucket first, then the contract's quota. */
export function rateLimitHeaders(
  rate: Rate,
  taken: Taken,
  quota: readonly QuotaLeft[],
  nowMs: number,
): Record<string, string> {
  const windowS = Math.max(1, Math.ceil(rate.burst / rate.perSecond));
  const policies = [`"calls";q=${Math.floor(rate.burst)};w=${windowS}`];
  const limits = [`"calls";r=${taken.left};t=${taken.fullInS}`];
  for (const each of quota) {
    const name = `"${each.dimension}/${each.window}"`;
    const windowOfQuotaS = WINDOW_S[each.window];
    const window = windowOfQuotaS === undefined ? '' : `;w=${windowOfQuotaS}`;
    policies.push(`${name};q=${sfInteger(each.limit)};qu="${each.dimension}"${window}`);
    const resetS =
      each.resetsAtMs === undefined
        ? ''
        : `;t=${Math.max(0, Math.ceil((each.resetsAtMs - nowMs) / 1000))}`;
    limits.push(`${name};r=${sfInteger(each.left)}${resetS}`);
  }
  return { 'ratelimit-policy': policies.join(', '), ratelimit: limits.join(', ') };
}

function sfInteger(amount: bigint): string {
  if (amount < 0n) return '0';
  return (amount > SF_INTEGER_MAX ? SF_INTEGER_MAX : amount).toString();
}
