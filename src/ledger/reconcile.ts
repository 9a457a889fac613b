/**
 * Proves that metering records, audit entries and receipts agree one to one, and names the first
 * that does not. Reads everything, in the order of the records, with memory that does not grow.
 */
import { readEntries } from '../audit/chain-table.ts';
import { leafHash, GENESIS_HASH, type StoredEntry } from '../audit/hash-chain.ts';
import type { AuditHead } from '../audit/audit-sink.ts';
import type { Row, Store } from '../store/store.ts';
import type { Hash, RunId } from '../system/ids.ts';
import { RECORD_COLUMNS } from './ledger-commands.ts';
import { readRecord } from './ledger-reads.ts';
import type { MeteringRecord } from './ledger-store.ts';
import { DIMENSIONS, encodeRecord, parseRecord, recordHash } from './record.ts';

/** What a receipt says of its record; the caller has verified its signatures. */
export interface ReceiptFacts {
  readonly runId: RunId;
  readonly recordSeq: bigint;
  readonly recordHash: Hash;
  /** The audit head it was signed with: any that has the record's entry in it. */
  readonly audit: AuditHead;
  readonly chargeMicros: bigint;
  readonly currency: string;
}

/** A receipt that cannot be relied on, and why: reconciliation ends by naming it. */
export interface FaultyReceipt {
  readonly recordSeq: bigint;
  readonly fault: string;
}

export interface ReconcileOptions {
  readonly store: Store;
  /** In the order of their records; left out, receipts are not compared. */
  readonly receipts?: AsyncIterable<ReceiptFacts | FaultyReceipt>;
  /** The time, where the gateway may be at work: left out, every posted run must have its receipt. */
  readonly nowMs?: number;
  /** A head seen elsewhere (a receipt, a domain): without one, a chain cut at its end looks sound. */
  readonly witnessed?: AuditHead;
}

export type Reconciliation =
  | {
      readonly ok: true;
      readonly records: bigint;
      readonly entries: bigint;
      readonly receipts: bigint;
      /** Runs that ended a moment ago, whose receipts are still being made. */
      readonly due: bigint;
      readonly head: AuditHead;
    }
  | {
      readonly ok: false;
      /** What kind of thing is wrong first, and its number: the record's, or the entry's place. */
      readonly kind: 'record' | 'entry' | 'receipt';
      readonly at: bigint;
      readonly reason: string;
    };

const PAGE_RECORDS = 500;
/** A receipt is made right after its record; a gateway that cannot is given so long. */
export const RECEIPT_DUE_MS = 60_000;

/** A disagreement found on the way; becomes the answer. */
class Disagreement extends Error {
  readonly kind: 'record' | 'entry' | 'receipt';
  readonly at: bigint;
  constructor(kind: 'record' | 'entry' | 'receipt', at: bigint, reason: string) {
    super(reason);
    this.kind = kind;
    this.at = at;
  }
}

/** @throws CapacityError where the store cannot be read; what it finds wrong is an answer, no error. */
export async function reconcile(options: ReconcileOptions): Promise<Reconciliation> {
  const bounds = await readBounds(options.store);
  const records = readDocuments(options.store, bounds.lastSeq)[Symbol.asyncIterator]();
  const receipts = options.receipts?.[Symbol.asyncIterator]();
  const counts = { records: 0n, entries: 0n, receipts: 0n, due: 0n };
  let head: AuditHead = { size: 0n, hash: GENESIS_HASH };
  try {
    let receipt = await receipts?.next();
    const heads = new HeadsToMeet();
    for await (const entry of readEntries(options.store)) {
      if (entry.index > bounds.lastEntry) break;
      head = follow(head, entry, options.witnessed);
      counts.entries += 1n;
      heads.meet(head);
      const bound = boundRecord(entry);
      if (bound === undefined) continue;
      const next = await records.next();
      const record = matchRecord(
        next.done === true ? undefined : next.value,
        bound,
        counts.records + 1n,
      );
      counts.records += 1n;
      await requireOnce(options.store, record);
      // A run that posted has a receipt; one that was signed for another outcome is compared too.
      if (receipt === undefined) continue;
      const facts = receipt.done === true ? undefined : sound(receipt.value);
      if (facts?.recordSeq === record.seq) {
        matchReceipt(facts, record, bound.hash);
        heads.expect(facts, head);
        counts.receipts += 1n;
        receipt = await receipts?.next();
      } else if (record.outcome === 'posted' && !(await corrects(options.store, record))) {
        if (!isYoung(record, options.nowMs)) {
          throw new Disagreement('receipt', record.seq, `record ${record.seq} has no receipt`);
        }
        counts.due += 1n;
      }
    }
    await nothingLeft(records, receipt, bounds.lastSeq);
    await heads.meetLater(options.store);
    checkWitness(head, options.witnessed);
    return { ok: true, ...counts, head };
  } catch (error) {
    if (!(error instanceof Disagreement)) throw error;
    return { ok: false, kind: error.kind, at: error.at, reason: error.message };
  }
}

function follow(head: AuditHead, entry: StoredEntry, witnessed: AuditHead | undefined): AuditHead {
  const { index, hash } = entry;
  if (index !== head.size)
    throw new Disagreement('entry', head.size, `entry ${head.size} is missing`);
  if (leafHash(head.hash, index, entry.entry) !== hash) {
    throw new Disagreement(
      'entry',
      index,
      `entry ${index} does not have the hash it is stored with`,
    );
  }
  const next: AuditHead = { size: index + 1n, hash };
  if (witnessed?.size === next.size && witnessed.hash !== hash) {
    throw new Disagreement(
      'entry',
      index,
      `the chain up to entry ${index} is not the witnessed one`,
    );
  }
  return next;
}

function checkWitness(head: AuditHead, witnessed: AuditHead | undefined): void {
  if (witnessed !== undefined && witnessed.size > head.size) {
    throw new Disagreement('entry', head.size, `entry ${head.size} is missing`);
  }
}

/** The record an entry is bound to, where it is one of a record. */
function boundRecord({ entry, index }: StoredEntry): { seq: bigint; hash: Hash } | undefined {
  const content = parseJson(entry, 'entry', index);
  if (content['record'] === undefined) return undefined;
  const record = content['record'] as Readonly<Record<string, unknown>> | null;
  const [seq, hash] = [record?.['seq'], record?.['hash']];
  if (typeof seq !== 'string' || !/^\d{1,19}$/.test(seq) || typeof hash !== 'string') {
    throw new Disagreement('entry', index, `entry ${index} does not say which record it is of`);
  }
  return { seq: BigInt(seq), hash: hash as Hash };
}

function matchRecord(
  row: Row | undefined,
  bound: { readonly seq: bigint; readonly hash: Hash },
  seq: bigint,
): MeteringRecord {
  const wrong = (reason: string): Disagreement => new Disagreement('record', seq, reason);
  if (row === undefined || row['seq'] !== seq) throw wrong(`record ${seq} is missing`);
  const document = String(row['document']);
  if (bound.seq !== seq || bound.hash !== recordHash(document)) {
    throw wrong(`record ${seq} is not the one its audit entry is of`);
  }
  parseJson(document, 'record', seq);
  const record = canonicalRecord(document);
  if (record?.seq !== seq) throw wrong(`record ${seq} is not in its canonical form`);
  const columns = columnsOf(record);
  for (const name of ['id', 'supersedes', ...RECORD_COLUMNS]) {
    if ((row[name] ?? null) !== columns[name]) {
      throw wrong(`the column ${name} of record ${seq} does not say what the record says`);
    }
  }
  return record;
}

/** A record in its one form, or undefined: two texts of one record would have two hashes. */
function canonicalRecord(document: string): MeteringRecord | undefined {
  try {
    const record = parseRecord(document);
    return encodeRecord(record) === document ? record : undefined;
  } catch {
    // A member is missing, or of another type.
    return undefined;
  }
}

function columnsOf(record: MeteringRecord): Readonly<Record<string, Row[string]>> {
  const columns: Record<string, Row[string]> = {
    id: record.id,
    supersedes: record.supersedes ?? null,
    at_ms: BigInt(record.atMs),
    analyst: record.analyst,
    contract_id: record.contractId ?? null,
    run_id: record.runId ?? null,
    outcome: record.outcome,
    charge_micros: record.chargeMicros,
    currency: record.currency,
  };
  const names = RECORD_COLUMNS.slice(RECORD_COLUMNS.indexOf('bytes'));
  for (const [at, dimension] of DIMENSIONS.entries()) {
    columns[names[at] ?? ''] = record.units[dimension] ?? 0n;
  }
  return columns;
}

function sound(receipt: ReceiptFacts | FaultyReceipt): ReceiptFacts {
  if (!('fault' in receipt)) return receipt;
  const { recordSeq, fault } = receipt;
  throw new Disagreement('receipt', recordSeq, `the receipt of record ${recordSeq} ${fault}`);
}

function matchReceipt(facts: ReceiptFacts, record: MeteringRecord, hash: Hash): void {
  const agrees =
    facts.runId === record.runId &&
    facts.recordHash === hash &&
    facts.chargeMicros === record.chargeMicros &&
    facts.currency === record.currency;
  if (!agrees) {
    throw new Disagreement(
      'receipt',
      record.seq,
      `the receipt of record ${record.seq} says something else`,
    );
  }
}

/** Audit heads that receipts name and that the chain has not come to yet: as many as runs overlap. */
class HeadsToMeet {
  readonly #bySize = new Map<bigint, ReceiptFacts[]>();

  /** @param head - the chain with the record's own entry as its last. */
  expect(facts: ReceiptFacts, head: AuditHead): void {
    const { size, hash } = facts.audit;
    if (size < head.size) throw otherLog(facts);
    if (size === head.size) {
      if (hash !== head.hash) throw otherLog(facts);
      return;
    }
    this.#bySize.set(size, [...(this.#bySize.get(size) ?? []), facts]);
  }

  meet(head: AuditHead): void {
    for (const facts of this.#bySize.get(head.size) ?? []) {
      if (facts.audit.hash !== head.hash) throw otherLog(facts);
    }
    this.#bySize.delete(head.size);
  }

  /** Heads beyond what was read: of entries that came meanwhile, or of none. */
  async meetLater(store: Store): Promise<void> {
    for (const [size, all] of this.#bySize) {
      const [row] = await store.query('SELECT hash FROM audit_entry WHERE position = ?', [
        size - 1n,
      ]);
      for (const facts of all) {
        if (row?.['hash'] !== facts.audit.hash) throw otherLog(facts);
      }
    }
  }
}

function otherLog({ recordSeq }: ReceiptFacts): Disagreement {
  return new Disagreement(
    'receipt',
    recordSeq,
    `the receipt of record ${recordSeq} names another audit log`,
  );
}

function isYoung({ atMs }: MeteringRecord, nowMs: number | undefined): boolean {
  return nowMs !== undefined && nowMs < atMs + RECEIPT_DUE_MS;
}

/** A correction has its audit entry and no receipt; a late post supersedes an expiry and has one. */
async function corrects(store: Store, record: MeteringRecord): Promise<boolean> {
  if (record.supersedes === undefined) return false;
  return (await readRecord(store, record.supersedes))?.outcome === 'posted';
}

/** Were a record superseded twice, every bill would take its charge off twice. */
async function requireOnce(store: Store, { seq, supersedes }: MeteringRecord): Promise<void> {
  if (supersedes === undefined) return;
  const [row] = await store.query(
    'SELECT min(seq) AS first FROM ledger_record WHERE supersedes = ?',
    [supersedes],
  );
  const first = row?.['first'];
  if (first === seq) return;
  throw new Disagreement(
    'record',
    seq,
    `record ${seq} takes the place of record ${supersedes}, as record ${String(first)} does already`,
  );
}

async function nothingLeft(
  records: AsyncIterator<Row>,
  receipt: IteratorResult<ReceiptFacts | FaultyReceipt> | undefined,
  lastSeq: bigint,
): Promise<void> {
  const more = await records.next();
  if (more.done !== true) {
    const seq = more.value['seq'] as bigint;
    throw new Disagreement('record', seq, `record ${seq} has no audit entry`);
  }
  // A receipt beyond is of a record that came while this was reading.
  if (receipt !== undefined && receipt.done !== true && receipt.value.recordSeq <= lastSeq) {
    const { recordSeq } = receipt.value;
    throw new Disagreement(
      'receipt',
      recordSeq,
      `a receipt names record ${recordSeq}, which is not its`,
    );
  }
}

/** Where record and chain end now, read together: what is written meanwhile is left for next time. */
async function readBounds(store: Store): Promise<{ lastSeq: bigint; lastEntry: bigint }> {
  const [row] = await store.query(
    `SELECT (SELECT max(seq) FROM ledger_record) AS last_seq,
     (SELECT max(position) FROM audit_entry) AS last_entry`,
  );
  const lastSeq = (row?.['last_seq'] as bigint | null | undefined) ?? 0n;
  return { lastSeq, lastEntry: (row?.['last_entry'] as bigint | null | undefined) ?? -1n };
}

async function* readDocuments(store: Store, lastSeq: bigint): AsyncGenerator<Row> {
  for (let after = 0n; ; ) {
    const rows = await store.query(
      'SELECT * FROM ledger_record WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?',
      [after, lastSeq, PAGE_RECORDS],
    );
    for (const row of rows) {
      yield row;
      after = row['seq'] as bigint;
    }
    if (rows.length < PAGE_RECORDS) return;
  }
}

function parseJson(
  text: string,
  kind: 'record' | 'entry',
  at: bigint,
): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Falls through: it is no JSON.
  }
  throw new Disagreement(kind, at, `${kind} ${at} is no JSON object`);
}
