/** What every `Store` promises, asked of both. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GATEWAY_MIGRATIONS } from '../../src/gateway/gateway-state.ts';
import type { MigrationList } from '../../src/store/migrations.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { StoreConflict, type Store } from '../../src/store/store.ts';
import { CapacityError, SetupError } from '../../src/errors.ts';
import {
  dropSchema,
  findServer,
  postgresKind,
  sqliteKind,
  type TestStore,
} from '../support/test-stores.ts';

const NOTES: MigrationList = {
  area: 'notes',
  migrations: [
    { number: 1, sql: 'CREATE TABLE note (id BIGINT PRIMARY KEY, body TEXT, raw BYTEA)' },
  ],
};
const INSERT = 'INSERT INTO note (id, body) VALUES (?, ?)';
const postgres = await postgresKind();
afterAll(() => postgres.stop());

describe.each([sqliteKind, postgres])('store on $name', (kind) => {
  if (kind.missing !== undefined) {
    it.skip(`is not tested: ${kind.missing}`);
    return;
  }
  let opened: TestStore;
  let store: Store;
  beforeEach(async () => {
    opened = await kind.open([NOTES]);
    store = opened.store;
  });
  afterEach(() => opened.remove());

  it('reads back 64-bit integers, text, bytes and null exactly', async () => {
    const big = 2n ** 63n - 1n;
    const raw = new Uint8Array([0, 1, 255]);
    await store.execute([
      { sql: 'INSERT INTO note VALUES (?, ?, ?)', params: [big, "ü?'", raw] },
      { sql: 'INSERT INTO note VALUES (?, ?, ?)', params: [-3, 5, null] },
    ]);
    expect(await store.query('SELECT * FROM note ORDER BY id')).toEqual([
      { id: -3n, body: '5', raw: null },
      { id: big, body: "ü?'", raw },
    ]);
    expect(
      await store.query(`SELECT count(*) AS n, sum(id) AS s, '?' AS q FROM note WHERE id < ?`, [0]),
    ).toEqual([{ n: 1n, s: -3n, q: '?' }]);
  });

  it('writes all of a batch or nothing, and names the statement that did not hold', async () => {
    const first = { sql: INSERT, params: [1, 'a'] };
    const none = { sql: 'UPDATE note SET body = ? WHERE id = 9', params: ['b'], expectChanges: 1 };
    await expect(store.execute([first, none])).rejects.toThrow(new StoreConflict(1));
    await expect(store.execute([first, first])).rejects.toThrow(new StoreConflict(1));
    await expect(store.execute([first, { sql: 'nonsense', params: [] }])).rejects.toThrow(
      /statement failed/,
    );
    expect(await store.query('SELECT id FROM note')).toEqual([]);
    await store.execute([first, { ...none, sql: 'UPDATE note SET body = ? WHERE id = 1' }]);
    expect(await store.query('SELECT body FROM note')).toEqual([{ body: 'b' }]);
  });

  it('lets exactly one of many writers win a compare-and-swap, and the others fail alone', async () => {
    await store.execute([{ sql: INSERT, params: [1, '0'] }]);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, at) =>
        store.execute([
          { sql: INSERT, params: [100 + at, ''] },
          {
            sql: `UPDATE note SET body = 'taken' WHERE id = 1 AND body = '0'`,
            params: [],
            expectChanges: 1,
          },
        ]),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await store.query('SELECT count(*) AS n FROM note')).toEqual([{ n: 2n }]);
  });

  it('answers nothing after it was closed', async () => {
    await store.close();
    await expect(store.query('SELECT 1')).rejects.toBeInstanceOf(CapacityError);
    await expect(store.execute([])).rejects.toBeInstanceOf(CapacityError);
  });
});

describe.skipIf(postgres.missing !== undefined)('store on PostgreSQL', () => {
  it('migrates once however many gateways start, and refuses a newer or altered schema', async () => {
    const found = await findServer();
    if (found === undefined) throw new Error('the server is gone');
    const options = { url: found.url, schema: 'weir_test_migrations' };
    try {
      const stores = await Promise.all(
        [1, 2, 3].map(() => openPostgresStore({ ...options, migrations: [NOTES] })),
      );
      await Promise.all(stores.map((each) => each.close()));
      const altered: MigrationList = {
        area: 'notes',
        migrations: [{ number: 1, sql: 'SELECT 1' }],
      };
      for (const migrations of [[], [altered]]) {
        await expect(openPostgresStore({ ...options, migrations })).rejects.toBeInstanceOf(
          SetupError,
        );
      }
    } finally {
      await dropSchema(found.url, options.schema);
      await found.server?.stop();
    }
  });

  it('holds every table of a gateway', async () => {
    const found = await findServer();
    if (found === undefined) throw new Error('the server is gone');
    const options = { url: found.url, schema: 'weir_test_gateway' };
    try {
      const store = await openPostgresStore({ ...options, migrations: GATEWAY_MIGRATIONS });
      const rows = await store.query('SELECT area FROM schema_migration GROUP BY area');
      expect(rows).toHaveLength(GATEWAY_MIGRATIONS.length);
      await store.close();
    } finally {
      await dropSchema(found.url, options.schema);
      await found.server?.stop();
    }
  });

  it('says that the server cannot be reached, without its password', async () => {
    const url = 'postgres://weir:hunter2@127.0.0.1:1/none';
    const opening = openPostgresStore({ url, schema: 'weir', migrations: [] });
    await expect(opening).rejects.toThrow(/PostgreSQL cannot be used now/);
    await expect(opening).rejects.not.toThrow(/hunter2/);
  });
});
