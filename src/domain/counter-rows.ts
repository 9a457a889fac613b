/** The tables behind the domain's counters, and their rows as typed values. */
import { z } from 'zod';
import { SignedSpendSchema } from '../contracts/spend.ts';
import type { SignedSpend, Spend } from '../contracts/spend.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Row, Statement, Store } from '../store/store.ts';
import { HashSchema, PartyIdSchema, RunIdSchema } from '../system/ids.ts';
import type { Hash } from '../system/ids.ts';
import type { SpendHead } from './anchor.ts';
import type { CountedRequest, CountedRuns, Gap } from './spend-rules.ts';

export const COUNTER_MIGRATIONS: MigrationList = {
  area: 'domain-counters',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE spend_head (
  id BIGINT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL, at_ms BIGINT NOT NULL,
  rolled_back TEXT);
CREATE TABLE spend (
  seq BIGINT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, hash TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE counted_request (
  request_hash TEXT NOT NULL PRIMARY KEY, contract_hash TEXT NOT NULL, nonce TEXT NOT NULL,
  run_id TEXT NOT NULL, attempt BIGINT NOT NULL, descriptor_hash TEXT NOT NULL,
  parties TEXT NOT NULL, status TEXT NOT NULL, UNIQUE (contract_hash, nonce));
CREATE TABLE counted_runs (
  contract_hash TEXT NOT NULL, time_window TEXT NOT NULL, window_key TEXT NOT NULL,
  runs BIGINT NOT NULL, PRIMARY KEY (contract_hash, time_window, window_key));
CREATE TABLE spend_gap (
  from_seq BIGINT NOT NULL PRIMARY KEY, to_seq BIGINT NOT NULL, runs BIGINT NOT NULL,
  accepted_at_ms BIGINT NOT NULL)`,
    },
  ],
};

/** The chain's head and whether the history is known to be rolled back, and why. */
export interface HeadRow extends SpendHead {
  readonly atMs: number;
  readonly rolledBack: string | undefined;
}

export async function readHead(store: Store): Promise<HeadRow | undefined> {
  const rows = await store.query(
    'SELECT seq, hash, at_ms, rolled_back FROM spend_head WHERE id = 1',
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    seq: Number(row['seq']),
    hash: HashSchema.parse(row['hash']),
    atMs: Number(row['at_ms']),
    rolledBack: row['rolled_back'] === null ? undefined : String(row['rolled_back']),
  };
}

/** Moves the head on; the batch fails where another writer moved it, or it is known as rolled back. */
export function advanceHead(from: SpendHead, to: SpendHead, atMs: number): Statement {
  return {
    sql: `UPDATE spend_head SET seq = ?, hash = ?, at_ms = ?
          WHERE id = 1 AND seq = ? AND hash = ? AND rolled_back IS NULL`,
    params: [to.seq, to.hash, atMs, from.seq, from.hash],
    expectChanges: 1,
  };
}

/** The hash of the statement or note with this number, where it is kept. */
export async function spendHashAt(store: Store, seq: number): Promise<Hash | undefined> {
  const row = (await store.query('SELECT hash FROM spend WHERE seq = ?', [seq]))[0];
  return row === undefined ? undefined : HashSchema.parse(row['hash']);
}

export async function readSpends(
  store: Store,
  afterSeq: number,
  most: number,
): Promise<readonly SignedSpend[]> {
  const sql = `SELECT document FROM spend WHERE kind = 'spend' AND seq > ? ORDER BY seq LIMIT ?`;
  const rows = await store.query(sql, [afterSeq, most]);
  return rows.map((row) => SignedSpendSchema.parse(JSON.parse(String(row['document']))));
}

export async function readGaps(
  store: Store,
): Promise<readonly (Gap & { readonly fromSeq: number; readonly toSeq: number })[]> {
  const rows = await store.query('SELECT from_seq, to_seq, runs, accepted_at_ms FROM spend_gap');
  return rows.map((row) => ({
    fromSeq: Number(row['from_seq']),
    toSeq: Number(row['to_seq']),
    runs: Number(row['runs']),
    acceptedAtMs: Number(row['accepted_at_ms']),
  }));
}

/** What is known of this request, or of another one with its nonce under the same contract. */
export async function readRequest(
  store: Store,
  requestHash: Hash,
  contractHash: Hash,
  nonce: string,
): Promise<CountedRequest | undefined> {
  const rows = await store.query(
    `SELECT request_hash, run_id, attempt, descriptor_hash, parties, status FROM counted_request
     WHERE request_hash = ? OR (contract_hash = ? AND nonce = ?)`,
    [requestHash, contractHash, nonce],
  );
  const row = rows[0];
  return row === undefined ? undefined : parseRequest(row);
}

/** Runs of a contract in all and in the named windows. */
export async function readRuns(
  store: Store,
  contractHash: Hash,
  windows: { readonly day: string; readonly month: string },
): Promise<CountedRuns> {
  const rows = await store.query(
    `SELECT time_window, runs FROM counted_runs WHERE contract_hash = ? AND window_key IN (?, ?, ?)`,
    [contractHash, 'all', windows.day, windows.month],
  );
  const of = (name: string): number =>
    Number(rows.find((row) => row['time_window'] === name)?.['runs'] ?? 0n);
  return { total: of('total'), day: of('day'), month: of('month') };
}

/** Everything that stands for one counted statement, besides the head. */
export function spendStatements(
  signed: SignedSpend,
  hash: Hash,
  isFirst: boolean,
): readonly Statement[] {
  const request = isFirst ? insertRequest(signed.spend, 'counted', '') : nextAttempt(signed.spend);
  return [{ ...request, expectChanges: 1 }, ...countStatements(signed, hash)];
}

/**
 * A statement that a witness gave back. Whether anything was sent under it is not known: then it
 * counts as sent, and its request never runs again.
 */
export function restoredStatements(signed: SignedSpend, hash: Hash): readonly Statement[] {
  const { contractHash, nonce } = signed.spend;
  return [
    insertRequest(signed.spend, 'sent', 'ON CONFLICT DO NOTHING'),
    {
      sql: `UPDATE counted_request SET status = 'sent' WHERE contract_hash = ? AND nonce = ?`,
      params: [contractHash, nonce],
    },
    ...countStatements(signed, hash),
  ];
}

/** An entry of the chain: a spend, or a note that takes a number like one. */
export function insertEntry(
  seq: number,
  kind: 'spend' | 'note',
  hash: Hash,
  document: string,
): Statement {
  return {
    sql: 'INSERT INTO spend (seq, kind, hash, document) VALUES (?, ?, ?, ?)',
    params: [seq, kind, hash, document],
  };
}

function countStatements(signed: SignedSpend, hash: Hash): readonly Statement[] {
  const { seq, contractHash, counted } = signed.spend;
  return [
    insertEntry(seq, 'spend', hash, JSON.stringify(signed)),
    runsStatement(contractHash, 'total', 'all', counted.total),
    runsStatement(contractHash, 'day', counted.day.key, counted.day.runs),
    runsStatement(contractHash, 'month', counted.month.key, counted.month.runs),
  ];
}

function nextAttempt(spend: Spend): Statement {
  const { attempt, descriptorHash, requestHash } = spend;
  return {
    sql: `UPDATE counted_request SET attempt = ?, descriptor_hash = ?, parties = ?
          WHERE request_hash = ? AND attempt < ? AND status = 'counted'`,
    params: [attempt, descriptorHash, JSON.stringify(spend.parties), requestHash, attempt],
  };
}

function insertRequest(
  spend: Spend,
  status: CountedRequest['status'],
  onConflict: '' | 'ON CONFLICT DO NOTHING',
): Statement {
  return {
    sql: `INSERT INTO counted_request
          (request_hash, contract_hash, nonce, run_id, attempt, descriptor_hash, parties, status)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?) ${onConflict}`,
    params: [
      spend.requestHash,
      spend.contractHash,
      spend.nonce,
      spend.runId,
      spend.attempt,
      spend.descriptorHash,
      JSON.stringify(spend.parties),
      status,
    ],
  };
}

/** A count only grows, whatever is written: the larger of what is there and what comes. */
function runsStatement(
  contractHash: Hash,
  window: string,
  windowKey: string,
  runs: number,
): Statement {
  return {
    sql: `INSERT INTO counted_runs (contract_hash, time_window, window_key, runs)
          VALUES (?, ?, ?, ?) ON CONFLICT (contract_hash, time_window, window_key)
          DO UPDATE SET runs = excluded.runs WHERE excluded.runs > counted_runs.runs`,
    params: [contractHash, window, windowKey, runs],
  };
}

function parseRequest(row: Row): CountedRequest {
  return {
    requestHash: HashSchema.parse(row['request_hash']),
    runId: RunIdSchema.parse(row['run_id']),
    attempt: Number(row['attempt']),
    descriptorHash: HashSchema.parse(row['descriptor_hash']),
    parties: z.array(PartyIdSchema).parse(JSON.parse(String(row['parties']))),
    status: row['status'] === 'sent' ? 'sent' : 'counted',
  };
}
