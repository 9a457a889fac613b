import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnonymityExaminer } from '../../src/catalog/anonymity.ts';
import type { AggregateQuery, DataSource } from '../../src/catalog/data-source.ts';
import { OTHER_LABEL } from '../../src/contracts/plan.ts';
import { DatasetRegistrationSchema, type DatasetRegistration } from '../../src/catalog/dataset.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { openPostgresSource } from '../../src/domain/sources/postgres-source.ts';
import { makePostgresTable, type PostgresTable } from '../support/postgres-table.ts';
import { LABELS, query, rows } from '../support/source-arbitraries.ts';
import {
  inTemporaryDirectory,
  naiveAggregate,
  plainAnswer,
  registrationOf,
  writeTable,
  type Row,
} from '../support/source-tables.ts';
import { findServer } from '../support/test-stores.ts';

const found = await findServer();
const empty: Row = { at: null, kind: null, whole: null, exact: null, real: null };
/** The column `kind` names persons, so it is nothing to group by. */
const byUnit = {
  privacyUnit: 'kind',
  columns: registrationOf('csv', LABELS).columns.map((column) =>
    column.name === 'kind' ? { ...column, usage: [] } : column,
  ),
};
const nothing: AggregateQuery = { groups: [], chosen: [], sums: [] };

async function firstOf(items: AsyncIterable<unknown>): Promise<unknown> {
  for await (const item of items) return item;
  return undefined;
}

describe.skipIf(found === undefined)('PostgreSQL source', () => {
  let directory: string;
  let table: PostgresTable;
  let source: DataSource & AnonymityExaminer;

  const open = (registration: DatasetRegistration, statementMs = 60_000) =>
    openPostgresSource({
      registration,
      directory,
      spillDirectory: join(directory, 'spill'),
      limits: { statementMs },
    });
  const changed = (changes: object): DatasetRegistration =>
    DatasetRegistrationSchema.parse({ ...table.registration, ...changes });
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'accepted',
      (error: { code?: unknown }) => String(error.code),
    );

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weir-postgres-'));
    table = await makePostgresTable(found?.url ?? '', directory, LABELS);
    source = await open(table.registration);
  });
  afterAll(async () => {
    await source?.close();
    await table?.remove();
    await rm(directory, { recursive: true, force: true });
    await found?.server?.stop();
  });

  it('equals the naive reference over random tables', async () => {
    const storable = rows.map((all) =>
      all.map((row) => ({ ...row, kind: row.kind?.replaceAll('\0', '') ?? null })),
    );
    await fc.assert(
      fc.asyncProperty(storable, query, async (all, asked) => {
        await table.fill(all);
        await source.describe();
        expect(plainAnswer(await source.aggregate(asked))).toEqual(naiveAggregate(all, asked));
      }),
      { numRuns: 60 },
    );
  });

  it('clamps what is beyond every number type, and counts NaN in no sum', async () => {
    await table.client.query(
      `ALTER TABLE "${table.schema.replaceAll('"', '""')}"."even't; --" ALTER exact TYPE numeric`,
    );
    const huge = '9'.repeat(60);
    await table.fill([
      { ...empty, exact: huge, real: 1e300 },
      { ...empty, exact: `-${huge}`, real: -1e300 },
      { ...empty, exact: 'NaN', real: Number.NaN },
      { ...empty, exact: 'Infinity', real: Number.POSITIVE_INFINITY },
      { ...empty, exact: '-Infinity', real: Number.NEGATIVE_INFINITY },
      { ...empty, exact: '1e-100', real: 5e-324 },
    ]);
    await source.describe();
    const bounds = { minimum: '-500', maximum: '700', scale: 2, squares: true };
    const asked = ['exact', 'real'].map((column) => ({ column, ...bounds }));
    const { columns } = plainAnswer(await source.aggregate({ ...nothing, sums: asked }));
    for (const { nonNull, sums, squares } of columns) {
      expect([nonNull, sums, squares]).toEqual([[5n], [400n], [2n * (490_000n + 250_000n)]]);
    }
  });

  it('streams key columns as text in chunks, as the files’ source does', async () => {
    const many = Array.from({ length: 2500 }, (_, index) => ({
      ...empty,
      at: index % 7 === 0 ? null : '2001-06-30 23:59:59',
      kind: index % 3 === 0 ? null : `k${index} '"\\`,
      whole: String(index - 20),
    }));
    await table.fill(many);
    await source.describe();
    const names = ['kind', 'at', 'whole', 'hour', 'month', 'weekday', 'day', 'size'];
    const read = async (from: DataSource): Promise<{ sizes: number[]; all: unknown[] }> => {
      const sizes: number[] = [];
      const all: unknown[] = [];
      for await (const chunk of from.streamColumns(names, 1024)) {
        sizes.push(chunk.length);
        all.push(...chunk);
      }
      return { sizes, all };
    };
    const own = await read(source);
    expect(own.sizes).toEqual([1024, 1024, 452]);
    await inTemporaryDirectory(async (files) => {
      await writeTable(files, 'parquet', many);
      const other = await openDuckDbSource({
        registration: registrationOf('parquet', LABELS),
        directory: files,
        spillDirectory: join(files, 'spill'),
        limits: DEFAULT_ENGINE_LIMITS,
      });
      // A table has no order: the same rows, however they come.
      const sorted = (all: readonly unknown[]): string[] =>
        all.map((row) => JSON.stringify(row)).toSorted((a, b) => (a < b ? -1 : 1));
      expect(sorted(own.all)).toEqual(sorted((await read(other)).all));
      const question = { quasiIdentifiers: ['hour', 'size'], sensitive: ['kind'] };
      expect(await source.examine(question)).toEqual(await other.examine(question));
      const units = { ...question, sensitive: [], privacyUnit: 'kind' };
      expect(await source.examine(units)).toEqual(await other.examine(units));
      await other.close();
    });
  });

  it('changes its version with the content alone, and refuses what changed since', async () => {
    await table.fill([empty, { ...empty, kind: 'a' }]);
    const first = await source.describe();
    expect(first.rowCount).toBe(2);
    await table.fill([{ ...empty, kind: 'a' }, empty]);
    // The same rows in another order, written anew: the same version.
    expect((await source.describe()).versionMaterial).toEqual(first.versionMaterial);
    await source.aggregate(nothing);
    await table.fill([{ ...empty, kind: 'b' }, empty]);
    expect(await codeOf(source.aggregate(nothing))).toBe('dataset-drifted');
    expect(await codeOf(firstOf(source.streamColumns(['kind'], 10)))).toBe('dataset-drifted');
    const asked = { quasiIdentifiers: ['kind'], sensitive: [] };
    expect(await codeOf(source.examine(asked))).toBe('dataset-drifted');
    expect((await source.describe()).versionMaterial).not.toEqual(first.versionMaterial);
    expect((await source.aggregate(nothing)).cells).toBe(1);
  });

  it('leaves out rows without consent', async () => {
    await table.fill(['yes', 'no', null, 'yes', 'YES'].map((kind) => ({ ...empty, kind })));
    const consenting = await open(changed({ consent: { column: 'kind', granted: ['yes'] } }));
    expect(plainAnswer(await consenting.aggregate(nothing)).counts).toEqual([2n]);
    const consent = { column: 'kind', granted: ['yes'], purposes: { research: ['YES', 'no'] } };
    const perPurpose = await open(changed({ consent }));
    const countFor = async (purpose?: string): Promise<unknown> =>
      plainAnswer(await perPurpose.aggregate({ ...nothing, purpose })).counts[0];
    expect([await countFor('research'), await countFor('other'), await countFor()]).toEqual([
      4n,
      0n,
      0n,
    ]);
    await source.describe();
    expect(plainAnswer(await source.aggregate(nothing)).counts).toEqual([5n]);
  });

  it('bounds what a unit contributes, and bounds nothing where it need not', async () => {
    const all = Array.from({ length: 60 }, (_, index) => ({
      ...empty,
      at: `2001-06-30 0${index % 5}:00:00`,
      kind: index % 6 === 0 ? null : `k${index % 4}`,
      whole: String(index),
    }));
    await table.fill(all);
    const units = await open(changed(byUnit));
    const asked = (cellsMax: number, rowsPerCellMax: number): AggregateQuery => ({
      groups: [{ column: 'hour', labels: ['00', '01', '02', '03'] }],
      chosen: [undefined],
      sums: [{ column: 'whole', minimum: '0', maximum: '100', scale: 0, squares: true }],
      perUnit: { cellsMax, rowsPerCellMax },
    });
    const plain = plainAnswer(await units.aggregate({ ...asked(1, 1), perUnit: undefined }));
    expect(plainAnswer(await units.aggregate(asked(100, 100)))).toEqual(plain);
    const bounded = plainAnswer(await units.aggregate(asked(2, 1)));
    expect(bounded.counts.reduce((sum, count) => sum + count, 0n)).toBe(5n * 2n);
    // Fixed by the data: the same question counts the same rows.
    expect(plainAnswer(await units.aggregate(asked(2, 1)))).toEqual(bounded);
    expect(await codeOf(source.describe().then(() => source.aggregate(asked(1, 1))))).toBe(
      'query-not-supported',
    );
  });

  it('streams rows of several columns in one order for one version, however the table keeps them', async () => {
    const all = Array.from({ length: 40 }, (_, index) => ({
      ...empty,
      kind: `k${index % 10}`,
      whole: String(index),
    }));
    const streamed = async (): Promise<unknown[]> => {
      const rows: unknown[] = [];
      for await (const chunk of source.streamColumns(['kind', 'whole'], 16)) rows.push(...chunk);
      return rows;
    };
    await table.fill(all);
    const { versionMaterial } = await source.describe();
    const first = await streamed();
    expect(first).toHaveLength(40);
    await table.fill(all.toReversed());
    // The same version, so the same question, the same noise: and the same first row of each key.
    expect((await source.describe()).versionMaterial).toEqual(versionMaterial);
    expect(await streamed()).toEqual(first);
    // Nobody's smallest value is favoured.
    const firsts = new Map<unknown, number>();
    for (const [kind, whole] of first as string[][])
      if (!firsts.has(kind)) firsts.set(kind, Number(whole));
    expect([...firsts.values()].some((whole) => whole >= 10)).toBe(true);
  });

  it('counts a unit as one with a value wherever one of its rows has one', async () => {
    const all = Array.from({ length: 40 }, (_, index) => [
      { ...empty, kind: `k${index}`, whole: String(index) },
      { ...empty, kind: `k${index}` },
    ]).flat();
    await table.fill(all);
    const units = await open(changed(byUnit));
    const sums = [{ column: 'whole', minimum: '0', maximum: '100', scale: 0, squares: false }];
    const perUnit = { cellsMax: 1, rowsPerCellMax: 1 };
    const { counts, columns } = plainAnswer(await units.aggregate({ ...nothing, sums, perUnit }));
    expect([counts, columns[0]?.nonNull]).toEqual([[40n], [40n]]);
  });

  it('tells who is in which cell as the files’ source does, byte by byte', async () => {
    const all = Array.from({ length: 300 }, (_, index) => ({
      ...empty,
      at: `2001-06-30 0${index % 5}:00:00`,
      kind: index % 6 === 0 ? null : index % 7 === 0 ? '' : `k${index % 41} 北京`,
      whole: index % 11 === 0 ? null : String(index - 100),
      exact: '12.345000',
    }));
    const sums = ['whole', 'exact'].map((column) => ({
      column,
      minimum: '-50',
      maximum: '150',
      scale: 1,
      squares: true,
    }));
    const hours = { column: 'hour', labels: ['00', '01', '02', '03'] };
    const asked = { groups: [hours], chosen: [['00', '01', '02', OTHER_LABEL]], sums };
    const itemsOf = async (from: DataSource): Promise<string[]> => {
      const items: string[] = [];
      let before = 0;
      await from.unitItems?.(asked, ({ cells, items: kinds }) => {
        for (const [row, cell] of cells.entries()) {
          expect(cell).toBeGreaterThanOrEqual(before);
          before = cell;
          const bytes = kinds.map((kind) => Buffer.from(kind.slice(16 * row, 16 * row + 16)));
          items.push([cell, ...bytes.map((one) => one.toString('hex'))].join(' '));
        }
      });
      return items.toSorted((a, b) => (a < b ? -1 : 1));
    };
    await table.fill(all);
    const own = await open(changed(byUnit));
    await inTemporaryDirectory(async (files) => {
      await writeTable(files, 'parquet', all);
      const other = await openDuckDbSource({
        registration: DatasetRegistrationSchema.parse({
          ...registrationOf('parquet', LABELS),
          ...byUnit,
        }),
        directory: files,
        spillDirectory: join(files, 'spill'),
        limits: DEFAULT_ENGINE_LIMITS,
      });
      const items = await itemsOf(own);
      expect(items.length).toBeGreaterThan(50);
      expect(items).toEqual(await itemsOf(other));
      const largest = await own.concentrations?.(asked, 2);
      expect(largest?.[0]?.totals.some((total) => total > 0n)).toBe(true);
      expect(largest).toEqual(await other.concentrations?.(asked, 2));
      await other.close();
    });
    expect(await codeOf(source.describe().then(() => source.unitItems?.(asked, () => {})))).toBe(
      'query-not-supported',
    );
  });

  it('ends a statement that is cancelled or takes too long', async () => {
    await table.fill(Array.from({ length: 3000 }, () => ({ ...empty, kind: 'a' })));
    await source.describe();
    const stop = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _ of source.streamColumns(['kind'], 10, stop.signal)) stop.abort();
    };
    expect(await codeOf(read())).toBe('run-cancelled');
    expect(await codeOf(source.aggregate(nothing, AbortSignal.abort()))).toBe('run-cancelled');
    const name = `"${table.schema.replaceAll('"', '""')}"`;
    await table.client.query(
      `CREATE OR REPLACE VIEW ${name}.slow AS SELECT e.* FROM ${name}."even't; --" e, pg_sleep(5)`,
    );
    const slow = changed({ source: { ...table.registration.source, table: 'slow' } });
    expect(await codeOf(open(slow, 200))).toBe('run-timed-out');
  });

  it('refuses wrong tables, columns, types and credentials in one sentence', async () => {
    const { source: place, columns } = table.registration;
    const elsewhere = changed({ source: { ...place, table: 'nothing' } });
    expect(await codeOf(open(elsewhere))).toBe('source-missing');
    const [first, ...rest] = columns;
    const renamed = changed({ columns: [{ ...first, sourceName: 'nothing' }, ...rest] });
    expect(await codeOf(open(renamed))).toBe('source-unreadable');
    const mistyped = changed({ columns: [{ ...first, sourceName: 'whole' }, ...rest] });
    await expect(open(mistyped)).rejects.toMatchObject({
      code: 'source-unreadable',
      message: expect.stringMatching(/stored as bigint and cannot serve as timestamp/) as string,
    });
    const withFile = async (content: string, mode = 0o600): Promise<string> => {
      const file = join(directory, 'other.json');
      await writeFile(file, content, { mode });
      await chmod(file, mode);
      return codeOf(open(changed({ source: { ...place, connectionFile: 'other.json' } })));
    };
    const wrong = JSON.stringify({ host: '127.0.0.1', database: 'no such', user: 'postgres' });
    expect(await withFile(wrong)).toBe('source-missing');
    expect(await withFile(wrong, 0o644)).toBe('config-invalid');
    expect(await withFile('{')).toBe('config-invalid');
    expect(await withFile('{"host": 5}')).toBe('config-invalid');
    const remote = JSON.stringify({ host: 'db.example', database: 'd', user: 'u' });
    expect(await withFile(remote)).toBe('tls-required');
    const closed = JSON.stringify({ host: '127.0.0.1', port: 1, database: 'd', user: 'u' });
    expect(await withFile(closed)).toBe('source-missing');
    const absent = changed({ source: { ...place, connectionFile: 'absent.json' } });
    expect(await codeOf(open(absent))).toBe('source-missing');
  });

  it('finds no function but PostgreSQL’s own, whatever the account’s search path says', async () => {
    const name = `"${table.schema.replaceAll('"', '""')}"`;
    const role = `weir_test_${randomBytes(6).toString('hex')}`;
    await table.client.query(
      `CREATE FUNCTION ${name}.md5(text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''::text';
       CREATE ROLE ${role} LOGIN; ALTER ROLE ${role} SET search_path = ${name}, pg_catalog;
       GRANT USAGE ON SCHEMA ${name} TO ${role}; GRANT SELECT ON ${name}."even't; --" TO ${role}`,
    );
    try {
      const connection = {
        ...(JSON.parse(await readFile(join(directory, 'connection.json'), 'utf8')) as object),
        user: role,
      };
      const file = join(directory, 'role.json');
      await writeFile(file, JSON.stringify(connection), { mode: 0o600 });
      const control = new Client(connection);
      await control.connect();
      expect((await control.query(`SELECT md5('x')`)).rows).toEqual([{ md5: 'evil' }]);
      await control.end();
      const many = Array.from({ length: 40 }, (_, whole) => ({
        ...empty,
        kind: 'a',
        whole: String(whole),
      }));
      await table.fill(many);
      const place = { ...table.registration.source, connectionFile: 'role.json' };
      const sums = [{ column: 'whole', minimum: '0', maximum: '99', scale: 0, squares: false }];
      const asked = { ...nothing, sums, perUnit: { cellsMax: 1, rowsPerCellMax: 1 } };
      const answer = async (from: object): Promise<unknown> => {
        const opened = await open(changed({ ...byUnit, ...from }));
        return plainAnswer(await opened.aggregate(asked));
      };
      // A constant in md5's place would order a unit's rows by their values: the smallest first.
      const own = await answer({});
      expect(own).not.toMatchObject({ columns: [{ sums: [0n] }] });
      expect(await answer({ source: place })).toEqual(own);
    } finally {
      await table.client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});
