/**
 * The narrow face of an SQLite connection that the writer works through: a simulation puts one in
 * between that fails any write or commit, before it took effect or after.
 */
import { closeSync, chmodSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CapacityError, WeirError } from '../errors.ts';
import { StoreConflict, type Row, type SqlValue, type Statement } from './store.ts';

/** Prepared statements kept a connection; the cache starts over beyond it. */
const STATEMENTS_MAX = 512;
const BUSY_TIMEOUT_MS = 5_000;
/** Pages kept in memory: keys are random, so an index that does not fit costs a read an insert. */
const CACHE_KIB = 65_536;
/** Pages the log grows by before they are moved into the file; a page written often moves once. */
const CHECKPOINT_PAGES = 4_000;

export interface Database {
  /** Runs statements without parameters; the only way to BEGIN, COMMIT and ROLLBACK. */
  exec(sql: string): void;
  /** Runs one statement; the number of rows it changed. */
  run(sql: string, params: readonly SqlValue[]): number;
  /** All rows; integers are exact `bigint`s. */
  all(sql: string, params: readonly SqlValue[]): readonly Row[];
  /**
   * What programs remember of this connection's rows, under a name of their own; the writer empties it
   * whenever something was rolled back or another connection wrote.
   */
  readonly memo: Map<string, unknown>;
  /** False once the engine rolled back by itself, as it may when the disk is full. */
  readonly inTransaction: boolean;
  close(): void;
}

/**
 * Opens (or creates, mode 0600) a database: WAL, synchronous FULL, foreign keys on.
 * @throws CapacityError `store-unavailable` or `disk-full`
 */
export function openDatabase(file: string): Database {
  try {
    createPrivately(file);
    const db = new DatabaseSync(file);
    configure(db);
    return wrap(db);
  } catch (error) {
    throw storeFault(error, `The store ${file} cannot be opened`);
  }
}

/** A connection over an open handle; used as it is by simulations. */
export function wrap(db: DatabaseSync): Database {
  const prepared = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    if (prepared.size >= STATEMENTS_MAX) prepared.clear();
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    prepared.set(sql, statement);
    return statement;
  };
  return {
    exec: (sql) => {
      db.exec(sql);
    },
    run: (sql, params) => Number(prepare(sql).run(...params.map(bound)).changes),
    all: (sql, params) => prepare(sql).all(...params.map(bound)) as unknown as readonly Row[],
    memo: new Map(),
    get inTransaction() {
      return db.isTransaction;
    },
    close: () => {
      db.close();
    },
  };
}

/**
 * Runs the statements of a batch in order.
 * @throws StoreConflict where an expectation or a unique key does not hold.
 */
export function runStatements(db: Database, statements: readonly Statement[]): void {
  for (const [index, statement] of statements.entries()) {
    let changes: number;
    try {
      changes = db.run(statement.sql, statement.params);
    } catch (error) {
      if (isUniqueViolation(error)) throw new StoreConflict(index);
      throw error;
    }
    if (statement.expectChanges !== undefined && changes !== statement.expectChanges) {
      throw new StoreConflict(index);
    }
  }
}

/** What a failing engine means for the caller: a full disk, or a store that cannot be used now. */
export function storeFault(error: unknown, what: string): WeirError {
  if (error instanceof WeirError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (isOutOfRoom(error)) {
    return new CapacityError('disk-full', `${what}: the disk is full.`, {
      remedy: 'Free space on the file system of the store, or raise the limit on file sizes.',
      retryAfterS: 30,
    });
  }
  return new CapacityError('store-unavailable', `${what}: ${reason}.`, {
    ...(primaryCode(error) === SQLITE_IOERR ? { remedy: IOERR_REMEDY } : {}),
    retryAfterS: 5,
  });
}

function isOutOfRoom(error: unknown): boolean {
  return (
    primaryCode(error) === SQLITE_FULL ||
    // The index of the write-ahead log could not grow: the engine has no other code for that.
    extendedCode(error) === SQLITE_IOERR_SHMSIZE ||
    systemCode(error) === 'ENOSPC'
  );
}

/** True where the engine or the disk failed, rather than the statement. */
export function isEngineFault(error: unknown): boolean {
  const code = primaryCode(error);
  return code !== undefined && ENGINE_FAULTS.has(code);
}

function isUniqueViolation(error: unknown): boolean {
  const code = extendedCode(error);
  return code === SQLITE_CONSTRAINT_UNIQUE || code === SQLITE_CONSTRAINT_PRIMARYKEY;
}

const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const SQLITE_IOERR_SHMSIZE = 4874;
const IOERR_REMEDY =
  'See whether the disk is healthy and has room, and whether a limit on file sizes applies.';
/** BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB. */
const ENGINE_FAULTS: ReadonlySet<number> = new Set([5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26]);
const SQLITE_CONSTRAINT_PRIMARYKEY = 1555;
const SQLITE_CONSTRAINT_UNIQUE = 2067;

function extendedCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

function primaryCode(error: unknown): number | undefined {
  const code = extendedCode(error);
  return code === undefined ? undefined : code & 0xff;
}

function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** node:sqlite binds numbers as doubles; a TEXT or untyped column would then hold `5.0`. */
function bound(value: SqlValue): string | number | bigint | Uint8Array | null {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
}

/** SQLite gives the WAL the mode of the main file, so the main file must be private before it opens. */
function createPrivately(file: string): void {
  const fd = openSync(file, 'a', 0o600);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chmodSync(file, 0o600);
  // Without this a crash could take the directory's entry, and with it everything acknowledged.
  const directory = openSync(dirname(file), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function configure(db: DatabaseSync): void {
  db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  db.exec('PRAGMA journal_mode = WAL');
  // FULL syncs the WAL at each COMMIT; NORMAL would acknowledge what a power cut takes back.
  db.exec('PRAGMA synchronous = FULL');
  db.exec('PRAGMA fullfsync = ON');
  db.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
  db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  db.exec('PRAGMA foreign_keys = ON');
  db.exec('PRAGMA trusted_schema = OFF');
  // Savepoints keep their undo pages in memory instead of in a temporary file.
  db.exec('PRAGMA temp_store = MEMORY');
  const mode = db.prepare('PRAGMA journal_mode').get()?.['journal_mode'];
  const level = db.prepare('PRAGMA synchronous').get()?.['synchronous'];
  if (mode !== 'wal' || Number(level) !== 2) {
    throw new CapacityError(
      'store-unavailable',
      'The file system of the store supports no write-ahead log.',
    );
  }
}
