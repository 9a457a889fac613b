/**
 * Functions that run inside the store's thread over the open database, so that a command which
 * reads, decides and writes is one hop and takes part in group commit.
 */
import type { Database } from './database.ts';

/**
 * Each function runs in its own savepoint; what it throws rolls back its writes and nobody else's.
 * It must not keep state between calls: a rollback would leave that state wrong.
 */
export type Program = Readonly<Record<string, (argument: unknown) => unknown>>;

/** What a program's module exports under the name `openProgram`. */
export type OpenProgram = (db: Database) => Program;

export interface ProgramModule {
  readonly openProgram: OpenProgram;
}
