/** The ledger inside the store's thread: read, decide by `core.ts`, write; one savepoint a command. */
import { appendEncoded, currentHead } from '../audit/chain-table.ts';
import type { Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';
import { runStatements, type Database } from '../store/database.ts';
import type { Program } from '../store/program.ts';
import type { SqlValue } from '../store/store.ts';
import type { RunId } from '../system/ids.ts';
import {
  accountKey,
  applyChange,
  decideReserve,
  decideSettle,
  type AccountChange,
  type AccountUse,
  type ReserveDecision,
  type Reservation,
  type ReservationState,
} from './core.ts';
import {
  decodeLines,
  RECORD_COLUMNS,
  type PreparedRecord,
  type PreparedReserve,
  type PreparedSettle,
} from './ledger-commands.ts';
import type { QuotaAccount, ReserveOutcome, SettleOutcome, Recorded } from './ledger-store.ts';
import { bindEntry, joinPieces, recordHash } from './record.ts';

const RECORD_INSERT = `INSERT INTO ledger_record (seq, id, ${RECORD_COLUMNS.join(', ')}, supersedes, document)
  VALUES (?, ?, ${RECORD_COLUMNS.map(() => '?').join(', ')}, ?, ?)`;
/** How many accounts one statement writes: a group's are cut into such lots, the largest first. */
const ACCOUNT_LOTS = [32, 16, 8, 4, 2, 1] as const;
const ACCOUNT_COLUMNS = 5;
const ACCOUNT_WRITES = ACCOUNT_LOTS.map((lot) => {
  const rows = Array.from({ length: lot }, () => '(?, ?, ?, ?, ?)').join(', ');
  const sql = `INSERT INTO ledger_account (subject, dimension, window_key, posted, reserved)
    VALUES ${rows} ON CONFLICT (subject, dimension, window_key)
    DO UPDATE SET posted = excluded.posted, reserved = excluded.reserved`;
  return { lot, sql };
});
const RESERVATION_INSERT = `INSERT INTO ledger_reservation
  (request_key, run_id, body_hash, state, lines, expires_at_ms) VALUES (?, ?, ?, 'pending', ?, ?)
  ON CONFLICT (request_key) DO NOTHING`;

/** Reservations kept to spare the settlement a read; the oldest goes first. */
const RESERVATIONS_KEPT_MAX = 4_096;
/** Accounts kept to spare each command its reads. */
const ACCOUNTS_KEPT_MAX = 16_384;

/** What the open transaction, or a committed one before it, read or wrote last. */
interface Kept {
  readonly accounts: Map<string, KeptUse>;
  /** Changed and not written yet: an account that a group changes often is written once. */
  readonly changed: Set<KeptUse>;
  readonly reservations: Map<RunId, Reservation>;
  lastSeq: bigint | undefined;
}

interface KeptUse {
  readonly account: QuotaAccount;
  posted: bigint;
  reserved: bigint;
}

interface Ledger {
  readonly db: Database;
  readonly kept: Kept;
}

/** Loaded by the store's thread under the name `ledger`. */
export function openProgram(db: Database): Program {
  const kept: Kept = {
    accounts: new Map(),
    changed: new Set(),
    reservations: new Map(),
    lastSeq: undefined,
  };
  const ledger: Ledger = { db, kept };
  return {
    functions: {
      reserve: (argument) => reserve(ledger, argument as PreparedReserve),
      settle: (argument) => settle(ledger, argument as PreparedSettle),
      append: (argument) => append(ledger, argument as PreparedRecord),
    },
    flush: () => writeAccounts(ledger),
    forget: () => {
      kept.accounts.clear();
      kept.changed.clear();
      kept.reservations.clear();
      kept.lastSeq = undefined;
    },
  };
}

function reserve(ledger: Ledger, command: PreparedReserve): ReserveOutcome {
  const { db, kept } = ledger;
  const { requestKey, runId, bodyHash, lines } = command;
  const useOf = (account: QuotaAccount): AccountUse => readUse(ledger, account);
  const decision = decideReserve(undefined, lines, useOf, command);
  const row = [requestKey, runId, bodyHash, command.encodedLines, command.expiresAtMs];
  // Most keys are new, so the insert itself asks whether this one is.
  if (decision.kind !== 'reserved' || db.run(RESERVATION_INSERT, row) === 0) {
    const existing = readByKey(db, requestKey);
    if (existing === undefined) return refused(decision);
    return refused(decideReserve(existing, lines, useOf, command));
  }
  change(ledger, decision.changes);
  runStatements(db, command.alongside);
  keep(kept.reservations, RESERVATIONS_KEPT_MAX, runId, {
    runId,
    bodyHash,
    lines,
    state: 'pending',
    seq: undefined,
  });
  return { kind: 'reserved', runId };
}

function refused(decision: ReserveDecision): ReserveOutcome {
  assertInvariant(decision.kind !== 'reserved', 'what was not written is not reserved');
  return decision;
}

function readByKey(
  db: Database,
  requestKey: string,
): Pick<Reservation, 'runId' | 'bodyHash'> | undefined {
  const [row] = db.all('SELECT run_id, body_hash FROM ledger_reservation WHERE request_key = ?', [
    requestKey,
  ]);
  return row && { runId: String(row['run_id']) as RunId, bodyHash: String(row['body_hash']) };
}

function settle(ledger: Ledger, command: PreparedSettle): SettleOutcome {
  const { db, kept } = ledger;
  const { runId, outcome } = command;
  const reservation = kept.reservations.get(runId) ?? readReservation(db, runId);
  const useOf = (account: QuotaAccount): AccountUse => readUse(ledger, account);
  const decision = decideSettle(reservation, useOf, command);
  if (decision.kind === 'already') return decision;
  change(ledger, decision.changes);
  const { quotaLeft, supersedes } = decision;
  const written = writeRecord(ledger, command.record, quotaLeft, supersedes);
  const changed = db.run('UPDATE ledger_reservation SET state = ?, seq = ? WHERE run_id = ?', [
    outcome,
    written.seq,
    runId,
  ]);
  assertInvariant(changed === 1, 'a settlement changes its reservation');
  runStatements(db, command.alongside);
  kept.reservations.delete(runId);
  return { kind: 'settled', ...written };
}

/** A record of its own: a refusal or a correction. Undefined where what it corrects is corrected. */
function append(ledger: Ledger, record: PreparedRecord): Recorded | undefined {
  const { db } = ledger;
  const [known] = db.all('SELECT seq, document FROM ledger_record WHERE id = ?', [record.id]);
  if (known !== undefined) {
    // A repeat after an unknown outcome; the head it is answered with is merely the present one.
    const hash = recordHash(String(known['document']));
    return { seq: known['seq'] as bigint, recordHash: hash, auditHead: currentHead(db) };
  }
  if (record.supersedes !== undefined) {
    const later = 'SELECT seq FROM ledger_record WHERE supersedes = ?';
    if (db.all(later, [record.supersedes]).length > 0) return undefined;
  }
  return writeRecord(ledger, record, {}, record.supersedes);
}

function writeRecord(
  { db, kept }: Ledger,
  record: PreparedRecord,
  quotaLeft: Readonly<Record<string, Units>>,
  supersedes: bigint | undefined,
): Recorded {
  const seq = (kept.lastSeq ?? readLastSeq(db)) + 1n;
  const document = joinPieces(record.pieces, quotaLeft, seq, supersedes);
  db.run(RECORD_INSERT, [seq, record.id, ...record.columns, supersedes ?? null, document]);
  kept.lastSeq = seq;
  const hash = recordHash(document);
  const auditHead = appendEncoded(db, bindEntry(record.entry, seq, hash));
  return { seq, recordHash: hash, auditHead };
}

function readLastSeq(db: Database): bigint {
  const [last] = db.all('SELECT seq FROM ledger_record ORDER BY seq DESC LIMIT 1', []);
  return (last?.['seq'] as bigint | undefined) ?? 0n;
}

function readReservation(db: Database, runId: RunId): Reservation {
  const [row] = db.all(
    'SELECT body_hash, state, lines, seq FROM ledger_reservation WHERE run_id = ?',
    [runId],
  );
  assertInvariant(row !== undefined, 'only a reserved run is settled');
  const seq = row['seq'];
  return {
    runId,
    bodyHash: String(row['body_hash']),
    state: String(row['state']) as ReservationState,
    lines: decodeLines(String(row['lines'])),
    seq: typeof seq === 'bigint' ? seq : undefined,
  };
}

function readUse(ledger: Ledger, account: QuotaAccount): KeptUse {
  const { db, kept } = ledger;
  const key = accountKey(account);
  const known = kept.accounts.get(key);
  if (known !== undefined) return known;
  // What is let go below must be in its row, where it is read again.
  if (kept.accounts.size >= ACCOUNTS_KEPT_MAX) writeAccounts(ledger);
  const [row] = db.all(
    'SELECT posted, reserved FROM ledger_account WHERE subject = ? AND dimension = ? AND window_key = ?',
    [account.subject, account.dimension, account.windowKey],
  );
  const posted = (row?.['posted'] ?? 0n) as bigint;
  const use = { account, posted, reserved: (row?.['reserved'] ?? 0n) as bigint };
  keep(kept.accounts, ACCOUNTS_KEPT_MAX, key, use);
  return use;
}

/** In memory; `writeAccounts` follows before the commit. */
function change(ledger: Ledger, changes: readonly AccountChange[]): void {
  for (const each of changes) {
    const use = readUse(ledger, each.account);
    const { posted, reserved } = applyChange(use, each);
    use.posted = posted;
    use.reserved = reserved;
    ledger.kept.changed.add(use);
  }
}

function writeAccounts({ db, kept }: Ledger): void {
  const values: SqlValue[] = [];
  for (const { account, posted, reserved } of kept.changed) {
    values.push(account.subject, account.dimension, account.windowKey, posted, reserved);
  }
  let left = kept.changed.size;
  for (const { lot, sql } of ACCOUNT_WRITES) {
    for (; left >= lot; left -= lot) {
      const changed = db.run(sql, values.splice(0, lot * ACCOUNT_COLUMNS));
      assertInvariant(changed === lot, 'a change of an account changes its row');
    }
  }
  kept.changed.clear();
}

/** Remembers, and lets the oldest go beyond the bound. */
function keep<Key, Value>(map: Map<Key, Value>, most: number, key: Key, value: Value): void {
  if (map.size >= most && !map.has(key)) {
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
  }
  map.set(key, value);
}
