/** The ledger inside the store's thread: read, decide by `core.ts`, write; one savepoint a command. */
import { appendEncoded, currentHead } from '../audit/chain-table.ts';
import type { AuditHead } from '../audit/audit-sink.ts';
import type { Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';
import { runStatements, type Database } from '../store/database.ts';
import type { Program } from '../store/program.ts';
import type { Row } from '../store/store.ts';
import type { RunId } from '../system/ids.ts';
import {
  accountKey,
  applyChange,
  decideReserve,
  decideSettle,
  type AccountChange,
  type AccountUse,
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
import type {
  QuotaAccount,
  ReservationLine,
  ReserveOutcome,
  SettleOutcome,
} from './ledger-store.ts';
import { bindEntry, joinPieces, recordHash } from './record.ts';

const RECORD_INSERT = `INSERT INTO ledger_record (seq, id, ${RECORD_COLUMNS.join(', ')}, supersedes, document)
  VALUES (?, ?, ${RECORD_COLUMNS.map(() => '?').join(', ')}, ?, ?)`;
const ACCOUNT_UPSERT = `INSERT INTO ledger_account (subject, dimension, window_key, posted, reserved)
  VALUES (?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET posted = excluded.posted, reserved = excluded.reserved`;

/** Loaded by the store's thread under the name `ledger`. */
export function openProgram(db: Database): Program {
  return {
    reserve: (argument) => reserve(db, argument as PreparedReserve),
    settle: (argument) => settle(db, argument as PreparedSettle),
    denied: (argument) => denied(db, argument as PreparedRecord),
  };
}

function reserve(db: Database, command: PreparedReserve): ReserveOutcome {
  const [row] = db.all('SELECT run_id, body_hash FROM ledger_reservation WHERE request_key = ?', [
    command.requestKey,
  ]);
  const existing = row && {
    runId: String(row['run_id']) as RunId,
    bodyHash: String(row['body_hash']),
  };
  const useOf = readUse(db, row === undefined ? command.lines : []);
  const decision = decideReserve(existing, command.lines, useOf, command);
  if (decision.kind !== 'reserved') return decision;
  db.run(
    `INSERT INTO ledger_reservation (request_key, run_id, body_hash, state, lines, expires_at_ms)
     VALUES (?, ?, ?, 'pending', ?, ?)`,
    [
      command.requestKey,
      command.runId,
      command.bodyHash,
      command.encodedLines,
      command.expiresAtMs,
    ],
  );
  writeChanges(db, decision.changes, useOf);
  runStatements(db, command.alongside);
  return { kind: 'reserved', runId: command.runId };
}

function settle(db: Database, command: PreparedSettle): SettleOutcome {
  const reservation = readReservation(db, command.runId);
  const useOf = readUse(db, reservation.lines);
  const decision = decideSettle(reservation, useOf, command);
  if (decision.kind === 'already') return decision;
  writeChanges(db, decision.changes, useOf);
  const { seq, auditHead } = writeRecord(
    db,
    command.record,
    decision.quotaLeft,
    decision.supersedes,
  );
  const changed = db.run('UPDATE ledger_reservation SET state = ?, seq = ? WHERE run_id = ?', [
    command.outcome,
    seq,
    command.runId,
  ]);
  assertInvariant(changed === 1, 'a settlement changes its reservation');
  runStatements(db, command.alongside);
  return { kind: 'settled', seq, auditHead };
}

function denied(
  db: Database,
  record: PreparedRecord,
): { readonly seq: bigint; readonly auditHead: AuditHead } {
  const [known] = db.all('SELECT seq FROM ledger_record WHERE id = ?', [record.id]);
  if (known !== undefined) {
    // A repeat after an unknown outcome; the head it is answered with is merely the present one.
    return { seq: known['seq'] as bigint, auditHead: currentHead(db) };
  }
  return writeRecord(db, record, {}, undefined);
}

function writeRecord(
  db: Database,
  record: PreparedRecord,
  quotaLeft: Readonly<Record<string, Units>>,
  supersedes: bigint | undefined,
): { readonly seq: bigint; readonly auditHead: AuditHead } {
  const [last] = db.all('SELECT seq FROM ledger_record ORDER BY seq DESC LIMIT 1', []);
  const seq = ((last?.['seq'] as bigint | undefined) ?? 0n) + 1n;
  const document = joinPieces(record.pieces, quotaLeft, seq, supersedes);
  db.run(RECORD_INSERT, [seq, record.id, ...record.columns, supersedes ?? null, document]);
  db.run('INSERT INTO ledger_outbox (seq, created_at_ms) VALUES (?, ?)', [seq, record.atMs]);
  const entry = bindEntry(record.entry, seq, recordHash(document));
  return { seq, auditHead: appendEncoded(db, entry) };
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

function readUse(
  db: Database,
  lines: readonly ReservationLine[],
): (account: QuotaAccount) => AccountUse {
  const uses = new Map<string, AccountUse>();
  for (const { account } of lines) {
    const [row] = db.all(
      'SELECT posted, reserved FROM ledger_account WHERE subject = ? AND dimension = ? AND window_key = ?',
      [account.subject, account.dimension, account.windowKey],
    );
    uses.set(accountKey(account), useOfRow(row));
  }
  return (account) => {
    const use = uses.get(accountKey(account));
    assertInvariant(use !== undefined, 'every account of a command was read');
    return use;
  };
}

function useOfRow(row: Row | undefined): AccountUse {
  if (row === undefined) return { posted: 0n, reserved: 0n };
  return { posted: row['posted'] as bigint, reserved: row['reserved'] as bigint };
}

function writeChanges(
  db: Database,
  changes: readonly AccountChange[],
  useOf: (account: QuotaAccount) => AccountUse,
): void {
  for (const change of changes) {
    const { subject, dimension, windowKey } = change.account;
    const use = applyChange(useOf(change.account), change);
    db.run(ACCOUNT_UPSERT, [subject, dimension, windowKey, use.posted, use.reserved]);
  }
}
