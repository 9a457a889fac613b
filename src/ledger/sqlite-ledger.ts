/** The ledger on the embedded store. */
import { readHead } from '../audit/chain-table.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import {
  alreadyCorrected,
  readOverdue,
  readRecord,
  readRecords,
  readUsage,
} from './ledger-reads.ts';
import {
  prepareCorrection,
  prepareDenied,
  prepareReserve,
  prepareSettle,
  type PreparedRecord,
} from './ledger-commands.ts';
import type { LedgerStore, Recorded, ReserveOutcome, SettleOutcome } from './ledger-store.ts';

/** Opens the store with this among its `programs`. */
export const LEDGER_PROGRAMS = { ledger: 'ledger-program' } as const;

/** @param store - opened with {@link LEDGER_PROGRAMS}, `LEDGER_MIGRATIONS` and `AUDIT_MIGRATIONS`. */
export function sqliteLedger(store: SqliteStore): LedgerStore {
  const append = async (record: PreparedRecord): Promise<Recorded> => {
    const recorded = (await store.call('ledger', 'append', record)) as Recorded | undefined;
    if (recorded === undefined) throw alreadyCorrected();
    return recorded;
  };
  return {
    reserve: async (command) =>
      (await store.call('ledger', 'reserve', prepareReserve(command))) as ReserveOutcome,
    settle: async (command) =>
      (await store.call('ledger', 'settle', prepareSettle(command))) as SettleOutcome,
    recordDenied: async (record, audit) => append(prepareDenied(record, audit)),
    correct: async (command) =>
      append(prepareCorrection(command, await readRecord(store, command.supersedes))),
    overdue: (nowMs, most) => readOverdue(store, nowMs, most),
    usage: (accounts) => readUsage(store, accounts),
    records: (afterSeq, most) => readRecords(store, afterSeq, most),
    auditHead: () => readHead(store),
    close: () => Promise.resolve(),
  };
}
