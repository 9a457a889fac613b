/**
 * The store on PostgreSQL, for several gateways on one database. PostgreSQL shares the sync of
 * concurrent commits by itself; `synchronous_commit` is always on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError, Pool, type PoolClient } from 'pg';
import { CapacityError, InvariantError, SetupError, WeirError } from '../errors.ts';
import {
  MIGRATION_INSERT,
  MIGRATION_SELECT,
  MIGRATION_TABLE,
  parseApplied,
  planMigrations,
  type MigrationList,
} from './migrations.ts';
import { numberPlaceholders, parameter, typeParsers } from './postgres-sql.ts';
import { StoreConflict, type Row, type SqlValue, type Statement, type Store } from './store.ts';

/** Requests that wait for a connection; one more is refused rather than held. */
export const POSTGRES_QUEUE_MAX = 16_384;
/** How often a transaction that lost a deadlock or a serialization race is tried in all. */
const ATTEMPTS_MAX = 10;
const CONNECTIONS = 8;
const CONNECT_TIMEOUT_MS = 10_000;
/** A gateway that hangs in a transaction must not hold the others' locks. */
const STATEMENT_TIMEOUT_MS = 30_000;
/** Any number all gateways agree on: they migrate one after the other. */
const MIGRATION_LOCK = 0x57_65_69_72;

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`. Secret: it may hold a password. */
  readonly url: string;
  /** The schema that holds the tables; created where it does not exist. */
  readonly schema: string;
  readonly migrations: readonly MigrationList[];
  readonly connections?: number;
}

/** One open transaction. */
export interface Transaction {
  query(sql: string, params?: readonly SqlValue[]): Promise<readonly Row[]>;
  /** @throws StoreConflict */
  run(statements: readonly Statement[]): Promise<void>;
}

export interface PostgresStore extends Store {
  /**
   * Runs `act` in a transaction that commits with its answer, unless `keep` says that nothing needs
   * keeping; `act` runs again after a deadlock or a lost race, so it has no other effect.
   */
  transact<Answer>(
    act: (transaction: Transaction) => Promise<Answer>,
    keep?: (answer: Answer) => boolean,
  ): Promise<Answer>;
}

/**
 * Connects, checks the server's durability and brings the schema up to date.
 * @throws SetupError `config-invalid` where the schema is newer or altered or the server does not
 *   sync; CapacityError `store-unavailable`.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(options.schema)) {
    throw new SetupError('config-invalid', 'The schema of the store is no plain SQL name.');
  }
  const pool = new Pool({
    connectionString: options.url,
    max: options.connections ?? CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    types: typeParsers,
    options: [
      `-c search_path=${options.schema}`,
      '-c synchronous_commit=on',
      `-c statement_timeout=${STATEMENT_TIMEOUT_MS}`,
      `-c idle_in_transaction_session_timeout=${STATEMENT_TIMEOUT_MS}`,
    ].join(' '),
  });
  // A connection that the server ends, idle or between two statements of a transaction, is told to its
  // next statement and replaced; unheard it would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  try {
    await prepareSchema(pool, options);
  } catch (error) {
    await pool.end();
    throw storeError(error);
  }
  return overPool(pool);
}

function overPool(pool: Pool): PostgresStore {
  let closing: Promise<void> | undefined;
  const admit = (): void => {
    if (closing !== undefined) throw new CapacityError('shutting-down', 'The store is closing.');
    if (pool.waitingCount >= POSTGRES_QUEUE_MAX) {
      throw new CapacityError('queue-full', 'The store is busy.', { retryAfterS: 1 });
    }
  };
  const transact: PostgresStore['transact'] = async (act, keep) => {
    admit();
    return retrying(() => once(pool, act, keep));
  };
  return {
    transact,
    query: async (sql, params = []) => {
      admit();
      try {
        return await ask(pool, sql, params);
      } catch (error) {
        throw storeError(error);
      }
    },
    execute: (statements) => transact((transaction) => transaction.run(statements)),
    close: () => {
      closing ??= pool.end();
      return closing;
    },
  };
}

async function once<Answer>(
  pool: Pool,
  act: (transaction: Transaction) => Promise<Answer>,
  keep: ((answer: Answer) => boolean) | undefined,
): Promise<Answer> {
  const client = await pool.connect();
  let sound = false;
  try {
    await client.query('BEGIN');
    const answer = await act({
      query: (sql, params = []) => ask(client, sql, params),
      run: (statements) => runStatements(client, statements),
    });
    await client.query((keep?.(answer) ?? true) ? 'COMMIT' : 'ROLLBACK');
    sound = true;
    return answer;
  } catch (error) {
    sound = await rolledBack(client);
    throw error;
  } finally {
    // A connection in an unknown state is not given to the next request.
    client.release(!sound);
  }
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}

async function retrying<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (tried >= ATTEMPTS_MAX || !isRace(error)) throw storeError(error);
      await sleep(tried * tried);
    }
  }
}

async function runStatements(client: PoolClient, statements: readonly Statement[]): Promise<void> {
  for (const [index, { sql, params, expectChanges }] of statements.entries()) {
    let changes: number | null;
    try {
      changes = (await client.query(numberPlaceholders(sql), params.map(parameter))).rowCount;
    } catch (error) {
      if (error instanceof DatabaseError && error.code === UNIQUE_VIOLATION) {
        throw new StoreConflict(index);
      }
      throw error;
    }
    if (expectChanges !== undefined && changes !== expectChanges) throw new StoreConflict(index);
  }
}

async function ask(
  on: Pool | PoolClient,
  sql: string,
  params: readonly SqlValue[],
): Promise<readonly Row[]> {
  const result = await on.query<Row>(numberPlaceholders(sql), params.map(parameter));
  return result.rows;
}

async function prepareSchema(pool: Pool, options: PostgresStoreOptions): Promise<void> {
  const [setting] = await ask(pool, 'SHOW fsync', []);
  if (setting?.['fsync'] !== 'on') {
    throw new SetupError(
      'config-invalid',
      'The PostgreSQL server runs with fsync off, so what it acknowledges can be lost: turn fsync on.',
    );
  }
  await once(
    pool,
    async (transaction) => {
      await transaction.query('SELECT pg_advisory_xact_lock(?)', [MIGRATION_LOCK]);
      await transaction.query(`CREATE SCHEMA IF NOT EXISTS ${options.schema}`);
      await transaction.query(MIGRATION_TABLE);
      const applied = (await transaction.query(MIGRATION_SELECT)).map(parseApplied);
      for (const each of planMigrations(options.migrations, applied, 'postgres')) {
        await transaction.query(each.sql);
        await transaction.query(MIGRATION_INSERT, [each.area, each.number, each.checksum]);
      }
    },
    undefined,
  );
}

const UNIQUE_VIOLATION = '23505';
const DISK_FULL = '53100';
/** Deadlock detected, serialization failure: nothing was written, and the same again may succeed. */
const RACES: ReadonlySet<string> = new Set(['40P01', '40001']);
/** Classes of codes that blame the statement rather than the server: data, integrity, syntax, PL. */
const STATEMENT_FAULTS = /^(?:21|22|23|42|P0)/;

function isRace(error: unknown): boolean {
  return error instanceof DatabaseError && RACES.has(error.code ?? '');
}

function storeError(error: unknown): Error {
  if (error instanceof WeirError || error instanceof StoreConflict) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof DatabaseError) {
    if (error.code === DISK_FULL) {
      return new CapacityError('disk-full', 'The disk of the PostgreSQL server is full.', {
        retryAfterS: 30,
      });
    }
    if (STATEMENT_FAULTS.test(error.code ?? '')) {
      // Messages of class 22 quote the value that did not fit.
      const what = error.code?.startsWith('22') === true ? `code ${error.code}` : reason;
      return new InvariantError('internal', `statement failed: ${what}`);
    }
  }
  return new CapacityError('store-unavailable', `PostgreSQL cannot be used now: ${reason}.`, {
    retryAfterS: 5,
  });
}
