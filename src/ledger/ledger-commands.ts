/**
 * Commands as a store executes them: checked, in canonical order, and encoded as far as they can be
 * outside the transaction, so that the one writer does as little as it can.
 */
import type { AuditEntry } from '../audit/audit-sink.ts';
import { encodeEntry } from '../audit/hash-chain.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant, InputError } from '../errors.ts';
import type { SqlValue, Statement } from '../store/store.ts';
import type { Hash, RunId } from '../system/ids.ts';
import { canonicalLines, UNITS_MAX } from './core.ts';
import type {
  CorrectCommand,
  MeteringRecord,
  QuotaAccount,
  RecordDraft,
  ReservationLine,
  ReserveCommand,
  SettleCommand,
} from './ledger-store.ts';
import { DIMENSIONS, encodePieces, type RecordPieces } from './record.ts';

export interface PreparedReserve {
  readonly requestKey: string;
  readonly bodyHash: Hash;
  readonly runId: RunId;
  readonly lines: readonly ReservationLine[];
  readonly encodedLines: string;
  readonly expiresAtMs: number;
  readonly alongside: readonly Statement[];
}

export interface PreparedRecord {
  readonly pieces: RecordPieces;
  /** Values of `id` … `currency` but for seq and supersedes, in the order of the columns. */
  readonly id: string;
  readonly atMs: number;
  readonly columns: readonly SqlValue[];
  readonly entry: string;
  /** The record that a correction takes the place of. */
  readonly supersedes: bigint | undefined;
}

export interface PreparedSettle {
  readonly runId: RunId;
  readonly outcome: SettleCommand['outcome'];
  readonly units: Readonly<Partial<Record<Dimension, Units>>>;
  readonly record: PreparedRecord;
  readonly alongside: readonly Statement[];
}

/** Columns of a record between `id` and `document`, in the order of `PreparedRecord.columns`. */
export const RECORD_COLUMNS = [
  'at_ms',
  'analyst',
  'contract_id',
  'run_id',
  'outcome',
  'bytes',
  'compute_milli_units',
  'micro_rho',
  'padded_items',
  'row_units',
  'runs',
  'charge_micros',
  'currency',
] as const;

/** @throws InvariantError where units are negative or a limit does not fit. */
export function prepareReserve(command: ReserveCommand): PreparedReserve {
  const { requestKey, bodyHash, runId, expiresAtMs, alongside } = command;
  const lines = canonicalLines(command.lines);
  return {
    requestKey,
    bodyHash,
    runId,
    lines,
    encodedLines: encodeLines(lines),
    expiresAtMs,
    alongside,
  };
}

/** @throws InvariantError where record and command do not say the same, or a failure costs something. */
export function prepareSettle(command: SettleCommand): PreparedSettle {
  const { runId, outcome, units, record, alongside } = command;
  assertInvariant(record.runId === runId, 'the record is of the run that it settles');
  assertInvariant(record.outcome === outcome, 'record and settlement have one outcome');
  if (outcome !== 'posted') assertFree(record);
  for (const dimension of DIMENSIONS) {
    assertInvariant(
      (units[dimension] ?? 0n) === 0n || units[dimension] === record.units[dimension],
      'the record states what is posted',
    );
  }
  return { runId, outcome, units, record: prepareRecord(record, command.audit), alongside };
}

/** @throws InvariantError where a refusal would cost something. */
export function prepareDenied(record: RecordDraft, audit: AuditEntry): PreparedRecord {
  assertInvariant(record.outcome === 'denied', 'only a refusal has a record without a reservation');
  assertFree(record);
  return prepareRecord(record, audit);
}

/**
 * @param original - the record that `command` corrects, if there is one.
 * @throws InputError `parameter-invalid`
 */
export function prepareCorrection(
  command: CorrectCommand,
  original: MeteringRecord | undefined,
): PreparedRecord {
  const { record, supersedes } = command;
  const same =
    original?.outcome === 'posted' &&
    record.outcome === 'posted' &&
    record.analyst === original.analyst &&
    record.contractId === original.contractId &&
    record.runId === original.runId &&
    record.currency === original.currency &&
    record.chargeMicros >= 0n;
  if (!same) {
    throw new InputError(
      'parameter-invalid',
      `Record ${supersedes} is not a posted record of the same analyst, contract, run and currency.`,
      { remedy: 'Correct a posted record; a charge may become zero, not negative.' },
    );
  }
  return prepareRecord(record, command.audit, supersedes);
}

/** Encodes a draft for its row. */
function prepareRecord(
  record: RecordDraft,
  audit: AuditEntry,
  supersedes?: bigint,
): PreparedRecord {
  const units = DIMENSIONS.map((dimension) => record.units[dimension] ?? 0n);
  for (const amount of units) {
    assertInvariant(amount >= 0n && amount <= UNITS_MAX, 'recorded units fit 63 bits');
  }
  return {
    pieces: encodePieces(record),
    id: record.id,
    atMs: record.atMs,
    columns: [
      record.atMs,
      record.analyst,
      record.contractId ?? null,
      record.runId ?? null,
      record.outcome,
      ...units,
      record.chargeMicros,
      record.currency,
    ],
    entry: encodeEntry(audit),
    supersedes,
  };
}

/** Lines as a reservation keeps them. */
export function encodeLines(lines: readonly ReservationLine[]): string {
  return JSON.stringify(
    lines.map(({ account, units }) => ({
      ...account,
      limit: String(account.limit),
      units: String(units),
    })),
  );
}

/** @throws InvariantError where the text is not what `encodeLines` wrote. */
export function decodeLines(text: string): readonly ReservationLine[] {
  const raw = JSON.parse(text) as readonly (Omit<QuotaAccount, 'limit'> & {
    limit: string;
    units: string;
  })[];
  return raw.map(({ units, limit, ...account }) => ({
    account: { ...account, resetsAtMs: account.resetsAtMs, limit: BigInt(limit) as Units },
    units: BigInt(units) as Units,
  }));
}

function assertFree(record: RecordDraft): void {
  assertInvariant(record.chargeMicros === 0n, 'what was not posted costs nothing');
  assertInvariant(
    Object.values(record.units).every((units) => units === 0n),
    'what was not posted counts nothing',
  );
}
