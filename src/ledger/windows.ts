/** Quota windows by the calendar of an IANA time zone: days of 23 or 25 hours included. */
import { InputError } from '../errors.ts';
import type { QuotaAccount } from './ledger-store.ts';

export type WindowKind = QuotaAccount['window'];

export interface QuotaWindow {
  readonly window: WindowKind;
  /** `lifetime`, `2026-11` or `2026-11-21`. */
  readonly windowKey: string;
  /** The first millisecond after the window, or undefined for `lifetime`. */
  readonly resetsAtMs: number | undefined;
}

export interface Calendar {
  /** The window of `kind` that holds `atMs`. */
  windowOf(kind: WindowKind, atMs: number): QuotaWindow;
}

const HOUR_MS = 3_600_000;
/** Longer than any calendar day or month, a skipped or repeated hour or date included. */
const LONGEST_MS = { day: 50 * HOUR_MS, month: 33 * 24 * HOUR_MS } as const;

/**
 * The calendar of a time zone; keep it, since making one costs more than asking it.
 * @throws InputError `parameter-invalid` where the zone is unknown.
 */
export function calendarOf(timeZone: string): Calendar {
  const format = formatterOf(timeZone);
  const keyAt = (kind: 'day' | 'month', atMs: number): string => {
    const day = format.format(atMs);
    return kind === 'day' ? day : day.slice(0, 7);
  };
  const latest = new Map<WindowKind, { readonly fromMs: number; readonly window: QuotaWindow }>();
  return {
    windowOf(kind, atMs) {
      if (kind === 'lifetime') {
        return { window: kind, windowKey: 'lifetime', resetsAtMs: undefined };
      }
      const known = latest.get(kind);
      const endMs = known?.window.resetsAtMs ?? 0;
      if (known !== undefined && known.fromMs <= atMs && atMs < endMs) return known.window;
      const windowKey = keyAt(kind, atMs);
      const ends = (at: number): boolean => keyAt(kind, at) !== windowKey;
      const resetsAtMs = firstWhere(ends, atMs, atMs + LONGEST_MS[kind]);
      const window: QuotaWindow = { window: kind, windowKey, resetsAtMs };
      latest.set(kind, { fromMs: atMs, window });
      return window;
    },
  };
}

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  try {
    // Swedish dates are ISO 8601; the Gregorian calendar and digits are named all the same.
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

/** The first millisecond in (low, high] at which `holds`, which is false at `low` and true at `high`. */
function firstWhere(holds: (at: number) => boolean, low: number, high: number): number {
  let before = low;
  let after = high;
  while (after - before > 1) {
    const middle = before + Math.floor((after - before) / 2);
    if (holds(middle)) after = middle;
    else before = middle;
  }
  return after;
}
