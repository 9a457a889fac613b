/**
 * A connection to a real file that fails where a simulation says so: before the operation took
 * effect, or after it did. A crash drops everything that was not committed.
 */
import { DatabaseSync } from 'node:sqlite';
import { wrap, type Database } from '../../src/store/database.ts';

export type FaultMode = 'not persisted' | 'persisted but reported failed';

export interface FaultPlan {
  /** Asked before each BEGIN, COMMIT, statement; undefined: no fault. */
  next(sql: string): FaultMode | undefined;
}

const SQLITE_IOERR = 10;

export interface FaultyDatabase extends Database {
  /** Ends the connection as a crash would: nothing pending reaches the file. */
  crash(): void;
}

export function openFaulty(file: string, plan: FaultPlan): FaultyDatabase {
  const handle = new DatabaseSync(file);
  handle.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
  // Another gateway that holds the lock is a failure at once: simulated time does not wait.
  handle.exec('PRAGMA busy_timeout = 0');
  const real = wrap(handle);
  const around = <Answer>(sql: string, act: () => Answer): Answer => {
    const mode = plan.next(sql);
    if (mode === undefined) return act();
    if (mode === 'persisted but reported failed') act();
    throw Object.assign(new Error('injected disk fault'), { errcode: SQLITE_IOERR });
  };
  return {
    exec: (sql) => around(sql, () => real.exec(sql)),
    run: (sql, params) => around(sql, () => real.run(sql, params)),
    all: (sql, params) => real.all(sql, params),
    memo: real.memo,
    get inTransaction() {
      return real.inTransaction;
    },
    close: () => real.close(),
    crash: () => {
      if (handle.isTransaction) handle.exec('ROLLBACK');
      handle.close();
    },
  };
}
