/**
 * Group commit: whatever waits becomes one BEGIN IMMEDIATE … COMMIT with one sync, and a batch that
 * fails takes no other with it. Nothing is answered before the COMMIT returned, because an answer may rest
 * on what another batch of the group wrote.
 */
import { InvariantError, WeirError } from '../errors.ts';
import { isEngineFault, runStatements, storeFault, type Database } from './database.ts';
import type { Program } from './program.ts';
import { StoreConflict, type Row, type SqlValue, type Statement } from './store.ts';

/** Rows of one query; a reader that may meet more pages with LIMIT. */
export const QUERY_ROWS_MAX = 100_000;
const ROLLBACKS_MAX = 3;

export type WriteRequest =
  | { readonly kind: 'execute'; readonly statements: readonly Statement[] }
  | {
      readonly kind: 'call';
      readonly program: string;
      readonly name: string;
      readonly argument: unknown;
    };

export interface QueryRequest {
  readonly kind: 'query';
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

export type Reply =
  | { readonly ok: true; readonly answer: unknown }
  | { readonly ok: false; readonly error: unknown };

export interface GroupWriter {
  /** One transaction, one sync; a reply a request, in order. Never throws. */
  commit(group: readonly WriteRequest[]): readonly Reply[];
  /** Reads committed state. @throws InvariantError, CapacityError */
  query(request: QueryRequest): readonly Row[];
}

/** A writer over an open, migrated database. */
export function groupWriter(
  db: Database,
  programs: Readonly<Record<string, Program>>,
): GroupWriter {
  const connection: Connection = { db, programs, dataVersion: undefined };
  return {
    commit: (group) => commitGroup(connection, group),
    query: (request) => queryRows(db, request),
  };
}

interface Connection {
  readonly db: Database;
  readonly programs: Readonly<Record<string, Program>>;
  /** Changes when another connection commits to the file. */
  dataVersion: unknown;
}

function commitGroup(connection: Connection, group: readonly WriteRequest[]): readonly Reply[] {
  try {
    // Savepoints cost more than the batches they part, and hardly any batch fails: so the group
    // runs without them first, and only where one batch fails again with them.
    return runBare(connection, group) ?? runGuarded(connection, group);
  } catch (error) {
    // Whether the disk holds the group is unknown now: a crash may bring it back. So nobody is
    // told that it is done, and every command can be repeated by its key.
    abandon(connection);
    const fault = storeFault(error, 'The store could not commit');
    return group.map(() => ({ ok: false, error: fault }));
  }
}

/** Undefined where a batch failed among others: then nothing of the group was written. */
function runBare(
  connection: Connection,
  group: readonly WriteRequest[],
): readonly Reply[] | undefined {
  begin(connection);
  const replies: Reply[] = [];
  try {
    for (const request of group) {
      replies.push({ ok: true, answer: dispatch(connection, request) });
    }
    flush(connection);
  } catch (error) {
    abandon(connection);
    return group.length === 1 ? [{ ok: false, error: batchFault(error) }] : undefined;
  }
  connection.db.exec('COMMIT');
  return replies;
}

/** Each batch in a savepoint of its own. */
function runGuarded(connection: Connection, group: readonly WriteRequest[]): readonly Reply[] {
  begin(connection);
  const replies = group.map((request) => runBatch(connection, request));
  connection.db.exec('COMMIT');
  return replies;
}

function runBatch(connection: Connection, request: WriteRequest): Reply {
  const { db } = connection;
  db.exec('SAVEPOINT batch');
  try {
    const answer = dispatch(connection, request);
    flush(connection);
    db.exec('RELEASE batch');
    return { ok: true, answer };
  } catch (error) {
    forget(connection);
    // The engine may have rolled back everything by itself: then the whole group is lost.
    if (!db.inTransaction) throw error;
    db.exec('ROLLBACK TO batch');
    db.exec('RELEASE batch');
    return { ok: false, error: batchFault(error) };
  }
}

function begin(connection: Connection): void {
  // Of a rollback that failed each time it was tried.
  if (connection.db.inTransaction) connection.db.exec('ROLLBACK');
  connection.db.exec('BEGIN IMMEDIATE');
  const version = connection.db.all('PRAGMA data_version', [])[0]?.['data_version'];
  if (version !== connection.dataVersion) forget(connection);
  connection.dataVersion = version;
}

function flush(connection: Connection): void {
  for (const program of Object.values(connection.programs)) program.flush();
}

function forget(connection: Connection): void {
  connection.db.memo.clear();
  for (const program of Object.values(connection.programs)) program.forget();
}

function abandon(connection: Connection): void {
  forget(connection);
  // A transaction left open would lock out every other connection, so it is not left at one try.
  for (let tried = 0; tried < ROLLBACKS_MAX && connection.db.inTransaction; tried += 1) {
    try {
      connection.db.exec('ROLLBACK');
    } catch {
      // The next group tries again before it begins, and says so to its own callers.
    }
  }
}

function dispatch({ db, programs }: Connection, request: WriteRequest): unknown {
  if (request.kind === 'execute') {
    runStatements(db, request.statements);
    return undefined;
  }
  const run = programs[request.program]?.functions[request.name];
  if (run === undefined) {
    throw new InvariantError('internal', `no program ${request.program}.${request.name}`);
  }
  return run(request.argument);
}

function batchFault(error: unknown): unknown {
  if (error instanceof StoreConflict || error instanceof WeirError) return error;
  if (isEngineFault(error)) return storeFault(error, 'The store could not write');
  const reason = error instanceof Error ? error.message : String(error);
  return new InvariantError('internal', `statement failed: ${reason}`);
}

function queryRows(db: Database, request: QueryRequest): readonly Row[] {
  db.exec('PRAGMA query_only = ON');
  try {
    const rows = db.all(request.sql, request.params);
    if (rows.length > QUERY_ROWS_MAX) {
      throw new InvariantError('internal', `a query returned more than ${QUERY_ROWS_MAX} rows`);
    }
    return rows;
  } catch (error) {
    throw batchFault(error);
  } finally {
    db.exec('PRAGMA query_only = OFF');
  }
}
