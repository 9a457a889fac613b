/**
 * Both stores, opened alike, for the suites that hold them to one behaviour. PostgreSQL is the one in
 * `WEIR_TEST_POSTGRES`, else what answers on loopback 5432, else a throw-away server.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { AuditSink } from '../../src/audit/audit-sink.ts';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { postgresAudit } from '../../src/audit/postgres-audit.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../../src/audit/sqlite-audit.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { postgresLedger } from '../../src/ledger/postgres-ledger.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { MigrationList } from '../../src/store/migrations.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { postgresBinaries, startPostgres, type PostgresServer } from './postgres-server.ts';

export interface TestStore {
  readonly store: Store;
  readonly ledger: LedgerStore;
  readonly audit: AuditSink;
  /** Closes the store and removes everything it wrote. */
  remove(): Promise<void>;
}

export interface StoreKind {
  readonly name: string;
  /** Why this kind cannot be tested here. */
  readonly missing: string | undefined;
  open(extra?: readonly MigrationList[]): Promise<TestStore>;
}

const ALL = [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS] as const;

export const sqliteKind: StoreKind = {
  name: 'SQLite',
  missing: undefined,
  open: async (extra = []) => {
    const directory = mkdtempSync(join(tmpdir(), 'weir-conform-'));
    const store = await openSqliteStore({
      file: join(directory, 'store.db'),
      migrations: [...ALL, ...extra],
      programs: { ...LEDGER_PROGRAMS, ...AUDIT_PROGRAMS },
    });
    return {
      store,
      ledger: sqliteLedger(store),
      audit: sqliteAudit(store),
      remove: async () => {
        await store.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
};

const LOOPBACK = 'postgres://postgres@127.0.0.1:5432/test';

/** Finds the server once a test file; `stop` ends it if it was started for this. */
export async function postgresKind(): Promise<StoreKind & { stop(): Promise<void> }> {
  const found = await findServer();
  const missing = 'no PostgreSQL answers and none is installed: install the package postgresql';
  if (found === undefined && process.env['CI'] === 'true') throw new Error(missing);
  return {
    name: 'PostgreSQL',
    missing: found === undefined ? missing : undefined,
    open: (extra) => {
      if (found === undefined) throw new Error(missing);
      return openFresh(found.url, extra ?? []);
    },
    stop: async () => {
      await found?.server?.stop();
    },
  };
}

/** A schema of its own in the database at `url`, dropped by `remove`. */
export async function openFresh(url: string, extra: readonly MigrationList[]): Promise<TestStore> {
  const schema = `weir_test_${randomBytes(6).toString('hex')}`;
  const store = await openPostgresStore({ url, schema, migrations: [...ALL, ...extra] });
  return {
    store,
    ledger: postgresLedger(store),
    audit: postgresAudit(store),
    remove: async () => {
      await store.close();
      await dropSchema(url, schema);
    },
  };
}

export async function dropSchema(url: string, schema: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await client.end();
}

export async function findServer(): Promise<
  { readonly url: string; readonly server: PostgresServer | undefined } | undefined
> {
  const named = process.env['WEIR_TEST_POSTGRES'];
  if (named !== undefined) return { url: named, server: undefined };
  if (await isReachable(LOOPBACK)) return { url: LOOPBACK, server: undefined };
  const binaries = postgresBinaries();
  if (binaries === undefined) return undefined;
  const server = await startPostgres(binaries);
  return { url: server.url, server };
}

async function isReachable(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
