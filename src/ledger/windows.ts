/** Quota windows by the calendar of an IANA time zone: days of 23 or 25 hours included. */
import { dayFormatOf, firstBeyond, LONGEST_MS } from '../contracts/calendar.ts';
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
  /** The first millisecond of the day or month that holds `atMs`. */
  startOf(kind: 'day' | 'month', atMs: number): number;
}

/**
 * The calendar of a time zone; keep it, since making one costs more than asking it.
 * @throws InputError `parameter-invalid` where the zone is unknown.
 */
export function calendarOf(timeZone: string): Calendar {
  const format = dayFormatOf(timeZone);
  const keyAt = (kind: 'day' | 'month', atMs: number): string => {
    const day = format.format(atMs);
    return kind === 'day' ? day : day.slice(0, 7);
  };
  const startOf = (kind: 'day' | 'month', atMs: number): number => {
    const windowKey = keyAt(kind, atMs);
    const longestMs = LONGEST_MS[kind];
    return firstBeyond(atMs - longestMs, longestMs, (at) => keyAt(kind, at) === windowKey);
  };
  const latest = new Map<WindowKind, { readonly fromMs: number; readonly window: QuotaWindow }>();
  return {
    startOf,
    windowOf(kind, atMs) {
      if (kind === 'lifetime') {
        return { window: kind, windowKey: 'lifetime', resetsAtMs: undefined };
      }
      const known = latest.get(kind);
      const endMs = known?.window.resetsAtMs ?? 0;
      if (known !== undefined && known.fromMs <= atMs && atMs < endMs) return known.window;
      const windowKey = keyAt(kind, atMs);
      const ends = (at: number): boolean => keyAt(kind, at) !== windowKey;
      const resetsAtMs = firstBeyond(atMs, LONGEST_MS[kind], ends);
      const window: QuotaWindow = { window: kind, windowKey, resetsAtMs };
      latest.set(kind, { fromMs: atMs, window });
      return window;
    },
  };
}
