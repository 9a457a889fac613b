/** What is read from a ledger; the same SQL on both stores. */
import { StateError } from '../errors.ts';
import type { Units } from '../contracts/units.ts';
import type { Store } from '../store/store.ts';
import type { RunId } from '../system/ids.ts';
import { accountKey } from './core.ts';
import type { MeteringRecord, QuotaAccount } from './ledger-store.ts';
import { parseRecord } from './record.ts';

/** Records, run ids or accounts one call may ask for. */
export const READ_MAX = 10_000;

/** Run ids whose reservation is pending past its expiry, oldest first. */
export async function readOverdue(
  store: Store,
  nowMs: number,
  most: number,
): Promise<readonly RunId[]> {
  const rows = await store.query(
    `SELECT run_id FROM ledger_reservation WHERE state = 'pending' AND expires_at_ms <= ?
     ORDER BY expires_at_ms, run_id LIMIT ?`,
    [nowMs, Math.min(most, READ_MAX)],
  );
  return rows.map((row) => String(row['run_id']) as RunId);
}

/** Units posted and held, in the order of `accounts`. */
export async function readUsage(
  store: Store,
  accounts: readonly QuotaAccount[],
): Promise<readonly Units[]> {
  const used = new Map<string, Units>();
  const read = async (account: QuotaAccount): Promise<void> => {
    const { subject, dimension, windowKey } = account;
    const [row] = await store.query(
      `SELECT posted + reserved AS used FROM ledger_account
       WHERE subject = ? AND dimension = ? AND window_key = ?`,
      [subject, dimension, windowKey],
    );
    used.set(accountKey(account), BigInt((row?.['used'] as bigint | undefined) ?? 0n) as Units);
  };
  await Promise.all(accounts.slice(0, READ_MAX).map(read));
  return accounts.map((account) => used.get(accountKey(account)) ?? (0n as Units));
}

/** Records with `seq` > `afterSeq`, in order, at most `most`. */
export async function readRecords(
  store: Store,
  afterSeq: bigint,
  most: number,
): Promise<readonly MeteringRecord[]> {
  const rows = await store.query(
    'SELECT document FROM ledger_record WHERE seq > ? ORDER BY seq LIMIT ?',
    [afterSeq, Math.min(most, READ_MAX)],
  );
  return rows.map((row) => parseRecord(String(row['document'])));
}

/**
 * The record a run was settled with: a late post's, where it superseded an expiry's; the original,
 * where a correction superseded it, since that is what the receipt names.
 */
export async function readRecordOfRun(
  store: Store,
  runId: RunId,
): Promise<MeteringRecord | undefined> {
  const [row] = await store.query(
    `SELECT document FROM ledger_reservation JOIN ledger_record USING (seq)
     WHERE ledger_reservation.run_id = ?`,
    [runId],
  );
  return row === undefined ? undefined : parseRecord(String(row['document']));
}

/** One record, or undefined where there is none of that number. */
export async function readRecord(store: Store, seq: bigint): Promise<MeteringRecord | undefined> {
  const [record] = await readRecords(store, seq - 1n, 1);
  return record?.seq === seq ? record : undefined;
}

/** What a second correction of one record is told. */
export function alreadyCorrected(): StateError {
  return new StateError('already-exists', 'Another record takes the place of this one already.', {
    remedy: 'Correct the latest record instead.',
  });
}
