import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ELEMENT_BYTES } from '../../protocols/psi/element.ts';
import { bucketOf } from '../../protocols/psi/params.ts';
import { settleElements, sharedRows } from '../../protocols/psi/vole/settled-elements.ts';
import { systemRandom } from '../../src/system/random.ts';
import { digestsOf } from '../fixtures/psi.ts';
import { VOLE_PARAMS } from '../fixtures/psi-vole.ts';

const random = (count: number): Uint8Array => systemRandom.bytes(count);

async function elementsOf(items: readonly string[], duplicates: 'multiplicity' | 'distinct') {
  const params = { ...VOLE_PARAMS, padding: 'bucket', duplicates, setSizeMax: 512 } as const;
  const settled = await settleElements(params, random, digestsOf(items));
  const pieces: Uint8Array[] = [];
  for await (const piece of settled.source.pieces()) pieces.push(piece);
  const all = Buffer.concat(pieces);
  expect(all.length).toBe(settled.source.count * ELEMENT_BYTES);
  const names = Array.from({ length: settled.source.count }, (_, i) =>
    all.toString('hex', i * ELEMENT_BYTES, (i + 1) * ELEMENT_BYTES),
  );
  return { ...settled, names };
}

const nameOf = (item: string, occurrence: number): string => {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(occurrence);
  return `00${createHash('sha256').update(item).digest('hex')}${number.toString('hex')}`;
};

describe('a set’s elements', () => {
  it.each(['multiplicity', 'distinct'] as const)(
    'count duplicates by the rule %s, know their rows, and fill a bucket with dummies',
    async (duplicates) => {
      const lists = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 150 });
      await fc.assert(
        fc.asyncProperty(lists, async (list) => {
          const items = list.map((item) => `item ${item}`);
          const seen = new Map<string, number>();
          const expected: string[] = [];
          const rows: number[] = [];
          for (const [row, item] of items.entries()) {
            const occurrence = seen.get(item) ?? 0;
            seen.set(item, occurrence + 1);
            if (occurrence > 0 && duplicates === 'distinct') continue;
            expected.push(nameOf(item, occurrence));
            rows.push(row);
          }
          const settled = await elementsOf(items, duplicates);
          expect(settled.names.slice(0, expected.length)).toEqual(expected);
          expect([...settled.rows]).toEqual(rows);
          expect(settled.names).toHaveLength(bucketOf(expected.length));
          expect(settled.names.slice(expected.length).every((name) => name.startsWith('01'))).toBe(
            true,
          );
          expect(new Set(settled.names).size).toBe(settled.names.length);
          expect([settled.items, settled.distinct]).toEqual([items.length, seen.size]);
        }),
      );
    },
  );

  it('are told by their rows where they are shared, and end the run where one is a dummy', async () => {
    const settled = await elementsOf(['a', 'b', 'a', 'c', 'd', 'e'], 'distinct');
    expect(settled.names).toHaveLength(8);
    expect([...sharedRows(settled, Uint32Array.of(0, 2, 4))]).toEqual([0, 3, 5]);
    for (const dummy of [5, 7]) {
      const numbers = Uint32Array.of(0, dummy);
      expect(() => sharedRows(settled, numbers)).toThrow(
        expect.objectContaining({ code: 'transcript-mismatch' }),
      );
    }
  });

  it('are refused beyond the set size', async () => {
    const many = Array.from({ length: 513 }, (_, i) => `item ${i}`);
    await expect(elementsOf(many, 'distinct')).rejects.toMatchObject({ code: 'set-too-large' });
    await expect(elementsOf(many.slice(1), 'distinct')).resolves.toBeDefined();
  });
});
