import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { windowsAt, windowsEndMs } from '../../src/contracts/calendar.ts';

const ms = (text: string): number => Date.parse(text);

describe('calendar windows', () => {
  it('follow the contract’s time zone', () => {
    expect(windowsAt(ms('2026-06-30T15:59:59.999Z'), 'Asia/Shanghai')).toEqual({
      day: '2026-06-30',
      month: '2026-06',
    });
    expect(windowsAt(ms('2026-06-30T16:00:00.000Z'), 'Asia/Shanghai')).toEqual({
      day: '2026-07-01',
      month: '2026-07',
    });
    expect(windowsAt(ms('2026-01-01T04:59:59.999Z'), 'America/New_York').day).toBe('2025-12-31');
    expect(windowsAt(ms('2026-01-01T00:00:00Z'), 'UTC').month).toBe('2026-01');
    expect(() => windowsAt(0, 'Asia/Atlantis')).toThrow(/time zone/);
  });

  it('end at the next midnight, also where clocks change', () => {
    const end = (text: string, zone: string): string =>
      new Date(windowsEndMs(ms(text), zone).dayMs).toISOString();
    expect(end('2026-03-08T12:00:00Z', 'America/New_York')).toBe('2026-03-09T04:00:00.000Z');
    expect(end('2026-11-01T04:00:00Z', 'America/New_York')).toBe('2026-11-02T05:00:00.000Z');
    // Samoa left out 30 December 2011 when it crossed the date line.
    expect(end('2011-12-30T09:59:59Z', 'Pacific/Apia')).toBe('2011-12-30T10:00:00.000Z');
    expect(windowsAt(ms('2011-12-30T10:00:00Z'), 'Pacific/Apia').day).toBe('2011-12-31');
    const month = windowsEndMs(ms('2024-02-01T00:00:00Z'), 'UTC').monthMs;
    expect(new Date(month).toISOString()).toBe('2024-03-01T00:00:00.000Z');
  });

  it('are the same up to the end and others from there on', () => {
    const zones = fc.constantFrom('Asia/Shanghai', 'UTC', 'America/St_Johns', 'Pacific/Chatham');
    const instants = fc.integer({
      min: ms('2000-01-01T00:00:00Z'),
      max: ms('2037-01-01T00:00:00Z'),
    });
    fc.assert(
      fc.property(instants, zones, (now, zone) => {
        const { dayMs, monthMs } = windowsEndMs(now, zone);
        const { day, month } = windowsAt(now, zone);
        expect(windowsAt(dayMs - 1, zone).day).toBe(day);
        expect(windowsAt(dayMs, zone).day).not.toBe(day);
        expect(windowsAt(monthMs - 1, zone).month).toBe(month);
        expect(windowsAt(monthMs, zone).month).not.toBe(month);
      }),
    );
  });
});
