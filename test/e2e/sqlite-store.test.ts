/** The embedded store as production uses it: a real file, a real thread. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CapacityError, SetupError } from '../../src/errors.ts';
import type { MigrationList } from '../../src/store/migrations.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { StoreConflict } from '../../src/store/store.ts';

const notes: MigrationList = {
  area: 'notes',
  migrations: [
    { number: 1, sql: 'CREATE TABLE note (id BIGINT PRIMARY KEY, body TEXT, raw BYTEA)' },
  ],
};
const INSERT = 'INSERT INTO note (id, body) VALUES (?, ?)';

let directory: string;
let file: string;
let store: SqliteStore;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-store-'));
  file = join(directory, 'store.db');
  store = await openSqliteStore({ file, migrations: [notes] });
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

describe('embedded store', () => {
  it('keeps its files to their owner', async () => {
    await store.execute([{ sql: INSERT, params: [1, 'a'] }]);
    for (const suffix of ['', '-wal']) {
      expect(statSync(`${file}${suffix}`).mode & 0o777).toBe(0o600);
    }
  });

  it('reads back 64-bit integers, text, bytes and null exactly', async () => {
    const big = 2n ** 63n - 1n;
    const raw = new Uint8Array([0, 1, 255]);
    await store.execute([
      { sql: 'INSERT INTO note VALUES (?, ?, ?)', params: [big, 'ü', raw] },
      { sql: 'INSERT INTO note VALUES (?, ?, ?)', params: [-3, 5, null] },
    ]);
    expect(await store.query('SELECT * FROM note ORDER BY id')).toEqual([
      { id: -3n, body: '5', raw: null },
      { id: big, body: 'ü', raw },
    ]);
  });

  it('writes all of a batch or nothing', async () => {
    const first = { sql: INSERT, params: [1, 'a'] };
    await expect(
      store.execute([
        first,
        { sql: 'UPDATE note SET id = 2 WHERE id = 9', params: [], expectChanges: 1 },
      ]),
    ).rejects.toThrow(new StoreConflict(1));
    await expect(store.execute([first, first])).rejects.toThrow(new StoreConflict(1));
    await expect(store.execute([first, { sql: 'nonsense', params: [] }])).rejects.toThrow(
      /nonsense/,
    );
    expect(await store.query('SELECT id FROM note')).toEqual([]);
  });

  it('lets batches of one group fail alone', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, index) =>
        store.execute([{ sql: INSERT, params: [index % 40, String(index)] }]),
      ),
    );
    expect(outcomes.map((each) => each.status === 'fulfilled')).toEqual(
      Array.from({ length: 60 }, (_, index) => index < 40),
    );
    expect(await store.query('SELECT count(*) AS n FROM note')).toEqual([{ n: 40n }]);
  });

  it('refuses writes through query', async () => {
    await expect(store.query(`${INSERT} RETURNING id`, [1, 'a'])).rejects.toThrow(/readonly/);
    expect(await store.query('SELECT * FROM note')).toEqual([]);
  });

  it('refuses more than its queue holds, and recovers', async () => {
    const small = await openSqliteStore({ file, migrations: [notes], queueMax: 4 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, (_, index) =>
        small.execute([{ sql: INSERT, params: [index, ''] }]),
      ),
    );
    const refused = outcomes.filter((each) => each.status === 'rejected');
    expect(refused.map((each) => (each.reason as CapacityError).code)).toEqual([
      'queue-full',
      'queue-full',
    ]);
    await small.execute([{ sql: INSERT, params: [9, ''] }]);
    await small.close();
    await expect(small.query('SELECT 1')).rejects.toBeInstanceOf(CapacityError);
  });

  it('answers everything asked before close, and has it on disk', async () => {
    const asked = Array.from({ length: 20 }, (_, index) =>
      store.execute([{ sql: INSERT, params: [index, ''] }]),
    );
    await store.close();
    await Promise.all(asked);
    const reader = new DatabaseSync(file, { readOnly: true });
    expect(reader.prepare('SELECT count(*) AS n FROM note').get()).toEqual({ n: 20 });
    reader.close();
  });

  it('says that the disk is full, keeps what it acknowledged, and goes on when there is room', async () => {
    const pages = (most: number) =>
      store.execute([{ sql: `PRAGMA max_page_count = ${most}`, params: [] }]);
    await pages(60);
    let acknowledged = 0;
    const full = await (async (): Promise<unknown> => {
      for (let id = 1; id <= 200; id += 1) {
        try {
          await store.execute([{ sql: INSERT, params: [id, 'x'.repeat(8_000)] }]);
          acknowledged += 1;
        } catch (error) {
          return error;
        }
      }
      return undefined;
    })();
    expect(full).toMatchObject({ code: 'disk-full' });
    expect(acknowledged).toBeGreaterThan(5);
    expect(await store.query('SELECT count(*) AS n FROM note')).toEqual([
      { n: BigInt(acknowledged) },
    ]);
    await pages(10_000);
    await store.execute([{ sql: INSERT, params: [999, 'after'] }]);
  });

  it('copies itself consistently while it serves', async () => {
    await store.execute([{ sql: INSERT, params: [1, 'kept'] }]);
    const copy = join(directory, 'copy.db');
    await store.copyTo(copy);
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    const second = await openSqliteStore({ file: copy, migrations: [notes] });
    expect(await second.query('SELECT body FROM note')).toEqual([{ body: 'kept' }]);
    await second.close();
  });

  it('refuses a store of a newer or altered schema', async () => {
    const altered: MigrationList = {
      area: 'notes',
      migrations: [{ number: 1, sql: 'CREATE TABLE note (id BIGINT)' }],
    };
    for (const migrations of [[], [altered]]) {
      await expect(openSqliteStore({ file, migrations })).rejects.toBeInstanceOf(SetupError);
    }
  });

  it('says what is wrong where the file is no store', async () => {
    const folder = join(directory, 'folder.db');
    await expect(
      openSqliteStore({ file: join(folder, 'missing', 'x.db'), migrations: [] }),
    ).rejects.toThrow(/cannot be opened/);
  });
});
