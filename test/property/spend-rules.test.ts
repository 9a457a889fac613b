import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SPENDS_WAITING_MAX } from '../../src/domain/counters.ts';
import { decideAttempt, decideLimits } from '../../src/domain/spend-rules.ts';
import type { CountedRequest } from '../../src/domain/spend-rules.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { HOLDERS, makeCast, makeContract, makeRequest, NOW_MS } from '../fixtures/contract.ts';
import { codeOf, makeCommand, makePlace, openPlace } from '../fixtures/counting.ts';
import type { Opened, Place } from '../fixtures/counting.ts';

const cast = makeCast();
const contract = makeContract(cast);
const request = makeRequest(contract);
const runIds = ['0190c9a0-0000-7000-8000-0000000000a1', '0190c9a0-0000-7000-8000-0000000000a2'];

interface Step {
  readonly run: number;
  readonly attempt: number;
  readonly parties: readonly PartyId[];
  readonly sends: boolean;
}
const steps = fc.array(
  fc.record<Step>({
    run: fc.constantFrom(0, 0, 0, 1),
    attempt: fc.integer({ min: 1, max: 4 }),
    parties: fc.subarray([...HOLDERS], { minLength: 2 }),
    sends: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
);

describe('the attempts of one request', () => {
  it('never send under two descriptors, never grow, count once', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        let prior: CountedRequest | undefined;
        const sentUnder = new Set<string>();
        const accepted: Step[] = [];
        let runs = 0;
        for (const step of sequence) {
          const command = makeCommand(contract, {
            request,
            runId: runIds[step.run]!,
            attempt: step.attempt,
            parties: step.parties,
          });
          const before = prior;
          const code = await codeOf(() => {
            runs += decideAttempt(command, before);
          });
          if (code !== 'accepted') {
            expect(['request-replayed', 'party-set-changed']).toContain(code);
            continue;
          }
          accepted.push(step);
          const { descriptorHash, requestHash, descriptor } = command;
          if (step.sends) sentUnder.add(descriptorHash);
          prior = {
            requestHash,
            runId: descriptor.runId,
            attempt: step.attempt,
            descriptorHash,
            parties: step.parties,
            status: step.sends ? 'sent' : 'counted',
          };
        }
        expect(runs).toBe(1);
        expect(sentUnder.size).toBeLessThanOrEqual(1);
        for (const [index, step] of accepted.entries()) {
          const earlier = accepted[index - 1];
          if (earlier === undefined) continue;
          expect(step.run).toBe(earlier.run);
          expect(step.attempt).toBeGreaterThan(earlier.attempt);
          expect(earlier.parties).toEqual(expect.arrayContaining([...step.parties]));
          // After a send nothing else was accepted.
          expect(earlier.sends).toBe(false);
        }
      }),
    );
  });
});

describe('runs that an accepted rollback lost', () => {
  // Three runs a day, five a month, ten in all; it is 20:00 of 15 June in Shanghai.
  const code = (gapMs: number, nowMs: number, runs: number): Promise<string> => {
    // As long-lived as a request may be: a shorter one could be a replay out of the lost history.
    const expiresAt = new Date(nowMs + 86_400_000).toISOString();
    const command = makeCommand(contract, {
      nowMs,
      request: makeRequest(contract, { expiresAt }),
    });
    const counted = { total: 0, day: 0, month: 0 };
    return codeOf(() => decideLimits(command, counted, [{ runs, acceptedAtMs: gapMs }]));
  };

  it('count in the day in which they were accepted as lost, and not in the next', async () => {
    const hour = 3_600_000;
    expect(await code(NOW_MS, NOW_MS + hour, 2)).toBe('accepted');
    expect(await code(NOW_MS, NOW_MS + hour, 3)).toBe('contract-counter-exhausted');
    expect(await code(NOW_MS, NOW_MS + 4 * hour, 3)).toBe('accepted');
  });

  it('count in the month in which they were accepted as lost, and not in the next', async () => {
    const day = 86_400_000;
    expect(await code(NOW_MS, NOW_MS + day, 4)).toBe('accepted');
    expect(await code(NOW_MS, NOW_MS + day, 5)).toBe('contract-counter-exhausted');
    expect(await code(NOW_MS, NOW_MS + 20 * day, 5)).toBe('accepted');
  });
});

describe('the store around the rules', () => {
  let place: Place;
  let opened: Opened;
  beforeEach(async () => {
    place = await makePlace();
    opened = await openPlace(place, cast);
  });
  afterEach(async () => {
    await opened.close();
    await place.remove();
  });

  it('lets so many wait at once: one more is refused, and room comes back', async () => {
    const { requestHash, descriptorHash } = makeCommand(contract);
    const ask = (): Promise<string> =>
      codeOf(() => opened.counters.markSent(requestHash, descriptorHash));
    const codes = await Promise.all(Array.from({ length: SPENDS_WAITING_MAX + 1 }, ask));
    expect(codes.slice(0, -1)).not.toContain('queue-full');
    expect(codes.at(-1)).toBe('queue-full');
    expect(await ask()).toBe('request-replayed');
  });

  it('signs statements in the order of their times, though the clock goes back', async () => {
    const { spend } = await opened.counters.spend(makeCommand(contract, { nowMs: NOW_MS + 5000 }));
    const { spend: next } = await opened.counters.spend(makeCommand(contract));
    expect(next.at).toBe(spend.at);
  });
});
