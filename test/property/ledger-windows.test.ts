import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { calendarOf } from '../../src/ledger/windows.ts';

const at = (text: string): number => Date.parse(text);

describe('quota windows', () => {
  it.each([
    // zone, instant, day, when the day ends, hours of that day
    ['Asia/Shanghai', '2026-11-21T15:59:59.999Z', '2026-11-21', '2026-11-21T16:00:00.000Z'],
    ['Asia/Shanghai', '2026-11-21T16:00:00.000Z', '2026-11-22', '2026-11-22T16:00:00.000Z'],
    // The clock goes forward: a day of 23 hours.
    ['Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-29', '2026-03-29T22:00:00.000Z'],
    // The clock goes back: a day of 25 hours.
    ['America/New_York', '2026-11-01T05:00:00Z', '2026-11-01', '2026-11-02T05:00:00.000Z'],
    // Midnight itself is skipped: the day begins at one.
    ['America/Santiago', '2026-09-05T12:00:00Z', '2026-09-05', '2026-09-06T04:00:00.000Z'],
    // A whole date is skipped.
    ['Pacific/Apia', '2011-12-29T12:00:00Z', '2011-12-29', '2011-12-30T10:00:00.000Z'],
    ['Asia/Kathmandu', '2026-01-31T18:14:00Z', '2026-01-31', '2026-01-31T18:15:00.000Z'],
  ])('knows the day of %s at %s', (zone, instant, key, end) => {
    const { windowKey, resetsAtMs } = calendarOf(zone).windowOf('day', at(instant));
    expect(windowKey).toBe(key);
    expect(new Date(resetsAtMs ?? 0).toISOString()).toBe(end);
  });

  it('knows months, leap years and the turn of the year', () => {
    const shanghai = calendarOf('Asia/Shanghai');
    expect(shanghai.windowOf('month', at('2026-12-31T15:59:59Z'))).toEqual({
      window: 'month',
      windowKey: '2026-12',
      resetsAtMs: at('2026-12-31T16:00:00Z'),
    });
    expect(shanghai.windowOf('month', at('2028-02-28T20:00:00Z')).resetsAtMs).toBe(
      at('2028-02-29T16:00:00Z'),
    );
    expect(shanghai.windowOf('lifetime', 0)).toEqual({
      window: 'lifetime',
      windowKey: 'lifetime',
      resetsAtMs: undefined,
    });
  });

  it('gives each instant of a window the same key, and the instant after it another', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('Asia/Shanghai', 'America/New_York', 'Australia/Lord_Howe', 'UTC'),
        fc.constantFrom('day' as const, 'month' as const),
        fc.integer({ min: at('2020-01-01T00:00:00Z'), max: at('2035-01-01T00:00:00Z') }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (zone, kind, instant, part) => {
          const asked = calendarOf(zone);
          const { windowKey, resetsAtMs = 0 } = asked.windowOf(kind, instant);
          const within = instant + Math.floor((resetsAtMs - 1 - instant) * part);
          // The second question is answered from what was kept, or from the calendar: alike.
          expect(asked.windowOf(kind, within)).toEqual(calendarOf(zone).windowOf(kind, within));
          expect(asked.windowOf(kind, within).windowKey).toBe(windowKey);
          expect(asked.windowOf(kind, resetsAtMs).windowKey > windowKey).toBe(true);
          const startMs = asked.startOf(kind, within);
          expect(asked.windowOf(kind, startMs)).toEqual({ window: kind, windowKey, resetsAtMs });
          expect(asked.windowOf(kind, startMs - 1).windowKey < windowKey).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('refuses a zone that does not exist', () => {
    expect(() => calendarOf('Mars/Olympus')).toThrow(InputError);
  });
});
