import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { countCsvColumn, csvColumn, FIELD_CHARACTERS_MAX } from '../../src/cli/csv-ids.ts';

const directory = mkdtempSync(join(tmpdir(), 'weir-csv-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, 'ids.csv');

async function read(text: string | Uint8Array, column = 'id'): Promise<string[]> {
  writeFileSync(file, text);
  const values: string[] = [];
  for await (const some of csvColumn(file, column)) values.push(...some);
  expect(await countCsvColumn(file, column)).toBe(values.length);
  return values;
}
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

describe('a column of a CSV file', () => {
  it('reads back as RFC 4180 writes it, whatever is in the fields and between the lines', async () => {
    const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', '患', '🛫') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 20 }),
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.boolean(),
        async (rows, end, isLast) => {
          const lines = ['other,id', ...rows.map((row) => row.map(quoted).join(','))];
          expect(await read(lines.join(end) + (isLast ? end : ''))).toEqual(
            rows.map(([, id]) => id),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it('reads plain fields, a byte order mark, blank lines and pieces of any length', async () => {
    expect(await read('\uFEFFid\na\n\n b \nit"s\n,\n'.replace(',\n', ''))).toEqual([
      'a',
      ' b ',
      'it"s',
    ]);
    const many = Array.from({ length: 20_000 }, (_, i) => `患者 ${i}`);
    expect(await read(['id', ...many].join('\r\n'))).toEqual(many);
    expect(await read('id,x\n,1\n2,3')).toEqual(['', '2']);
  });

  it.each<[string, string | Uint8Array, string]>([
    ['an empty file', '', 'malformed-message'],
    ['a file without the column', 'name\na', 'column-unknown'],
    ['a line that is too short', 'x,id\na', 'malformed-message'],
    ['a quotation mark that is not closed', 'id\n"a', 'malformed-message'],
    ['a field without end', `id\n${'a'.repeat(FIELD_CHARACTERS_MAX + 1)}`, 'malformed-message'],
    ['another encoding', Uint8Array.of(0x69, 0x64, 0x0a, 0xba, 0xba), 'malformed-message'],
    ['an encoding cut short', Uint8Array.of(0x69, 0x64, 0x0a, 0xe6, 0x82), 'malformed-message'],
  ])('refuses %s', async (_, text, code) => {
    writeFileSync(file, text);
    await expect(countCsvColumn(file, 'id')).rejects.toMatchObject({ code });
  });
});
