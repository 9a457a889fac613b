/**
 * Group commit: whatever waits becomes one BEGIN IMMEDIATE … COMMIT with one sync, each batch in a
 * savepoint of its own. Nothing is answered before the COMMIT returned, because an answer may rest
 * on what another batch of the group wrote.
 */
import { InvariantError, WeirError } from '../errors.ts';
import { isEngineFault, runStatements, storeFault, type Database } from './database.ts';
import type { Program } from './program.ts';
import { StoreConflict, type Row, type SqlValue, type Statement } from './store.ts';

/** Rows of one query; a reader that may meet more pages with LIMIT. */
export const QUERY_ROWS_MAX = 100_000;

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
  return {
    commit: (group) => commitGroup(db, programs, group),
    query: (request) => queryRows(db, request),
  };
}

function commitGroup(
  db: Database,
  programs: Readonly<Record<string, Program>>,
  group: readonly WriteRequest[],
): readonly Reply[] {
  const replies: Reply[] = [];
  try {
    db.exec('BEGIN IMMEDIATE');
    for (const request of group) replies.push(runBatch(db, programs, request));
    db.exec('COMMIT');
    return replies;
  } catch (error) {
    // Whether the disk holds the group is unknown now: a crash may bring it back. So nobody is
    // told that it is done, and every command can be repeated by its key.
    abandon(db);
    const fault = storeFault(error, 'The store could not commit');
    return group.map(() => ({ ok: false, error: fault }));
  }
}

function runBatch(
  db: Database,
  programs: Readonly<Record<string, Program>>,
  request: WriteRequest,
): Reply {
  db.exec('SAVEPOINT batch');
  try {
    const answer = dispatch(db, programs, request);
    db.exec('RELEASE batch');
    return { ok: true, answer };
  } catch (error) {
    // The engine may have rolled back everything by itself: then the whole group is lost.
    if (!db.inTransaction) throw error;
    db.exec('ROLLBACK TO batch');
    db.exec('RELEASE batch');
    return { ok: false, error: batchFault(error) };
  }
}

function dispatch(
  db: Database,
  programs: Readonly<Record<string, Program>>,
  request: WriteRequest,
): unknown {
  if (request.kind === 'execute') {
    runStatements(db, request.statements);
    return undefined;
  }
  const run = programs[request.program]?.[request.name];
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

function abandon(db: Database): void {
  try {
    if (db.inTransaction) db.exec('ROLLBACK');
  } catch {
    // The next BEGIN fails then, and says so to its own callers.
  }
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
