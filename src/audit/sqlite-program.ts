/** The audit chain's functions inside the store's thread. */
import { runStatements, type Database } from '../store/database.ts';
import type { Program } from '../store/program.ts';
import type { Statement } from '../store/store.ts';
import type { AuditHead } from './audit-sink.ts';
import { appendEncoded } from './chain-table.ts';

export interface AppendArgument {
  /** Canonical JSON. */
  readonly entry: string;
  readonly alongside: readonly Statement[];
}

/** Loaded by the store's thread under the name `audit`. */
export function openProgram(db: Database): Program {
  const append = (argument: unknown): AuditHead => {
    const { entry, alongside } = argument as AppendArgument;
    runStatements(db, alongside);
    return appendEncoded(db, entry);
  };
  return {
    functions: { append },
    flush: () => undefined,
    // Keeps nothing of its own between calls: the ledger appends to the same chain.
    forget: () => undefined,
  };
}
