import { createHash } from 'node:crypto';
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DatasetRegistrationSchema } from '../../src/catalog/dataset.ts';
import { DEFAULT_ENGINE_LIMITS, openDuckDbEngine } from '../../src/domain/sources/duckdb-engine.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { identifier, list, literal, sql, type Sql } from '../../src/domain/sources/sql-text.ts';
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

/** Text of this test as a statement: what an attacker would have to bring about. */
const hostile = (text: string): Sql => text as Sql;

describe('locked engine', () => {
  it('reads its own files and refuses every other path, write, extension and setting', async () => {
    await inTemporaryDirectory(async (directory) => {
      const own = join(directory, 'own');
      const spill = join(directory, 'spill');
      await mkdir(own);
      await mkdir(spill);
      for (const name of ['mine.csv', 'neighbour.csv']) await writeFile(join(own, name), 'x\n1\n');
      await writeFile(join(directory, 'foreign.csv'), 'x\n1\n');
      const mine = literal(join(own, 'mine.csv'));
      const engine = await openDuckDbEngine(
        { files: [join(own, 'mine.csv')], spillDirectory: spill },
        limits,
      );
      const attempt = (text: Sql) => engine.session(undefined, (session) => session.run(text));
      try {
        await attempt(sql`SELECT * FROM read_csv(${mine})`);
        const at = (name: string): Sql => literal(join(directory, name));
        const refused: readonly (readonly [Sql, RegExp])[] = [
          [sql`SELECT * FROM read_csv(${at('own/neighbour.csv')})`, /cannot be read/],
          [sql`SELECT * FROM read_csv(${at('foreign.csv')})`, /cannot be read/],
          [sql`SELECT * FROM read_csv(${at('own/../foreign.csv')})`, /cannot be read/],
          [sql`SELECT * FROM read_text(${literal('/etc/passwd')})`, /cannot be read/],
          [sql`SELECT * FROM glob(${at('*')})`, /cannot be read/],
          [sql`SELECT * FROM read_csv(${literal('https://127.0.0.1:9/x.csv')})`, /./],
          [sql`COPY (SELECT 1) TO ${at('own/out.csv')}`, /cannot be read/],
          [sql`EXPORT DATABASE ${at('own/out')}`, /cannot be read/],
          [sql`ATTACH ${at('own/out.db')}`, /cannot be read/],
          [hostile('INSTALL httpfs'), /cannot be read/],
          [hostile('LOAD httpfs'), /cannot be read/],
          [hostile(`LOAD '${join(own, 'x.duckdb_extension')}'`), /cannot be read/],
          [hostile('SET enable_external_access = true'), /cannot be read/],
          [hostile(`SET allowed_paths = ['/']`), /cannot be read/],
          [hostile(`SET allowed_directories = ['/']`), /cannot be read/],
          [hostile('SET lock_configuration = false'), /cannot be read/],
          [hostile('RESET lock_configuration'), /cannot be read/],
          [hostile(`SET memory_limit = '64GB'`), /cannot be read/],
          [hostile('SET threads = 64'), /cannot be read/],
          [hostile(`SET temp_directory = '/tmp'`), /cannot be read/],
          [hostile(`SET TimeZone = 'Asia/Shanghai'`), /cannot be read/],
        ];
        for (const [statement, message] of refused) {
          await expect(attempt(statement), statement).rejects.toThrow(message);
        }
        expect(await readdir(own)).toEqual(['mine.csv', 'neighbour.csv']);
        // The control: without the lock, the very same statement reads the foreign file.
        const open = await DuckDBInstance.create(':memory:');
        const connection = await open.connect();
        const foreign = sql`SELECT * FROM read_csv(${at('foreign.csv')})`;
        expect((await connection.runAndReadAll(foreign)).currentRowCount).toBe(1);
        connection.closeSync();
        open.closeSync();
      } finally {
        engine.close();
      }
    });
  });

  it('ends a statement that takes too long, and one whose run is cancelled', async () => {
    await inTemporaryDirectory(async (directory) => {
      const access = { files: [], spillDirectory: directory };
      const endless = hostile(
        'SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b WHERE a.range % 7 = b.range % 11',
      );
      const engine = await openDuckDbEngine(access, { ...limits, statementMs: 150 });
      const run = (signal?: AbortSignal) =>
        engine.session(signal, (session) => session.read(endless, () => undefined));
      await expect(run()).rejects.toMatchObject({ code: 'run-timed-out' });
      await expect(run(AbortSignal.timeout(50))).rejects.toMatchObject({ code: 'run-cancelled' });
      await expect(run(AbortSignal.abort())).rejects.toMatchObject({ code: 'run-cancelled' });
      engine.close();
    });
  });
});

describe('engine limits', () => {
  it('spills into its directory what exceeds its memory, and removes it', async () => {
    await inTemporaryDirectory(async (directory) => {
      const engine = await openDuckDbEngine(
        { files: [], spillDirectory: directory },
        { ...limits, memoryMiB: 48 },
      );
      let [rows, spilled] = [0, 0];
      const statement = sql`SELECT hash(range) AS h FROM range(6000000) ORDER BY h`;
      for await (const chunk of engine.stream(undefined, statement)) {
        if (rows === 0) spilled = (await readdir(directory)).length;
        rows += chunk.rowCount;
      }
      expect(rows).toBe(6_000_000);
      expect(spilled).toBeGreaterThan(0);
      engine.close();
      expect(await readdir(directory)).toEqual([]);
    });
  });

  it('refuses what exceeds memory and spill space together', async () => {
    await inTemporaryDirectory(async (directory) => {
      const engine = await openDuckDbEngine(
        { files: [], spillDirectory: directory },
        { ...limits, memoryMiB: 48, spillMiB: 1 },
      );
      const statement = sql`SELECT hash(range) AS h FROM range(6000000) ORDER BY h`;
      const run = engine.session(undefined, (session) => session.read(statement, () => undefined));
      await expect(run).rejects.toThrow(/memory or spill space/);
      engine.close();
    });
  });
});

describe('rendering', () => {
  it('gives the fixed words no quote or semicolon to carry', () => {
    expect(() => sql`SELECT 'a'`).toThrow(/fixed SQL word/);
    expect(() => sql`SELECT 1; SELECT 2`).toThrow(/fixed SQL word/);
    expect(() => literal('a\0b')).toThrow(/cannot carry/);
    expect(() => identifier('\ud800')).toThrow(/cannot carry/);
    expect(list([identifier('a"b'), literal("it's")])).toBe(`"a""b", 'it''s'`);
  });

  it('keeps the shape of a statement whatever string stands in it', async () => {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const parsed = async (statement: string): Promise<string> => {
      const reader = await connection.runAndReadAll(
        'SELECT json_serialize_sql(CAST(? AS VARCHAR))',
        [statement],
      );
      return String(reader.getRows()[0]?.[0]);
    };
    const shape = (column: string, text: string): string =>
      sql`SELECT ${identifier(column)} FROM read_csv([${literal(text)}]) WHERE ${identifier(column)} IN (${literal(text)})`;
    const strings = (serialized: string): string[] => {
      const found: string[] = [];
      JSON.parse(serialized, (key, value) => {
        if (typeof value === 'string' && (key === '0' || key === 'value')) found.push(value);
        return key === 'query_location' ? 0 : value;
      });
      return found;
    };
    const tree = (serialized: string, column: string, text: string): string =>
      JSON.stringify(JSON.parse(serialized), (key, value) => {
        if (key === 'query_location') return 0;
        return value === column ? 'COLUMN' : value === text ? 'TEXT' : value;
      });
    const plain = tree(await parsed(shape('ccc', 'ttt')), 'ccc', 'ttt');
    expect(plain).toContain('COLUMN');
    const hostileText = fc
      .oneof(
        fc.string({ unit: 'grapheme', minLength: 1 }),
        fc
          .array(
            fc.constantFrom(
              "'",
              '"',
              ';',
              '--',
              '/*',
              '*/',
              '\\',
              '$$',
              '\n',
              ')',
              'DROP TABLE t',
              'ü',
            ),
            { minLength: 1 },
          )
          .map((parts) => parts.join('')),
      )
      .filter((text) => !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(hostileText, hostileText, async (column, text) => {
        // The tree's own words could equal a short string and would be masked too.
        const [c, t] = [`c:${column}`, `t:${text}`];
        const serialized = await parsed(shape(c, t));
        expect(strings(serialized)).toEqual([c, t, c, t]);
        expect(tree(serialized, c, t)).toBe(plain);
      }),
      { numRuns: 200 },
    );
    connection.closeSync();
    instance.closeSync();
  });
});

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
