import { createHash } from 'node:crypto';
import { stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DatasetRegistrationSchema } from '../../src/catalog/dataset.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import {
  FORMATS,
  inTemporaryDirectory,
  registrationOf,
  writeTable,
  type Row,
} from '../support/source-tables.ts';

const limits = { ...DEFAULT_ENGINE_LIMITS, threads: 1, memoryMiB: 256 };
const empty: Row = { at: null, kind: null, whole: null, exact: null, real: null };

function optionsIn(directory: string, format: (typeof FORMATS)[number] = 'csv') {
  return {
    registration: registrationOf(format, ['a', 'b']),
    directory,
    spillDirectory: join(directory, 'spill'),
    limits,
  };
}

describe('DuckDB source', () => {
  it.each(FORMATS)(
    'describes %s and changes its version with the content alone',
    async (format) => {
      await inTemporaryDirectory(async (directory) => {
        await writeTable(directory, format, [empty, { ...empty, kind: 'a', whole: '3' }]);
        const source = await openDuckDbSource(optionsIn(directory, format));
        const first = await source.describe();
        expect(first.rowCount).toBe(2);
        expect(first.columns.map((column) => column.name)).toContain('hour');
        const path = join(directory, `events.${format}`);
        await utimes(path, new Date(0), new Date(0));
        expect((await source.describe()).versionMaterial).toEqual(first.versionMaterial);
        await writeTable(directory, format, [empty, { ...empty, kind: 'a', whole: '4' }, empty]);
        const second = await source.describe();
        expect(second.rowCount).toBe(3);
        const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
        expect(digest(second.versionMaterial)).not.toBe(digest(first.versionMaterial));
        await source.close();
      });
    },
  );

  it('refuses to answer from data that changed since it was described', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeTable(directory, 'csv', [empty]);
      const source = await openDuckDbSource(optionsIn(directory));
      const asked = { groups: [], chosen: [], sums: [] };
      await source.describe();
      await source.aggregate(asked);
      await writeTable(directory, 'csv', [empty, empty]);
      await expect(source.aggregate(asked)).rejects.toMatchObject({ code: 'dataset-drifted' });
      await source.describe();
      expect(new BigUint64Array((await source.aggregate(asked)).counts.buffer)[0]).toBe(2n);
      await source.close();
    });
  });

  it('renews itself once for many callers, under a statement in flight, and closes in between', async () => {
    await inTemporaryDirectory(async (directory) => {
      const many = Array.from({ length: 5000 }, () => ({ ...empty, kind: 'a' }));
      await writeTable(directory, 'csv', many);
      const source = await openDuckDbSource(optionsIn(directory));
      const stream = source.streamColumns(['kind'], 100)[Symbol.asyncIterator]();
      expect((await stream.next()).value).toHaveLength(100);
      await writeTable(directory, 'csv', [empty]);
      const described = await Promise.all([1, 2, 3].map(() => source.describe()));
      expect(described.map((one) => one.rowCount)).toEqual([1, 1, 1]);
      const rest = async () => {
        while ((await stream.next()).done !== true);
      };
      await expect(rest()).rejects.toMatchObject({ code: 'dataset-drifted' });
      await writeTable(directory, 'csv', [empty, empty]);
      const late = source.describe();
      await source.close();
      await expect(late).rejects.toMatchObject({ code: 'run-cancelled' });
      await source.close();
    });
  });

  it('streams columns as text in chunks, and stops when cancelled', async () => {
    await inTemporaryDirectory(async (directory) => {
      const rows = Array.from({ length: 5000 }, (_, index) => ({
        ...empty,
        at: '2001-06-30 23:59:59',
        kind: index % 3 === 0 ? null : `k${index}`,
        whole: String(index),
      }));
      await writeTable(directory, 'csv', rows);
      const source = await openDuckDbSource(optionsIn(directory));
      const read: (readonly (string | null)[])[] = [];
      const sizes: number[] = [];
      for await (const chunk of source.streamColumns(['kind', 'hour', 'month', 'size'], 1024)) {
        sizes.push(chunk.length);
        read.push(...chunk);
      }
      expect(read).toEqual(
        rows.map((row, index) => [row.kind, '23', '2001-06', index < 25 ? '0..<25' : '>=25']),
      );
      expect(sizes).toEqual([1024, 1024, 1024, 1024, 904]);
      const controller = new AbortController();
      const cancelled = async () => {
        for await (const _ of source.streamColumns(['kind'], 10, controller.signal)) {
          controller.abort();
        }
      };
      await expect(cancelled()).rejects.toMatchObject({ code: 'run-cancelled' });
      await source.close();
    });
  });

  it('excludes rows without consent and counts them in the row count all the same', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeTable(directory, 'csv', [
        { ...empty, kind: 'yes' },
        { ...empty, kind: 'no' },
        empty,
      ]);
      const options = optionsIn(directory);
      const registration = DatasetRegistrationSchema.parse({
        ...options.registration,
        consent: { column: 'kind', granted: ['yes', "it's"] },
      });
      const source = await openDuckDbSource({ ...options, registration });
      expect((await source.describe()).rowCount).toBe(3);
      const answer = await source.aggregate({ groups: [], chosen: [], sums: [] });
      expect(new BigUint64Array(answer.counts.buffer)[0]).toBe(1n);
      await source.close();
    });
  });

  it('names a missing file, a missing column and a wrong type in one sentence', async () => {
    await inTemporaryDirectory(async (directory) => {
      await expect(openDuckDbSource(optionsIn(directory))).rejects.toMatchObject({
        code: 'source-missing',
      });
      await writeFile(join(directory, 'events.csv'), 'whole\n1\n');
      await expect(openDuckDbSource(optionsIn(directory))).rejects.toMatchObject({
        code: 'source-unreadable',
        facts: { column: 'at' },
      });
      await writeFile(join(directory, 'events.parquet'), 'secret-row-content');
      const failure = await openDuckDbSource(optionsIn(directory, 'parquet')).catch(String);
      expect(failure).toMatch(/declared format/);
      expect(failure).not.toContain('secret-row-content');
    });
  });

  it('reads the CSV that office programs write: byte order mark, CRLF, quoted line breaks', async () => {
    await inTemporaryDirectory(async (directory) => {
      const header = '"when ""it"" was; --",类别,whole,exact,real';
      const rows = ['2001-01-01 00:00:00,"a\r\nb",1,1,1', '2001/1/31 7:05,"",2,,', ',c,3,,'];
      const text = `\uFEFF${[header, ...rows].join('\r\n')}\r\n`;
      await writeFile(join(directory, 'events.csv'), text);
      const source = await openDuckDbSource(optionsIn(directory));
      const read: (readonly (string | null)[])[] = [];
      const columns = ['kind', 'whole', 'day'];
      for await (const chunk of source.streamColumns(columns, 10)) read.push(...chunk);
      expect(read).toEqual([
        ['a\r\nb', '1', '2001-01-01'],
        [null, '2', '2001-01-31'],
        ['c', '3', null],
      ]);
      await source.close();
    });
  });

  it('finds the cell of each of 200,000 labels', async () => {
    await inTemporaryDirectory(async (directory) => {
      const labels = Array.from({ length: 200_000 }, (_, index) => `l${index}`);
      const kinds = ['l0', 'l199999', 'l123456', 'l123456', 'x'];
      await writeTable(
        directory,
        'csv',
        kinds.map((kind) => ({ ...empty, kind })),
      );
      const source = await openDuckDbSource(optionsIn(directory));
      const groups = [{ column: 'kind', labels }];
      const answer = await source.aggregate({ groups, chosen: [undefined], sums: [] });
      const counts = new BigUint64Array(answer.counts.buffer);
      expect([counts[0], counts[199_999], counts[123_456], counts[200_000]]).toEqual([
        1n,
        1n,
        2n,
        1n,
      ]);
      expect(counts.reduce((all, cell) => all + cell, 0n)).toBe(5n);
      await source.close();
    });
  });

  it('gives spill directories to its owner alone and removes them when closed', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeTable(directory, 'csv', [empty]);
      const source = await openDuckDbSource(optionsIn(directory));
      const spill = await source.spillDirectory();
      expect((await stat(spill)).mode & 0o777).toBe(0o700);
      await source.close();
      await expect(stat(spill)).rejects.toThrow(/ENOENT/);
    });
  });

  it('refuses a sum that could leave its lane, by row count and bounds alone', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeTable(
        directory,
        'csv',
        Array.from({ length: 10 }, () => empty),
      );
      const source = await openDuckDbSource(optionsIn(directory));
      const sum = { column: 'whole', minimum: '0', maximum: '9'.repeat(18), scale: 0 };
      const ask = (squares: boolean) =>
        source.aggregate({ groups: [], chosen: [], sums: [{ ...sum, squares }] });
      await expect(ask(false)).rejects.toMatchObject({ code: 'overflow-possible' });
      await source.close();
    });
  });
});
