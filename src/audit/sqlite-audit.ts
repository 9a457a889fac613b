/** The audit sink over the embedded store. */
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { AuditHead, AuditSink } from './audit-sink.ts';
import { readHead } from './chain-table.ts';
import { encodeEntry } from './hash-chain.ts';
import type { AppendArgument } from './sqlite-program.ts';

/** Opens the store with this among its `programs`. */
export const AUDIT_PROGRAMS = { audit: 'audit-program' } as const;

/** @param store - opened with {@link AUDIT_PROGRAMS} and `AUDIT_MIGRATIONS`. */
export function sqliteAudit(store: SqliteStore): AuditSink {
  return {
    append: async (entry, alongside) => {
      const argument: AppendArgument = { entry: encodeEntry(entry), alongside };
      return (await store.call('audit', 'append', argument)) as AuditHead;
    },
    head: () => readHead(store),
  };
}
