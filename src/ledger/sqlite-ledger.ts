/** The ledger on the embedded store. */
import type { AuditHead } from '../audit/audit-sink.ts';
import { readHead } from '../audit/chain-table.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import { prepareDenied, prepareReserve, prepareSettle } from './ledger-commands.ts';
import { readOverdue, readRecords, readUsage } from './ledger-reads.ts';
import type { LedgerStore, ReserveOutcome, SettleOutcome } from './ledger-store.ts';

/** Opens the store with this among its `programs`. */
export const LEDGER_PROGRAMS = { ledger: 'ledger-program' } as const;

/** @param store - opened with {@link LEDGER_PROGRAMS}, `LEDGER_MIGRATIONS` and `AUDIT_MIGRATIONS`. */
export function sqliteLedger(store: SqliteStore): LedgerStore {
  return {
    reserve: async (command) =>
      (await store.call('ledger', 'reserve', prepareReserve(command))) as ReserveOutcome,
    settle: async (command) =>
      (await store.call('ledger', 'settle', prepareSettle(command))) as SettleOutcome,
    recordDenied: async (record, audit) =>
      (await store.call('ledger', 'denied', prepareDenied(record, audit))) as {
        readonly seq: bigint;
        readonly auditHead: AuditHead;
      },
    overdue: (nowMs, most) => readOverdue(store, nowMs, most),
    usage: (accounts) => readUsage(store, accounts),
    records: (afterSeq, most) => readRecords(store, afterSeq, most),
    auditHead: () => readHead(store),
    close: () => Promise.resolve(),
  };
}
