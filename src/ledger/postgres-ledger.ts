/**
 * The ledger on PostgreSQL: commands that wait become one function call and one commit. A command
 * with statements of its own alongside gets a transaction of its own.
 */
import { readHead } from '../audit/chain-table.ts';
import { assertInvariant } from '../errors.ts';
import type { PostgresStore, Transaction } from '../store/postgres-store.ts';
import { StoreConflict, type Row, type Statement } from '../store/store.ts';
import type { Hash, RunId } from '../system/ids.ts';
import { batching } from './batching.ts';
import {
  prepareCorrection,
  prepareDenied,
  prepareReserve,
  prepareSettle,
  RECORD_COLUMNS,
  type PreparedRecord,
  type PreparedReserve,
  type PreparedSettle,
} from './ledger-commands.ts';
import {
  alreadyCorrected,
  readOverdue,
  readRecord,
  readRecords,
  readUsage,
} from './ledger-reads.ts';
import type {
  LedgerStore,
  Recorded,
  RecordOutcome,
  ReserveOutcome,
  SettleOutcome,
} from './ledger-store.ts';

/** Commands of one call: more would only make the first of them wait longer. */
const BATCH_MAX = 256;
/** Calls of one kind under way: the second fills while the first commits. */
const CALLS_MAX = 2;

/** A settlement, or a record of its own. */
type SettleItem = PreparedSettle | { readonly own: PreparedRecord };

/** @param store - opened with `LEDGER_MIGRATIONS` and `AUDIT_MIGRATIONS`. */
export function postgresLedger(store: PostgresStore): LedgerStore {
  const reserves = batching<PreparedReserve, ReserveOutcome>({
    run: (items) => store.transact((transaction) => callReserve(transaction, items)),
    keyOf: (item) => item.requestKey,
    batchMax: BATCH_MAX,
    callsMax: CALLS_MAX,
  });
  const settles = batching<SettleItem, SettleOutcome>({
    run: (items) => store.transact((transaction) => callSettle(transaction, items)),
    keyOf: (item) => ('own' in item ? item.own.id : item.runId),
    batchMax: BATCH_MAX,
    callsMax: CALLS_MAX,
  });
  const append = async (own: PreparedRecord): Promise<Recorded> => {
    const outcome = await settles({ own });
    if (outcome.kind !== 'settled') throw alreadyCorrected();
    const { seq, recordHash, auditHead } = outcome;
    return { seq, recordHash, auditHead };
  };
  return {
    reserve: async (command) => {
      const item = prepareReserve(command);
      if (item.alongside.length === 0) return reserves(item);
      const call = async (transaction: Transaction): Promise<ReserveOutcome> =>
        only(await callReserve(transaction, [item]));
      return alone(store, item.alongside, call, (outcome) => outcome.kind === 'reserved');
    },
    settle: async (command) => {
      const item = prepareSettle(command);
      if (item.alongside.length === 0) return settles(item);
      const call = async (transaction: Transaction): Promise<SettleOutcome> =>
        only(await callSettle(transaction, [item]));
      return alone(store, item.alongside, call, (outcome) => outcome.kind === 'settled');
    },
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

/**
 * One command and its statements. They run first, so that the head of the record, for which all
 * gateways queue, is held for one call and the commit only; where the command then writes nothing,
 * neither do they.
 */
async function alone<Outcome>(
  store: PostgresStore,
  alongside: readonly Statement[],
  call: (transaction: Transaction) => Promise<Outcome>,
  writes: (outcome: Outcome) => boolean,
): Promise<Outcome> {
  try {
    const both = async (transaction: Transaction): Promise<Outcome> => {
      await transaction.run(alongside);
      return call(transaction);
    };
    return await store.transact(both, writes);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
    // A repeat meets its own statements' effects: what the command answers decides, not they.
    const outcome = await store.transact(call, () => false);
    if (writes(outcome)) throw error;
    return outcome;
  }
}

async function callReserve(
  transaction: Transaction,
  items: readonly PreparedReserve[],
): Promise<readonly ReserveOutcome[]> {
  const encoded = items.map(({ requestKey, runId, bodyHash, encodedLines, expiresAtMs }, n) => ({
    n,
    requestKey,
    runId,
    bodyHash,
    encodedLines,
    expiresAtMs,
    lines: JSON.parse(encodedLines) as unknown,
  }));
  const rows = await transaction.query('SELECT * FROM ledger_reserve(?::text::jsonb)', [
    JSON.stringify(encoded),
  ]);
  return inOrder(rows, items, (row, item) => {
    const kind = String(row['kind']);
    if (kind === 'exceeded') {
      const line = item.lines[Number(row['line'])];
      assertInvariant(line !== undefined, 'an exceeded line is one of the command');
      return { kind, account: line.account, left: row['units_left'] as typeof line.units };
    }
    assertInvariant(
      kind === 'reserved' || kind === 'repeated' || kind === 'conflict',
      'a reservation has a known outcome',
    );
    return { kind, runId: String(row['run_id']) as RunId };
  });
}

async function callSettle(
  transaction: Transaction,
  items: readonly SettleItem[],
): Promise<readonly SettleOutcome[]> {
  const encoded = items.map((item, n) => {
    if ('own' in item) return { n, units: {}, record: encodeOwn(item.own) };
    const { runId, outcome } = item;
    return { n, runId, outcome, units: decimals(item.units), record: encodeRecord(item.record) };
  });
  const rows = await transaction.query('SELECT * FROM ledger_settle(?::text::jsonb)', [
    JSON.stringify(encoded),
  ]);
  return inOrder(rows, items, (row): SettleOutcome => {
    const seq = row['seq'] as bigint;
    if (row['kind'] === 'already') {
      return { kind: 'already', outcome: String(row['outcome']) as RecordOutcome, seq };
    }
    const auditHead = { size: row['size'] as bigint, hash: String(row['hash']) as Hash };
    return { kind: 'settled', seq, recordHash: String(row['record_hash']) as Hash, auditHead };
  });
}

function encodeRecord(record: PreparedRecord): Readonly<Record<string, unknown>> {
  const columns = RECORD_COLUMNS.map((name, at) => {
    const value = record.columns[at];
    return [name, typeof value === 'bigint' ? String(value) : value] as const;
  });
  const { id, pieces, entry } = record;
  return { id, ...pieces, entry, ...Object.fromEntries(columns) };
}

/** PostgreSQL splices what it is given; a settlement's `supersedes` it knows from the reservation. */
function encodeOwn(record: PreparedRecord): Readonly<Record<string, unknown>> {
  const { supersedes } = record;
  if (supersedes === undefined) return encodeRecord(record);
  return { ...encodeRecord(record), supersedes: String(supersedes) };
}

function decimals(units: PreparedSettle['units']): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(units).map(([name, amount]) => [name, String(amount)]));
}

function inOrder<Item, Outcome>(
  rows: readonly Row[],
  items: readonly Item[],
  read: (row: Row, item: Item) => Outcome,
): readonly Outcome[] {
  const byPlace = new Map(rows.map((row) => [Number(row['n']), row]));
  return items.map((item, n) => {
    const row = byPlace.get(n);
    assertInvariant(row !== undefined, 'every command of a batch has an outcome');
    return read(row, item);
  });
}

function only<T>(outcomes: readonly T[]): T {
  const [outcome] = outcomes;
  assertInvariant(outcome !== undefined, 'one command has one outcome');
  return outcome;
}
