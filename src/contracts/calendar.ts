/**
 * Calendar windows of a contract's limits, in its own time zone: the same keys for the gateway's
 * quotas and for every domain's counter.
 */
import { InputError } from '../errors.ts';

const DAY_LONGEST_MS = 50 * 3_600_000;
const MONTH_LONGEST_MS = 33 * 86_400_000;

export interface CalendarWindows {
  /** `2026-11-21` */
  readonly day: string;
  /** `2026-11` */
  readonly month: string;
}

/** @throws InputError `malformed-message` where the time zone does not exist. */
export function windowsAt(nowMs: number, timeZone: string): CalendarWindows {
  return windowsBy(calendarOf(timeZone), nowMs);
}

/** The first millisecond that lies in another day, respectively month. @throws InputError */
export function windowsEndMs(
  nowMs: number,
  timeZone: string,
): { readonly dayMs: number; readonly monthMs: number } {
  const calendar = calendarOf(timeZone);
  const { day, month } = windowsBy(calendar, nowMs);
  return {
    dayMs: firstBeyond(nowMs, DAY_LONGEST_MS, (ms) => windowsBy(calendar, ms).day !== day),
    monthMs: firstBeyond(nowMs, MONTH_LONGEST_MS, (ms) => windowsBy(calendar, ms).month !== month),
  };
}

/** Bisection: clock changes move midnight, but a date that has passed never comes back. */
function firstBeyond(nowMs: number, longestMs: number, isBeyond: (ms: number) => boolean): number {
  let within = nowMs;
  let beyond = nowMs + longestMs;
  while (beyond - within > 1) {
    const middle = Math.floor((within + beyond) / 2);
    if (isBeyond(middle)) beyond = middle;
    else within = middle;
  }
  return beyond;
}

function windowsBy(calendar: Intl.DateTimeFormat, nowMs: number): CalendarWindows {
  const day = calendar.format(nowMs);
  return { day, month: day.slice(0, 7) };
}

function calendarOf(timeZone: string): Intl.DateTimeFormat {
  try {
    // The Swedish locale writes dates as ISO 8601 does.
    return new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      calendar: 'iso8601',
      numberingSystem: 'latn',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  } catch (error) {
    throw new InputError(
      'malformed-message',
      'The time zone does not exist.',
      {},
      { cause: error },
    );
  }
}
