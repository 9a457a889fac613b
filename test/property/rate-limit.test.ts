/** Token buckets against a simple reference, and the headers' form. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Units } from '../../src/contracts/units.ts';
import { addressKey } from '../../src/gateway/auth.ts';
import { rateLimitHeaders, TokenBuckets } from '../../src/gateway/rate-limit.ts';
import { systemClock } from '../../src/system/clock.ts';

function clockAt(): { nowMs: number; readonly clock: typeof systemClock } {
  const state = { nowMs: 0, clock: systemClock };
  return Object.assign(state, { clock: { ...systemClock, monotonic: () => state.nowMs } });
}

describe('token buckets', () => {
  it('never allow more than burst + rate × time in any span', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 200 }),
        (waitsMs) => {
          const time = clockAt();
          const buckets = new TokenBuckets({ perSecond: 5, burst: 3 }, time.clock, 10);
          const allowedAt: number[] = [];
          for (const waitMs of waitsMs) {
            time.nowMs += waitMs;
            if (buckets.take('a').isAllowed) allowedAt.push(time.nowMs);
          }
          for (let from = 0; from < allowedAt.length; from += 1) {
            for (let to = from; to < allowedAt.length; to += 1) {
              const spanMs = (allowedAt[to] ?? 0) - (allowedAt[from] ?? 0);
              expect(to - from + 1).toBeLessThanOrEqual(3 + (spanMs / 1000) * 5 + 1e-6);
            }
          }
        },
      ),
    );
  });

  it('allow a call after the wait they tell', () => {
    const time = clockAt();
    const buckets = new TokenBuckets({ perSecond: 0.5, burst: 1 }, time.clock, 10);
    expect(buckets.take('a').isAllowed).toBe(true);
    const refused = buckets.take('a');
    expect(refused).toMatchObject({ isAllowed: false, left: 0, retryAfterS: 2 });
    time.nowMs += refused.retryAfterS * 1000 - 1;
    expect(buckets.take('a').isAllowed).toBe(false);
    time.nowMs += 1;
    expect(buckets.take('a').isAllowed).toBe(true);
  });

  it('keep keys apart and their number bounded', () => {
    const time = clockAt();
    const buckets = new TokenBuckets({ perSecond: 0.001, burst: 1 }, time.clock, 3);
    for (const key of ['a', 'b', 'c']) expect(buckets.take(key).isAllowed).toBe(true);
    expect(buckets.take('a').isAllowed).toBe(false);
    // A fourth key takes the place of the longest unused, b.
    expect(buckets.take('d').isAllowed).toBe(true);
    expect(buckets.take('a').isAllowed).toBe(false);
    expect(buckets.take('b').isAllowed).toBe(true);
  });

  it('are given back at most to the brim', () => {
    const time = clockAt();
    const buckets = new TokenBuckets({ perSecond: 0.001, burst: 1 }, time.clock, 3);
    buckets.take('a');
    buckets.giveBack('a');
    buckets.giveBack('a');
    expect(buckets.take('a').isAllowed).toBe(true);
    expect(buckets.take('a').isAllowed).toBe(false);
  });
});

describe('RateLimit headers', () => {
  it('name the bucket and every quota, with integers a structured field can hold', () => {
    const quota = [
      {
        dimension: 'rows',
        window: 'month',
        limit: (2n ** 70n) as Units,
        left: 7n as Units,
        resetsAtMs: 61_000,
      },
      {
        dimension: 'runs',
        window: 'lifetime',
        limit: 5n as Units,
        left: 0n as Units,
        resetsAtMs: undefined,
      },
    ] as const;
    const taken = { isAllowed: true, left: 4, fullInS: 1, retryAfterS: 0 };
    expect(rateLimitHeaders({ perSecond: 5, burst: 10 }, taken, quota, 1_000)).toEqual({
      'ratelimit-policy':
        '"calls";q=10;w=2, "rows/month";q=999999999999999;qu="rows";w=2678400, "runs/lifetime";q=5;qu="runs"',
      ratelimit: '"calls";r=4;t=1, "rows/month";r=7;t=60, "runs/lifetime";r=0',
    });
  });
});

describe('an address', () => {
  it('counts as one subscriber, however it is written', () => {
    expect(addressKey('192.0.2.7')).toBe('192.0.2.7');
    expect(addressKey('::ffff:192.0.2.7')).toBe('192.0.2.7');
    expect(addressKey('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(addressKey('2001:db8:1:2::9')).toBe('2001:db8:1:2::/64');
    expect(addressKey('2001:db8::1:2:3:4:5')).toBe('2001:db8:0:1::/64');
    expect(addressKey('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
    expect(addressKey('::1')).toBe('0:0:0:0::/64');
  });
});
