/**
 * Functions that run inside the store's thread over the open database, so that a command which
 * reads, decides and writes is one hop and takes part in group commit.
 */
import type { Database } from './database.ts';

export interface Program {
  /**
   * Each call is a batch: what it throws rolls back its writes and nobody else's. It may be run again
   * after a rollback, so it has no effect but on the database.
   */
  readonly functions: Readonly<Record<string, (argument: unknown) => unknown>>;
  /** Writes what its calls left to be written together; asked before each commit and savepoint's end. */
  flush(): void;
  /** Drop whatever was read before, or left to be written: something was rolled back, or another connection wrote. */
  forget(): void;
}

/** What a program's module exports under the name `openProgram`. */
export type OpenProgram = (db: Database) => Program;

export interface ProgramModule {
  readonly openProgram: OpenProgram;
}
