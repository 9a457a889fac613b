import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AbortError } from '../../src/errors.ts';
import { openDuckDbEngine } from '../../src/domain/sources/duckdb-engine.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { identifier, list, literal, sql, type Sql } from '../../src/domain/sources/sql-text.ts';
import { inTemporaryDirectory } from '../support/source-tables.ts';

const limits = { ...DEFAULT_ENGINE_LIMITS, threads: 1, memoryMiB: 256 };

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
      const left = new AbortError('domain-left', 'A domain left the run.');
      await expect(run(AbortSignal.abort(left))).rejects.toBe(left);
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
