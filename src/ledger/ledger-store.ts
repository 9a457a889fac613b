/**
 * Seam: two-phase metering after TigerBeetle: reserve, then post (≤ reserved), void or expire.
 * One reservation covers a list of quota dimensions, all or none, in one transaction.
 */
import type { AuditEntry, AuditHead } from '../audit/audit-sink.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import type { Statement } from '../store/store.ts';
import type { ContractId, Hash, PartyId, RunId } from '../system/ids.ts';

/** A counter: what is limited, by which window. `windowKey` is `lifetime`, `2026-11` or `2026-11-21`. */
export interface QuotaAccount {
  readonly subject: string;
  readonly dimension: Dimension;
  readonly window: 'lifetime' | 'month' | 'day';
  readonly windowKey: string;
  readonly limit: Units;
  /** When the window ends, or undefined for `lifetime`. */
  readonly resetsAtMs: number | undefined;
}

export interface ReservationLine {
  readonly account: QuotaAccount;
  readonly units: Units;
}

export interface ReserveCommand {
  /** Analyst-scoped idempotency key: `<analyst>/<key>`. */
  readonly requestKey: string;
  /** Hash of the request's body: another body under the same key is a conflict. */
  readonly bodyHash: Hash;
  readonly runId: RunId;
  readonly lines: readonly ReservationLine[];
  readonly nowMs: number;
  /** The sweeper expires it after this time. */
  readonly expiresAtMs: number;
  /** Written in the same transaction (the run's row). */
  readonly alongside: readonly Statement[];
}

export type ReserveOutcome =
  | { readonly kind: 'reserved'; readonly runId: RunId }
  /** The same key and body came before; `runId` is that run's. */
  | { readonly kind: 'repeated'; readonly runId: RunId }
  | { readonly kind: 'conflict'; readonly runId: RunId }
  | {
      readonly kind: 'exceeded';
      readonly account: QuotaAccount;
      readonly left: Units;
    };

export type RecordOutcome = 'posted' | 'voided' | 'expired' | 'denied';

/**
 * What a billing system reads. `seq` is gapless per gateway store. A record is never edited; one
 * that a later record `supersedes` no longer counts towards sums.
 */
export interface MeteringRecord {
  readonly seq: bigint;
  readonly id: string;
  readonly atMs: number;
  readonly analyst: PartyId;
  readonly holders: readonly PartyId[];
  readonly contractId: ContractId | undefined;
  readonly runId: RunId | undefined;
  readonly protocol: string | undefined;
  readonly datasets: readonly { readonly name: string; readonly fingerprint: string | undefined }[];
  readonly outcome: RecordOutcome;
  /** The refusal's or failure's code, where there was one. */
  readonly code: string | undefined;
  readonly units: Readonly<Partial<Record<Dimension, Units>>>;
  /** Millionths of `currency`. */
  readonly chargeMicros: bigint;
  readonly currency: string;
  /** Units left by `dimension/window` after this record. */
  readonly quotaLeft: Readonly<Record<string, Units>>;
  readonly receiptHash: Hash | undefined;
  /** The record this one takes the place of: a late post after an expiry, or a correction. */
  readonly supersedes?: bigint | undefined;
}

export type RecordDraft = Omit<MeteringRecord, 'seq' | 'quotaLeft' | 'supersedes'>;

export interface SettleCommand {
  readonly runId: RunId;
  readonly nowMs: number;
  readonly outcome: 'posted' | 'voided' | 'expired';
  /** At most what was reserved, by dimension; what is absent is given back. Empty unless posted. */
  readonly units: Readonly<Partial<Record<Dimension, Units>>>;
  readonly record: RecordDraft;
  readonly audit: AuditEntry;
  /** Written in the same transaction: the run's state and its sealed result. */
  readonly alongside: readonly Statement[];
}

/** Where a record stands: what a receipt names. */
export interface Recorded {
  readonly seq: bigint;
  /** SHA-256 of the record's canonical JSON. */
  readonly recordHash: Hash;
  /** The audit chain with this record's entry as its last. */
  readonly auditHead: AuditHead;
}

/** A record that takes the place of another one: charge and units as they should have been. */
export interface CorrectCommand {
  readonly supersedes: bigint;
  /** Of the same analyst, contract, run, currency and outcome as the record it corrects. */
  readonly record: RecordDraft;
  readonly audit: AuditEntry;
}

export type SettleOutcome =
  | ({ readonly kind: 'settled' } & Recorded)
  /** Settled before, with this outcome: nothing was written. */
  | { readonly kind: 'already'; readonly outcome: RecordOutcome; readonly seq: bigint };

export interface LedgerStore {
  /**
   * Every command may be repeated after any error: it is keyed by request, run or record id.
   * @throws StoreConflict for `alongside`; InvariantError; CapacityError, after which the outcome is
   *   unknown until the command is repeated.
   */
  reserve(command: ReserveCommand): Promise<ReserveOutcome>;
  /** A post is late after its expiry was settled: see `core.ts` for what happens then. */
  settle(command: SettleCommand): Promise<SettleOutcome>;
  /** A call that never reserved still leaves one record. */
  recordDenied(record: RecordDraft, audit: AuditEntry): Promise<Recorded>;
  /**
   * Corrects a posted record by a new one; repeated with the same record id, it changes nothing.
   * What was counted against quotas stays counted, as what a domain has spent stays spent.
   * @throws StateError `already-exists` where another record supersedes it already; InputError
   *   `parameter-invalid` where there is no such posted record or the new one is of something else.
   */
  correct(command: CorrectCommand): Promise<Recorded>;
  /** Run ids whose reservation is pending past its expiry, oldest first. */
  overdue(nowMs: number, most: number): Promise<readonly RunId[]>;
  /** Units posted and held, in the order of `accounts`. */
  usage(accounts: readonly QuotaAccount[]): Promise<readonly Units[]>;
  /** Records with `seq` > `afterSeq`, in order. */
  records(afterSeq: bigint, most: number): Promise<readonly MeteringRecord[]>;
  auditHead(): Promise<AuditHead>;
  /** Lets go of the ledger; the store stays open for whoever opened it. */
  close(): Promise<void>;
}
