/** What a gateway keeps in its directory: identity key and one database with a list of tables an area. */
import { join } from 'node:path';
import type { AuditSink } from '../audit/audit-sink.ts';
import { AUDIT_MIGRATIONS } from '../audit/chain-table.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../audit/sqlite-audit.ts';
import { CATALOG_MIGRATIONS } from '../catalog/catalog-book.ts';
import { CONTRACT_MIGRATIONS } from '../contracts/contract-book.ts';
import type { LedgerStore } from '../ledger/ledger-store.ts';
import { LEDGER_MIGRATIONS } from '../ledger/ledger-schema.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../ledger/sqlite-ledger.ts';
import { WEBHOOK_MIGRATIONS } from '../ledger/webhook-rows.ts';
import { RUN_MIGRATIONS } from '../runs/run-rows.ts';
import { SPEND_WITNESS_MIGRATIONS } from '../contracts/spend-witness.ts';
import type { MigrationList } from '../store/migrations.ts';
import { openSqliteStore, type SqliteStore } from '../store/sqlite-store.ts';
import { DOMAIN_MIGRATIONS } from './domains.ts';
import { ENROLMENT_MIGRATIONS } from './enrolment.ts';
import { TOKEN_MIGRATIONS } from './tokens.ts';

/** Every table of a gateway, on either store. */
export const GATEWAY_MIGRATIONS: readonly MigrationList[] = [
  AUDIT_MIGRATIONS,
  LEDGER_MIGRATIONS,
  CONTRACT_MIGRATIONS,
  CATALOG_MIGRATIONS,
  RUN_MIGRATIONS,
  SPEND_WITNESS_MIGRATIONS,
  TOKEN_MIGRATIONS,
  DOMAIN_MIGRATIONS,
  ENROLMENT_MIGRATIONS,
  WEBHOOK_MIGRATIONS,
];

export interface GatewayState {
  readonly store: SqliteStore;
  readonly ledger: LedgerStore;
  readonly audit: AuditSink;
}

export function identityKeyFile(directory: string): string {
  return join(directory, 'keys', 'identity.key');
}

export function databaseFile(directory: string): string {
  return join(directory, 'state', 'gateway.sqlite');
}

/** Held by the running gateway. */
export function lockFile(directory: string): string {
  return join(directory, 'state', 'gateway.lock');
}

/** @throws SetupError `config-invalid`; CapacityError `store-unavailable`, `disk-full`. */
export async function openGatewayState(directory: string): Promise<GatewayState> {
  const store = await openSqliteStore({
    file: databaseFile(directory),
    migrations: GATEWAY_MIGRATIONS,
    programs: { ...LEDGER_PROGRAMS, ...AUDIT_PROGRAMS },
  });
  return { store, ledger: sqliteLedger(store), audit: sqliteAudit(store) };
}
