/** A ledger written by an earlier version, opened by this one: what was still to be told is told. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import { readUntold, WEBHOOK_MIGRATIONS } from '../../src/ledger/webhook-rows.ts';
import type { MigrationList } from '../../src/store/migrations.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { dropSchema, findServer } from '../support/test-stores.ts';

const NOW: readonly MigrationList[] = [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS, WEBHOOK_MIGRATIONS];
const BEFORE = NOW.map((list) => ({ ...list, migrations: list.migrations.slice(0, 1) }));
const RECORDS = [1n, 2n, 3n];
const found = await findServer();
afterAll(() => found?.server?.stop());

interface Kind {
  readonly name: string;
  open(migrations: readonly MigrationList[]): Promise<Store>;
  remove(): Promise<void> | void;
}

function sqlite(): Kind {
  const directory = mkdtempSync(join(tmpdir(), 'weir-upgrade-'));
  return {
    name: 'SQLite',
    open: (migrations) => openSqliteStore({ file: join(directory, 'store.db'), migrations }),
    remove: () => rmSync(directory, { recursive: true }),
  };
}

function postgres(url: string): Kind {
  const schema = `weir_test_${randomBytes(6).toString('hex')}`;
  return {
    name: 'PostgreSQL',
    open: (migrations) => openPostgresStore({ url, schema, migrations }),
    remove: () => dropSchema(url, schema),
  };
}

/** Three records as the earlier version left them, those of `untold` in its outbox. */
async function leave(store: Store, untold: readonly bigint[]): Promise<void> {
  await store.execute(
    RECORDS.map((seq) => ({
      sql: `INSERT INTO ledger_record (seq, id, at_ms, analyst, outcome, bytes, compute_milli_units,
        micro_rho, padded_items, row_units, runs, charge_micros, currency, document)
        VALUES (?, ?, 0, 'a', 'denied', 0, 0, 0, 0, 0, 0, 0, 'CNY', '{}')`,
      params: [seq, `record-${seq}`],
    })),
  );
  await store.execute(
    untold.map((seq) => ({
      sql: 'INSERT INTO ledger_outbox (seq, created_at_ms) VALUES (?, 0)',
      params: [seq],
    })),
  );
}

const kinds = [sqlite, ...(found === undefined ? [] : [() => postgres(found.url)])];

describe.each(kinds)('a ledger of an earlier version (%#)', (make) => {
  it.each([
    { untold: [2n, 3n], told: 1n, next: 3n },
    { untold: RECORDS, told: 0n, next: 3n },
    { untold: [], told: 3n, next: undefined },
  ])('goes on behind record $told', async ({ untold, told, next }) => {
    const kind = make();
    try {
      const before = await kind.open(BEFORE);
      await leave(before, untold);
      await before.close();
      const after = await kind.open(NOW);
      expect(await after.query('SELECT seq FROM ledger_told')).toEqual([{ seq: told }]);
      expect(await readUntold(after, 10)).toBe(next);
      await after.close();
    } finally {
      await kind.remove();
    }
  });
});
