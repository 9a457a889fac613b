/** The `runs` table: one row a run, written only together with the ledger entry it belongs to. */
import { z } from 'zod';
import { type Descriptor, DescriptorSchema } from '../contracts/descriptor.ts';
import { type SignedRequest, SignedRequestSchema } from '../contracts/request.ts';
import { type SignedSpend, SignedSpendSchema } from '../contracts/spend.ts';
import { assertInvariant, errorOfCode, type WeirError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Row, Statement, Store } from '../store/store.ts';
import type { ContractId, Hash, PartyId, RunId } from '../system/ids.ts';
import { RUN_STATES, type RunState, TERMINAL_STATES } from './run-events.ts';

/** Schema of this area; amounts and times are integers (milliseconds since the epoch). */
export const RUN_MIGRATIONS: MigrationList = {
  area: 'runs',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE runs (
     run_id TEXT PRIMARY KEY,
     instance TEXT NOT NULL,
     request_key TEXT NOT NULL UNIQUE,
     body_hash TEXT NOT NULL,
     analyst TEXT NOT NULL,
     contract_id TEXT NOT NULL,
     contract_hash TEXT NOT NULL,
     protocol TEXT NOT NULL,
     request_hash TEXT NOT NULL,
     request_json TEXT NOT NULL,
     state TEXT NOT NULL,
     attempt BIGINT NOT NULL,
     code TEXT,
     note TEXT NOT NULL,
     descriptor_hash TEXT,
     descriptor_json TEXT,
     spends_json TEXT,
     sealed_result TEXT,
     receipt_json TEXT,
     record_seq BIGINT,
     created_ms BIGINT NOT NULL,
     updated_ms BIGINT NOT NULL,
     result_expires_ms BIGINT
   );
   CREATE INDEX runs_by_state ON runs (state);
   CREATE INDEX runs_by_analyst ON runs (analyst, created_ms);
   CREATE INDEX runs_by_record ON runs (record_seq)`,
    },
    {
      number: 2,
      // A result may have hundreds of megabytes, and lies before these columns in its row: to look
      // at each row every few seconds would read every result.
      sql: `CREATE INDEX runs_by_result_expiry ON runs (result_expires_ms)
     WHERE sealed_result IS NOT NULL;
   CREATE INDEX runs_without_receipt ON runs (created_ms) WHERE receipt_json IS NULL`,
    },
    {
      number: 3,
      sql: `ALTER TABLE runs ADD COLUMN release_until_ms BIGINT;
   CREATE TABLE run_release (
     run_id TEXT NOT NULL,
     party TEXT NOT NULL,
     document TEXT NOT NULL,
     PRIMARY KEY (run_id, party)
   )`,
    },
    {
      number: 4,
      // Looked at several times a second: an index of the few runs that were to end.
      sql: `ALTER TABLE runs ADD COLUMN stop_code TEXT;
   ALTER TABLE runs ADD COLUMN stop_note TEXT;
   CREATE INDEX runs_to_stop ON runs (instance, state) WHERE stop_code IS NOT NULL`,
    },
  ],
};

export interface RunRow {
  readonly runId: RunId;
  /** The gateway process that is at work on it, or was. */
  readonly instance: string;
  readonly requestKey: string;
  readonly bodyHash: Hash;
  readonly analyst: PartyId;
  readonly contractId: ContractId;
  readonly contractHash: Hash;
  readonly protocol: string;
  readonly requestHash: Hash;
  readonly request: SignedRequest;
  readonly state: RunState;
  readonly attempt: number;
  readonly code: string | undefined;
  readonly note: string;
  readonly descriptorHash: Hash | undefined;
  readonly descriptor: Descriptor | undefined;
  /** Of a run whose result waits for officers: until when they may decide. */
  readonly releaseUntilMs: number | undefined;
  /** The descriptor's parties, in its order; empty before they agreed. */
  readonly parties: readonly PartyId[];
  /** The domains' signed counts of this run. */
  readonly spends: readonly SignedSpend[];
  /** Why it is to end, where that was asked of another process than the one at work on it. */
  readonly stop: WeirError | undefined;
  readonly receiptJson: string | undefined;
  readonly recordSeq: bigint | undefined;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly resultExpiresMs: number | undefined;
}

export type NewRun = Pick<
  RunRow,
  | 'runId'
  | 'instance'
  | 'requestKey'
  | 'bodyHash'
  | 'analyst'
  | 'contractId'
  | 'contractHash'
  | 'protocol'
  | 'requestHash'
  | 'request'
  | 'createdMs'
>;

const LIVE = RUN_STATES.filter((state) => !TERMINAL_STATES.includes(state));
/** States of a run that has not ended, for a condition in SQL. */
export const LIVE_SQL: string = LIVE.map((state) => `'${state}'`).join(', ');
/** Most rows one listing reads. */
export const RUNS_LISTED_MAX = 1000;

/** Goes with the reservation, so that no reserved run lacks its row and no row its reservation. */
export function insertRun(run: NewRun): Statement {
  return {
    sql: `INSERT INTO runs (run_id, instance, request_key, body_hash, analyst, contract_id, contract_hash,
            protocol, request_hash, request_json, state, attempt, note, created_ms, updated_ms)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'reserved', 1, ?, ?, ?)`,
    params: [
      run.runId,
      run.instance,
      run.requestKey,
      run.bodyHash,
      run.analyst,
      run.contractId,
      run.contractHash,
      run.protocol,
      run.requestHash,
      JSON.stringify(run.request),
      'Quota is reserved.',
      run.createdMs,
      run.createdMs,
    ],
    expectChanges: 1,
  };
}

/** Marks progress of a live run; what is not given stays as it was. */
export function advanceRun(
  runId: RunId,
  progress: {
    readonly state: RunState;
    readonly attempt: number;
    readonly note: string;
    readonly descriptor?: { readonly document: Descriptor; readonly hash: Hash };
    readonly spends?: readonly SignedSpend[];
    readonly releaseUntilMs?: number;
  },
  nowMs: number,
): Statement {
  const { state, attempt, note, descriptor, spends, releaseUntilMs } = progress;
  assertInvariant(!TERMINAL_STATES.includes(state), 'a run ends by its settlement only');
  return {
    sql: `UPDATE runs SET state = ?, attempt = ?, note = ?, updated_ms = ?,
            descriptor_hash = COALESCE(?, descriptor_hash),
            descriptor_json = COALESCE(?, descriptor_json), spends_json = COALESCE(?, spends_json),
            release_until_ms = COALESCE(?, release_until_ms)
          WHERE run_id = ? AND state IN (${LIVE_SQL})`,
    params: [
      state,
      attempt,
      note,
      nowMs,
      descriptor?.hash ?? null,
      descriptor === undefined ? null : JSON.stringify(descriptor.document),
      spends === undefined ? null : JSON.stringify(spends),
      releaseUntilMs ?? null,
      runId,
    ],
    expectChanges: 1,
  };
}

/**
 * Ends a live run; goes with its settlement, and fails it where the run has ended already. A post
 * may come after the expiry, where the ledger could reserve anew: the receipt that was made of the
 * expiry goes, and another is made.
 */
export function endRun(end: {
  readonly runId: RunId;
  readonly state: RunState;
  readonly code: string | undefined;
  readonly note: string;
  readonly nowMs: number;
  readonly sealedResult?: string;
  readonly resultExpiresMs?: number;
}): Statement {
  assertInvariant(TERMINAL_STATES.includes(end.state), 'a run ends in a terminal state');
  return {
    sql: `UPDATE runs SET state = ?, code = ?, note = ?, updated_ms = ?, sealed_result = ?,
            result_expires_ms = ?, receipt_json = NULL, record_seq = NULL
          WHERE run_id = ? AND state IN (${end.state === 'posted' || end.state === 'refused' ? `${LIVE_SQL}, 'expired'` : LIVE_SQL})`,
    params: [
      end.state,
      end.code ?? null,
      end.note,
      end.nowMs,
      end.sealedResult ?? null,
      end.resultExpiresMs ?? null,
      end.runId,
    ],
    expectChanges: 1,
  };
}

/** Attaches the signed receipt; written once, and a conflict where another process was first. */
export function attachReceipt(runId: RunId, receiptJson: string, recordSeq: bigint): Statement {
  return {
    sql: `UPDATE runs SET receipt_json = ?, record_seq = ? WHERE run_id = ? AND receipt_json IS NULL`,
    params: [receiptJson, recordSeq, runId],
    expectChanges: 1,
  };
}

/** Replaces a receipt by the same one, of the same record, with more countersignatures. */
export function replaceReceipt(runId: RunId, receiptJson: string, recordSeq: bigint): Statement {
  return {
    sql: `UPDATE runs SET receipt_json = ?
          WHERE run_id = ? AND record_seq = ? AND receipt_json IS NOT NULL`,
    params: [receiptJson, runId, recordSeq],
    expectChanges: 1,
  };
}

/** Drops sealed results past their retention; the receipt stays. */
export function dropExpiredResults(nowMs: number): Statement {
  return {
    sql: 'UPDATE runs SET sealed_result = NULL WHERE result_expires_ms < ? AND sealed_result IS NOT NULL',
    params: [nowMs],
  };
}

/** Everything of a run but its result, which nobody reads who only looks how it stands. */
export async function readRun(store: Store, runId: RunId): Promise<RunRow | undefined> {
  const [row] = await store.query(`SELECT ${COLUMNS} FROM runs WHERE run_id = ?`, [runId]);
  return row === undefined ? undefined : parseRow(row);
}

/** The sealed result, until its retention ends. */
export async function readSealedResult(store: Store, runId: RunId): Promise<string | undefined> {
  const [row] = await store.query('SELECT sealed_result FROM runs WHERE run_id = ?', [runId]);
  const text = row?.['sealed_result'];
  return typeof text === 'string' ? text : undefined;
}

export async function readRunByKey(store: Store, requestKey: string): Promise<RunRow | undefined> {
  const [row] = await store.query(`SELECT ${COLUMNS} FROM runs WHERE request_key = ?`, [
    requestKey,
  ]);
  return row === undefined ? undefined : parseRow(row);
}

/**
 * Runs a crash of this gateway left without an end, and ended ones it left without a receipt; not those
 * whose results wait for officers, which no crash ends.
 */
export async function readUnfinished(store: Store, instance: string): Promise<readonly RunRow[]> {
  const rows = await store.query(
    `SELECT ${COLUMNS} FROM runs WHERE instance = ?
        AND (state IN (${LIVE_SQL}) OR receipt_json IS NULL) AND state <> 'awaiting-release'
      ORDER BY created_ms LIMIT ${RUNS_LISTED_MAX}`,
    [instance],
  );
  return rows.map(parseRow);
}

/** Receipts as they stand, in the order of their records; in pages, so that memory stays flat. */
export async function* readReceipts(
  store: Store,
): AsyncGenerator<{ readonly recordSeq: bigint; readonly json: string }> {
  for (let after = 0n; ; ) {
    const rows = await store.query(
      `SELECT receipt_json, record_seq FROM runs WHERE receipt_json IS NOT NULL AND record_seq > ?
       ORDER BY record_seq LIMIT ${RUNS_LISTED_MAX}`,
      [after],
    );
    for (const row of rows) {
      after = BigInt(row['record_seq'] as bigint);
      yield { recordSeq: after, json: String(row['receipt_json']) };
    }
    if (rows.length < RUNS_LISTED_MAX) return;
  }
}

const SpendsSchema = z.array(SignedSpendSchema);
const Text = z.string();
const OptionalText = z.string().nullable();
const Count = z.union([z.number(), z.bigint()]).nullable();
const RowSchema = z.object({
  run_id: Text,
  instance: Text,
  request_key: Text,
  body_hash: Text,
  analyst: Text,
  contract_id: Text,
  contract_hash: Text,
  protocol: Text,
  request_hash: Text,
  request_json: Text,
  state: z.enum(RUN_STATES),
  attempt: Count,
  code: OptionalText,
  note: Text,
  descriptor_hash: OptionalText,
  descriptor_json: OptionalText,
  spends_json: OptionalText,
  stop_code: OptionalText,
  stop_note: OptionalText,
  release_until_ms: Count,
  receipt_json: OptionalText,
  record_seq: Count,
  created_ms: Count,
  updated_ms: Count,
  result_expires_ms: Count,
});

const COLUMNS = Object.keys(RowSchema.shape).join(', ');

/** Our own rows: the brands were checked when they were written. */
function parseRow(raw: Row): RunRow {
  const row = RowSchema.parse(raw);
  const descriptor =
    row.descriptor_json === null
      ? undefined
      : DescriptorSchema.parse(JSON.parse(row.descriptor_json));
  return {
    runId: row.run_id as RunId,
    instance: row.instance,
    requestKey: row.request_key,
    bodyHash: row.body_hash as Hash,
    analyst: row.analyst as PartyId,
    contractId: row.contract_id as ContractId,
    contractHash: row.contract_hash as Hash,
    protocol: row.protocol,
    requestHash: row.request_hash as Hash,
    request: SignedRequestSchema.parse(JSON.parse(row.request_json)),
    state: row.state,
    attempt: Number(row.attempt),
    code: row.code ?? undefined,
    note: row.note,
    descriptorHash: (row.descriptor_hash ?? undefined) as Hash | undefined,
    descriptor,
    releaseUntilMs: row.release_until_ms === null ? undefined : Number(row.release_until_ms),
    parties: descriptor?.parties.map((party) => party.id) ?? [],
    spends: SpendsSchema.parse(row.spends_json === null ? [] : JSON.parse(row.spends_json)),
    stop: row.stop_code === null ? undefined : errorOfCode(row.stop_code, row.stop_note ?? ''),
    receiptJson: row.receipt_json ?? undefined,
    recordSeq: row.record_seq === null ? undefined : BigInt(row.record_seq),
    createdMs: Number(row.created_ms),
    updatedMs: Number(row.updated_ms),
    resultExpiresMs: row.result_expires_ms === null ? undefined : Number(row.result_expires_ms),
  };
}
