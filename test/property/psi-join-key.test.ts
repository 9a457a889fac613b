import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import {
  canonicalValue,
  digestKeys,
  encodeJoinKey,
  type DateFormat,
  type KeyColumn,
  type KeyTally,
} from '../../protocols/psi/join-key.ts';

const TEXT: KeyColumn = { type: 'text' };
const INTEGER: KeyColumn = { type: 'integer' };
const date = (format: DateFormat): KeyColumn => ({ type: 'date', format });
const empty = (): KeyTally => ({ rows: 0, keys: 0, nulls: 0, malformed: 0 });
const CONTEXT = new Uint8Array(32);

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

describe('composite keys', () => {
  it('encode differently whenever a canonical value differs', () => {
    const value = fc.oneof(fc.constantFrom('a', 'ab', 'b', '1', '12', '2'), fc.string());
    const keepCase = [TEXT, TEXT].map(() => ({ type: 'text', keepCase: true }) as const);
    fc.assert(
      fc.property(fc.tuple(value, value), fc.tuple(value, value), (left, right) => {
        const [a, b] = [left, right].map((key) => encodeJoinKey(keepCase, key));
        if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return;
        const canonical = [left, right].map((key) =>
          key.map((part) => part.normalize('NFKC').trim()),
        );
        const isSame = JSON.stringify(canonical[0]) === JSON.stringify(canonical[1]);
        expect(Buffer.compare(a, b) === 0).toBe(isSame);
      }),
      { numRuns: 2000 },
    );
    expect(encodeJoinKey([TEXT], ['1'])).not.toEqual(encodeJoinKey([INTEGER], ['1']));
    expect(encodeJoinKey([TEXT, TEXT], ['ab', 'c'])).not.toEqual(
      encodeJoinKey([TEXT, TEXT], ['a', 'bc']),
    );
  });

  it('need between 1 and 8 columns and a value for each', () => {
    expect(() => encodeJoinKey([], [])).toThrow(/1 to 8/);
    expect(() => encodeJoinKey(Array(9).fill(TEXT), Array(9).fill('a'))).toThrow(/1 to 8/);
    expect(() => encodeJoinKey([TEXT], ['a', 'b'])).toThrow(/1 to 8/);
    expect(encodeJoinKey(Array(8).fill(TEXT), Array(8).fill('a'))).toBeInstanceOf(Uint8Array);
  });

  it('leave rows without a key out, and count them', () => {
    const rows = [
      ['a', '1'],
      ['b', null],
      ['c', 'x'],
      [null, 'x'],
      [' A', '01'],
      [' ', '2'],
    ];
    const tally = empty();
    const kept: number[] = [];
    const digests = digestKeys(noblePrimitives.hash, CONTEXT, [TEXT, INTEGER], rows, tally, (i) =>
      kept.push(i),
    );
    expect(tally).toEqual({ rows: 6, keys: 2, nulls: 3, malformed: 1 });
    expect(kept).toEqual([0, 4]);
    expect(digests).toHaveLength(64);
    expect(digests.slice(0, 32)).toEqual(digests.slice(32));
  });

  it('digest differently in another run', () => {
    const digest = (context: Uint8Array): Uint8Array =>
      digestKeys(noblePrimitives.hash, context, [TEXT], [['a']], empty());
    expect(digest(CONTEXT)).toEqual(digest(new Uint8Array(32)));
    expect(digest(CONTEXT)).not.toEqual(digest(new Uint8Array(32).fill(1)));
    expect(() => digest(new Uint8Array(31))).toThrow(/32 bytes/);
  });
});
