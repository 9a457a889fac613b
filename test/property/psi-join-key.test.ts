import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalValue, type DateFormat, type KeyColumn } from '../../protocols/psi/join-key.ts';

const TEXT: KeyColumn = { type: 'text' };
const INTEGER: KeyColumn = { type: 'integer' };
const date = (format: DateFormat): KeyColumn => ({ type: 'date', format });

describe('canonical values', () => {
  it.each([
    [TEXT, '  Ångström ', 'ångström'],
    [TEXT, 'A\u030angstro\u0308m', 'ångström'],
    [TEXT, 'STRASSE', 'strasse'],
    [TEXT, 'straße', 'strasse'],
    [TEXT, 'STRAẞE', 'strasse'],
    [TEXT, 'ＡＢＣ１２', 'abc12'],
    [TEXT, '\u3000航班\u00a0', '航班'],
    [TEXT, 'ΟΔΟΣ', canonicalValue(TEXT, 'οδος')],
    [{ type: 'text', keepCase: true }, ' Ab ', 'Ab'],
    [INTEGER, ' +007 ', '7'],
    [INTEGER, '-0', '0'],
    [INTEGER, '-12', '-12'],
    [INTEGER, '１２', '12'],
    [date('iso'), '2001-1-9', '2001-01-09'],
    [date('iso'), '2001-01-09T23:59:00Z', '2001-01-09'],
    [date('iso'), '2001-01-09 23:59', '2001-01-09'],
    [date('compact'), '20010109', '2001-01-09'],
    [date('day-first'), '9.1.2001', '2001-01-09'],
    [date('day-first'), '09/01/2001', '2001-01-09'],
    [date('month-first'), '1/9/2001', '2001-01-09'],
    [date('chinese'), '2001年1月9日', '2001-01-09'],
    [date('iso'), '2000-02-29', '2000-02-29'],
  ] as [KeyColumn, string, string][])('%j: %j becomes %j', (column, value, canonical) => {
    expect(canonicalValue(column, value)).toBe(canonical);
  });

  it.each([
    [TEXT, null, 'null'],
    [TEXT, ' \u3000 ', 'null'],
    [TEXT, 'a\ud800', 'malformed'],
    [TEXT, 'a'.repeat(4097), 'malformed'],
    [INTEGER, '1.0', 'malformed'],
    [INTEGER, '1e3', 'malformed'],
    [INTEGER, '9'.repeat(39), 'malformed'],
    [date('iso'), '2001-02-29', 'malformed'],
    [date('iso'), '2001-13-01', 'malformed'],
    [date('iso'), '09.01.2001', 'malformed'],
    [date('iso'), '0099-01-01', 'malformed'],
    [date('day-first'), '9.1/2001', 'malformed'],
    [date('compact'), '', 'null'],
  ] as [KeyColumn, string | null, string][])('%j: %j has no key (%s)', (column, value, gap) => {
    expect(canonicalValue(column, value)).toEqual({ gap });
  });

  it('stay as they are when made canonical again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        const once = canonicalValue(TEXT, value);
        if (typeof once === 'string') expect(canonicalValue(TEXT, once)).toBe(once);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('case folding', () => {
  it('brings every character, its cases and its decomposed forms to one key', () => {
    const different: string[] = [];
    for (let code = 0x21; code < 0x2_0000; code++) {
      // Han, Hangul and surrogates have no cases.
      if (code >= 0x3400 && code < 0xa000) continue;
      if (code >= 0xac00 && code < 0xe000) continue;
      const value = `a${String.fromCodePoint(code)}b`;
      const key = canonicalValue(TEXT, value);
      const spellings = [value.toUpperCase(), value.toLowerCase(), value.normalize('NFD')];
      if (spellings.some((spelling) => canonicalValue(TEXT, spelling) !== key)) {
        different.push(code.toString(16));
      }
    }
    expect(different).toEqual([]);
  });
});
