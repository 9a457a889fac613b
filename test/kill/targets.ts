/** The ledgers that are killed, opened in the same way by the child and by whoever checks it. */
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { postgresLedger } from '../../src/ledger/postgres-ledger.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { openPostgresStore } from '../../src/store/postgres-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';

const MIGRATIONS = [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS];

export interface Target {
  readonly store: Store;
  readonly ledger: LedgerStore;
}

/** @param place - a file, or a URL and after `#` the schema. */
export async function openTarget(kind: string, place: string): Promise<Target> {
  if (kind === 'postgres') {
    const [url = '', schema = ''] = place.split('#');
    const store = await openPostgresStore({ url, schema, migrations: MIGRATIONS });
    return { store, ledger: postgresLedger(store) };
  }
  const store = await openSqliteStore({
    file: place,
    migrations: MIGRATIONS,
    programs: LEDGER_PROGRAMS,
  });
  return { store, ledger: sqliteLedger(store) };
}
