/**
 * Calendar windows of a contract's limits, in its own time zone: the same keys for the gateway's
 * quotas and for every domain's counter.
 */
import { InputError } from '../errors.ts';

/** Longer than any calendar day or month, a skipped or repeated hour or date included. */
export const LONGEST_MS = { day: 50 * 3_600_000, month: 33 * 86_400_000 } as const;

export interface CalendarWindows {
  /** `2026-11-21` */
  readonly day: string;
  /** `2026-11` */
  readonly month: string;
}

/** @throws InputError `parameter-invalid` where the time zone does not exist. */
export function windowsAt(nowMs: number, timeZone: string): CalendarWindows {
  return windowsBy(dayFormatOf(timeZone), nowMs);
}

/** The first millisecond that lies in another day, respectively month. @throws InputError */
export function windowsEndMs(
  nowMs: number,
  timeZone: string,
): { readonly dayMs: number; readonly monthMs: number } {
  const calendar = dayFormatOf(timeZone);
  const { day, month } = windowsBy(calendar, nowMs);
  return {
    dayMs: firstBeyond(nowMs, LONGEST_MS.day, (ms) => windowsBy(calendar, ms).day !== day),
    monthMs: firstBeyond(nowMs, LONGEST_MS.month, (ms) => windowsBy(calendar, ms).month !== month),
  };
}

/**
 * The first millisecond after `nowMs` at which `isBeyond` holds, found by bisection: clock changes
 * move midnight, but a date that has passed never comes back.
 */
export function firstBeyond(
  nowMs: number,
  longestMs: number,
  isBeyond: (ms: number) => boolean,
): number {
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

/**
 * Formats an instant as `2026-11-21` in a time zone; making one costs more than asking it.
 * @throws InputError `parameter-invalid` where the time zone does not exist.
 */
export function dayFormatOf(timeZone: string): Intl.DateTimeFormat {
  try {
    // Swedish dates are ISO 8601; the calendar and the digits are named all the same.
    return new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  } catch {
    throw new InputError('parameter-invalid', 'The time zone is not an IANA name.', {
      remedy: 'Name one such as Asia/Shanghai.',
    });
  }
}
