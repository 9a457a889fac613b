import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, lengthPrefixed } from '../../protocols/common/bytes.ts';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import { canonicalValue, type KeyColumn } from '../../protocols/psi/join-key.ts';
import {
  BATCH_BYTES,
  digestKeys,
  encodeKeys,
  keyEnd,
  keyValues,
  type KeyTally,
} from '../../protocols/psi/key-batch.ts';
import { NOT_PLAIN, writePlain } from '../../protocols/psi/plain-value.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';

type Row = readonly (string | null)[];

const TEXT: KeyColumn = { type: 'text' };
const INTEGER: KeyColumn = { type: 'integer' };
const DAY: KeyColumn = { type: 'date', format: 'iso' };
const COLUMNS: readonly KeyColumn[] = [
  TEXT,
  { type: 'text', keepCase: true },
  INTEGER,
  DAY,
  { type: 'date', format: 'compact' },
  { type: 'date', format: 'day-first' },
  { type: 'date', format: 'month-first' },
  { type: 'date', format: 'chinese' },
];
const CONTEXT = Uint8Array.from({ length: 32 }, (_, i) => i);
const LABEL = Buffer.from('weir/psi/join-key/v1');
const noTally = (): KeyTally => ({ rows: 0, keys: 0, nulls: 0, malformed: 0 });

/** Every kind of value, near the places where rules change. */
const value = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme-ascii' }),
  fc.string({
    unit: fc.constantFrom('a', 'Z', ' ', '\t', '\n', '\v', '\0', '\x1c', '\x7f', '\u0085'),
  }),
  fc.string({
    unit: fc.constantFrom('A', 'ß', 'ẞ', 'İ', 'ﬁ', 'Å', '\u030a', '\u3000', '\ufeff', '１'),
  }),
  fc.string({ unit: fc.constantFrom('0', '1', '9', '+', '-', ' ', '.', 'e', '٣') }),
  fc
    .tuple(fc.constantFrom('', '+', '-', ' -', '--'), fc.nat({ max: 45 }), fc.nat({ max: 40 }))
    .map(([sign, zeros, digits]) => sign + '0'.repeat(zeros) + '7'.repeat(digits)),
  fc.integer({ min: 4090, max: 4100 }).map((length) => 'Ab '.repeat(1400).slice(0, length)),
  fc.integer({ min: 4094, max: 4098 }).map((length) => ' '.repeat(length)),
  fc
    .date({ noInvalidDate: true, min: new Date('0001-01-01'), max: new Date('9999-12-31') })
    .chain((date) => {
      const [year = '', month = '', day = ''] = date.toISOString().slice(0, 10).split('-');
      return fc.constantFrom(
        `${year}-${month}-${day}`,
        ` ${year}-${Number(month)}-${Number(day)}T00:00 `,
        `${year}${month}${day}`,
        `${day}.${month}.${year}`,
        `${month}/${day}/${year}`,
        `${year}年${Number(month)}月${Number(day)}日`,
        `${year}-02-30`,
      );
    }),
);

/** The bytes of a key as the rule says them, value by value. */
function naiveKey(columns: readonly KeyColumn[], row: Row): Uint8Array | 'null' | 'malformed' {
  const values = columns.map((column, i) => canonicalValue(column, row[i] ?? null));
  const texts = values.filter((each) => typeof each === 'string');
  const gaps = values.flatMap((each) => (typeof each === 'string' ? [] : [each.gap]));
  if (gaps.length > 0) return gaps.includes('null') ? 'null' : 'malformed';
  return lengthPrefixed(texts.flatMap((text, i) => [columns[i]?.type ?? '', text]));
}

function naiveDigest(key: Uint8Array): Uint8Array {
  return createHash('sha256').update(LABEL).update(CONTEXT).update(key).digest();
}

function batched(columns: readonly KeyColumn[], rows: readonly Row[], tally = noTally()) {
  const kept: number[] = [];
  const batches = [...encodeKeys(columns, rows, tally, (index) => kept.push(index))];
  return { batches, kept, tally, keys: concatBytes(batches.map(({ keys }) => keys)) };
}

describe('values of plain ASCII', () => {
  const plain = (column: KeyColumn, text: string): string | undefined => {
    const out = new Uint8Array(text.length + 1).fill(0xee);
    const length = writePlain(column, text, out, 0);
    expect(out.at(-1)).toBe(0xee);
    return length === NOT_PLAIN ? undefined : Buffer.from(out.subarray(0, length)).toString();
  };

  it('are what the general rule makes of them', () => {
    let plainSeen = 0;
    const agrees = (column: KeyColumn, text: string): void => {
      const short = plain(column, text);
      if (short === undefined) return;
      plainSeen += 1;
      expect(short === '' ? { gap: 'null' } : short).toEqual(canonicalValue(column, text));
    };
    fc.assert(
      fc.property(fc.constantFrom(...COLUMNS), value, (column, text) => agrees(column, text)),
      { numRuns: 20_000 },
    );
    for (let code = 0; code < 0x300; code++) {
      const character = String.fromCharCode(code);
      for (const text of [character, `a${character}`, `${character}B `, `1${character}1`]) {
        for (const column of COLUMNS) agrees(column, text);
      }
    }
    expect(plainSeen).toBeGreaterThan(3000);
  });

  it('take the short path, and no others do', () => {
    expect(plain(TEXT, ' Ab\t')).toBe('ab');
    expect(plain({ type: 'text', keepCase: true }, ' Ab\t')).toBe('Ab');
    expect(plain(TEXT, '\v\f ')).toBe('');
    expect(plain(INTEGER, ' -0012 ')).toBe('-12');
    expect(plain(INTEGER, '-00')).toBe('0');
    expect(plain(INTEGER, '0'.repeat(60) + '7'.repeat(38))).toBe('7'.repeat(38));
    for (const text of ['ä', '\u00a0', 'a'.repeat(4097)]) expect(plain(TEXT, text)).toBeUndefined();
    for (const text of ['', '+', '1.0', '1 1', '7'.repeat(39), '１']) {
      expect(plain(INTEGER, text) ?? '').toBe('');
    }
    expect(plain(DAY, '2001-01-01')).toBeUndefined();
  });
});

describe('composite keys', () => {
  const rows = fc
    .array(fc.constantFrom(...COLUMNS), { minLength: 1, maxLength: 8 })
    .chain((columns) => {
      const own = fc.tuple(...columns.map(() => fc.option(value, { freq: 20 })));
      return fc.tuple(fc.constant(columns), fc.array(own, { maxLength: 12 }));
    });

  it.each([
    ['portable', noblePrimitives.hash],
    ['native', nativePrimitives.hash],
  ])('have the digests, the tally and the values of the naive rule: %s', (_, hash) => {
    fc.assert(
      fc.property(rows, ([columns, table]) => {
        const { batches, kept, tally, keys } = batched(columns, table);
        const naive = table.map((row) => naiveKey(columns, row));
        const expected = naive.filter((key) => key instanceof Uint8Array);
        const digests = concatBytes(batches.map((batch) => digestKeys(hash, CONTEXT, batch)));
        expect(Buffer.from(digests).toString('hex')).toBe(
          Buffer.from(concatBytes(expected.map(naiveDigest))).toString('hex'),
        );
        expect(tally).toEqual({
          rows: table.length,
          keys: expected.length,
          nulls: naive.filter((key) => key === 'null').length,
          malformed: naive.filter((key) => key === 'malformed').length,
        });
        expect(kept).toEqual(naive.flatMap((key, i) => (key instanceof Uint8Array ? [i] : [])));
        let at = 0;
        for (const index of kept) {
          const end = keyEnd(keys, at, columns.length);
          const canonical = columns.map((column, i) =>
            canonicalValue(column, table[index]?.[i] ?? null),
          );
          expect(keyValues(keys.subarray(at, end))).toEqual(canonical);
          at = end;
        }
        expect(at).toBe(keys.length);
      }),
      { numRuns: 1000 },
    );
  });

  it('have the digests that they always had', () => {
    const table = [
      [' Ab ', '-007', '2001-1-9'],
      ['Straße\u3000', '１２', '2001-01-09T1'],
      ['x'.repeat(4096), '9'.repeat(38), '2000-02-29'],
    ];
    const { batches } = batched([TEXT, INTEGER, DAY], table);
    expect(batches).toHaveLength(1);
    for (const batch of batches) {
      const digests = Buffer.from(digestKeys(nativePrimitives.hash, CONTEXT, batch));
      expect(digests.toString('hex').match(/.{64}/g)).toEqual([
        '2e216b38a7de9a3786e97f13c4fba156c91b8b3921e0a97062416469cd9c31e3',
        '953b955114a2b697b9660dac1234d68b7b1db09e0302de7c597d196b968407c1',
        '4686ff4e5d4f3cc5424ce5e142c4abe8cf300ecba17b8a45a6b8f5ea906506b3',
      ]);
    }
  });

  it('encode differently whenever a canonical value differs', () => {
    const part = fc.oneof(fc.constantFrom('a', 'ab', 'b', '1', '12', '2'), fc.string());
    const keepCase = [TEXT, TEXT].map(() => ({ type: 'text', keepCase: true }) as const);
    const encoded = (columns: readonly KeyColumn[], row: Row): string =>
      Buffer.from(batched(columns, [row]).keys).toString('hex');
    fc.assert(
      fc.property(fc.tuple(part, part), fc.tuple(part, part), (left, right) => {
        const [a, b] = [left, right].map((row) => encoded(keepCase, row));
        if (a === '' || b === '') return;
        const canonical = [left, right].map((row) =>
          row.map((each) => each.normalize('NFKC').trim()),
        );
        const isSame = JSON.stringify(canonical[0]) === JSON.stringify(canonical[1]);
        expect(a === b).toBe(isSame);
      }),
      { numRuns: 2000 },
    );
    expect(encoded([TEXT], ['1'])).not.toBe(encoded([INTEGER], ['1']));
    expect(encoded([TEXT, TEXT], ['ab', 'c'])).not.toBe(encoded([TEXT, TEXT], ['a', 'bc']));
  });

  it('need between 1 and 8 columns and a value for each', () => {
    expect(() => batched([], [[]])).toThrow(/1 to 8/);
    expect(() => batched(Array(9).fill(TEXT), [Array(9).fill('a')])).toThrow(/1 to 8/);
    expect(() => batched([TEXT, TEXT], [['a']])).toThrow(/1 to 8/);
    expect(batched(Array(8).fill(TEXT), [Array(8).fill('a')]).kept).toEqual([0]);
    expect(batched([TEXT], [['a', 'beside']]).keys).toEqual(batched([TEXT], [['a']]).keys);
  });

  it('leave rows without a key out, and count them', () => {
    const table = [
      ['a', '1'],
      ['b', null],
      ['c', 'x'],
      [null, 'x'],
      [' A', '01'],
      [' ', '2'],
    ];
    const { kept, tally, batches } = batched([TEXT, INTEGER], table);
    expect(tally).toEqual({ rows: 6, keys: 2, nulls: 3, malformed: 1 });
    expect(kept).toEqual([0, 4]);
    const [batch] = batches;
    if (batch === undefined) throw new Error('no batch');
    const digests = digestKeys(noblePrimitives.hash, CONTEXT, batch);
    expect(digests).toHaveLength(64);
    expect(digests.slice(0, 32)).toEqual(digests.slice(32));
  });

  it('come in batches of bounded size, however long the values are', () => {
    const table = Array.from({ length: 2000 }, (_, i) => [`${i}`.padEnd(4096, 'Å')]);
    const { batches, kept } = batched([TEXT], table);
    expect(kept).toHaveLength(2000);
    expect(batches.length).toBeGreaterThan(10);
    for (const { keys } of batches) expect(keys.length).toBeLessThan(BATCH_BYTES + 3 * 4096 + 16);
    expect(batches.reduce((sum, { ends }) => sum + ends.length, 0)).toBe(2000);
  });

  it('of too long values take no room', () => {
    const [batch] = batched([TEXT], [['a'], ['b'.repeat(50_000_000)]]).batches;
    expect(batch?.keys.buffer.byteLength).toBeLessThan(100_000);
  });

  it('digest differently in another run', () => {
    const digest = (context: Uint8Array): Uint8Array[] =>
      batched([TEXT], [['a']]).batches.map((batch) =>
        digestKeys(noblePrimitives.hash, context, batch),
      );
    expect(digest(CONTEXT)).toEqual(digest(CONTEXT.slice()));
    expect(digest(CONTEXT)).not.toEqual(digest(new Uint8Array(32)));
    expect(() => digest(new Uint8Array(31))).toThrow(/32 bytes/);
  });
});

describe('digests of many messages', () => {
  it.each([
    ['portable', noblePrimitives.hash],
    ['native', nativePrimitives.hash],
  ])('are SHA-256 of each, at every length around a block: %s', (_, hash) => {
    const lengths = fc.oneof(fc.nat({ max: 200 }), fc.nat({ max: 9000 }));
    const bytes = fc.uint8Array({ minLength: 61, maxLength: 61 });
    const check = (prefix: Uint8Array, sizes: readonly number[], seed: Uint8Array): void => {
      const messages = sizes.map((size) =>
        Uint8Array.from({ length: size }, (__, i) => (seed[i % 61] ?? 0) ^ (i >> 3)),
      );
      let end = 0;
      const ends = Uint32Array.from(sizes, (size) => (end += size));
      const digests = hash.sha256Each(prefix, concatBytes(messages), ends);
      const expected = messages.map((message) =>
        createHash('sha256').update(prefix).update(message).digest(),
      );
      expect(Buffer.compare(digests, Buffer.concat(expected))).toBe(0);
    };
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 130 }),
        fc.array(lengths, { maxLength: 11 }),
        bytes,
        check,
      ),
      { numRuns: 300 },
    );
    const each = Array.from({ length: 200 }, (__, size) => size);
    for (const prefixBytes of [0, 52, 55, 56, 64]) {
      check(new Uint8Array(prefixBytes).fill(3), each, new Uint8Array(61).fill(7));
    }
  });

  it.each([
    ['portable', noblePrimitives.hash],
    ['native', nativePrimitives.hash],
  ])('refuse ends that are not those of the messages: %s', (_, hash) => {
    const digest = (...ends: number[]): Uint8Array =>
      hash.sha256Each(new Uint8Array(2), new Uint8Array(9), Uint32Array.from(ends));
    expect(digest(4, 4, 9)).toHaveLength(96);
    for (const ends of [[4, 8], [4, 10], [5, 4, 9], []]) {
      expect(() => digest(...ends)).toThrow(expect.objectContaining({ code: 'length-wrong' }));
    }
  });
});
