/**
 * Calendar windows of a contract's limits, in its own time zone: the same keys for the gateway's
 * quotas and for every domain's counter.
 */
import { InputError } from '../errors.ts';

/** Formatters kept; a gateway sees few time zones, an attacker could name all of them. */
const FORMATTERS_MAX = 64;
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
  const day = formatterOf(timeZone).format(nowMs);
  return { day, month: day.slice(0, 7) };
}

/** The first millisecond that lies in another day, respectively month. @throws InputError */
export function windowsEndMs(
  nowMs: number,
  timeZone: string,
): { readonly dayMs: number; readonly monthMs: number } {
  const { day, month } = windowsAt(nowMs, timeZone);
  return {
    dayMs: firstBeyond(nowMs, DAY_LONGEST_MS, (ms) => windowsAt(ms, timeZone).day !== day),
    monthMs: firstBeyond(nowMs, MONTH_LONGEST_MS, (ms) => windowsAt(ms, timeZone).month !== month),
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

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const known = formatters.get(timeZone);
  if (known !== undefined) return known;
  if (formatters.size >= FORMATTERS_MAX) formatters.clear();
  let made: Intl.DateTimeFormat;
  try {
    // The Swedish locale writes dates as ISO 8601 does.
    made = new Intl.DateTimeFormat('sv-SE', {
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
  formatters.set(timeZone, made);
  return made;
}
