/** What a gateway keeps in its directory: identity key and one database with a list of tables an area. */
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { AuditSink } from '../audit/audit-sink.ts';
import { AUDIT_MIGRATIONS } from '../audit/chain-table.ts';
import { postgresAudit } from '../audit/postgres-audit.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../audit/sqlite-audit.ts';
import { CATALOG_MIGRATIONS } from '../catalog/catalog-book.ts';
import { CONTRACT_MIGRATIONS } from '../contracts/contract-book.ts';
import type { LedgerStore } from '../ledger/ledger-store.ts';
import { LEDGER_MIGRATIONS } from '../ledger/ledger-schema.ts';
import { postgresLedger } from '../ledger/postgres-ledger.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../ledger/sqlite-ledger.ts';
import { WEBHOOK_MIGRATIONS } from '../ledger/webhook-rows.ts';
import { RUN_MIGRATIONS } from '../runs/run-rows.ts';
import { SPEND_WITNESS_MIGRATIONS } from '../contracts/spend-witness.ts';
import { SetupError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import { type HeldName, holdName } from '../store/postgres-name.ts';
import { openPostgresStore } from '../store/postgres-store.ts';
import { openSqliteStore, type SqliteStore } from '../store/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import type { GatewayConfig } from './config.ts';
import { DOMAIN_MIGRATIONS } from './domains.ts';
import { ENROLMENT_MIGRATIONS } from './enrolment.ts';
import { PEER_MIGRATIONS } from './peers.ts';
import { IDENTITY_MIGRATIONS } from './store-identity.ts';
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
  IDENTITY_MIGRATIONS,
  PEER_MIGRATIONS,
];

export interface GatewayState {
  readonly store: Store;
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

/**
 * The embedded store, or PostgreSQL where the configuration names one.
 * @throws SetupError `config-invalid`; CapacityError `store-unavailable`, `disk-full`.
 */
export async function openGatewayState(
  directory: string,
  where: GatewayConfig['store'] = { kind: 'sqlite' },
): Promise<GatewayState> {
  if (where.kind === 'postgres') {
    const url = readSecretFile(resolve(directory, where.urlFile));
    const store = await openPostgresStore({
      url,
      schema: where.schema,
      migrations: GATEWAY_MIGRATIONS,
    });
    return { store, ledger: postgresLedger(store), audit: postgresAudit(store) };
  }
  const store = await openEmbedded(directory);
  return { store, ledger: sqliteLedger(store), audit: sqliteAudit(store) };
}

/**
 * Takes the instance's name on a database that gateways share; nothing to take on an embedded store.
 * @param onTaken - another process took it while the connection was lost.
 * @throws SetupError `port-taken`, CapacityError `store-unavailable`
 */
export async function holdInstance(
  directory: string,
  { store: where, instance }: Pick<GatewayConfig, 'store' | 'instance'>,
  onTaken: () => void,
): Promise<HeldName> {
  if (where.kind === 'sqlite') return { isHeld: () => true, release: () => Promise.resolve() };
  const url = readSecretFile(resolve(directory, where.urlFile));
  return holdName({ url, schema: where.schema, name: instance, onTaken });
}

/** The embedded store alone, which can be copied while work goes on. */
export function openEmbedded(directory: string): Promise<SqliteStore> {
  return openSqliteStore({
    file: databaseFile(directory),
    migrations: GATEWAY_MIGRATIONS,
    programs: { ...LEDGER_PROGRAMS, ...AUDIT_PROGRAMS },
  });
}

/** The address may hold a password: it stands in a file of its own that its owner alone can read. */
function readSecretFile(path: string): string {
  let mode: number;
  let text: string;
  try {
    mode = statSync(path).mode;
    text = readFileSync(path, 'utf8').trim();
  } catch {
    throw new SetupError(
      'config-missing',
      `The file ${path} with the store’s address is missing.`,
      {
        path,
      },
    );
  }
  if ((mode & 0o077) === 0) return text;
  throw new SetupError('key-unreadable', `The file ${path} can be read by others.`, {
    path,
    remedy: `Run: chmod 600 ${path}`,
  });
}
