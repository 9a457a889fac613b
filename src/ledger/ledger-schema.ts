/** The ledger's tables. */
import type { MigrationList } from '../store/migrations.ts';
import { LEDGER_FUNCTIONS, SETTLE_WITHOUT_OUTBOX } from './postgres-functions.ts';

/** 64-bit keys: SQLite's alias of the row number, and PostgreSQL's word for it. */
const tables = (key: string, suffix: string): string => `
CREATE TABLE ledger_account (
  subject TEXT NOT NULL, dimension TEXT NOT NULL, window_key TEXT NOT NULL,
  posted BIGINT NOT NULL CHECK (posted >= 0), reserved BIGINT NOT NULL CHECK (reserved >= 0),
  PRIMARY KEY (subject, dimension, window_key))${suffix};
CREATE TABLE ledger_reservation (
  request_key TEXT PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, body_hash TEXT NOT NULL,
  state TEXT NOT NULL, lines TEXT NOT NULL, expires_at_ms BIGINT NOT NULL, seq BIGINT);
CREATE INDEX ledger_overdue ON ledger_reservation (expires_at_ms, run_id) WHERE state = 'pending';
CREATE TABLE ledger_record (
  seq ${key} PRIMARY KEY, id TEXT NOT NULL UNIQUE, at_ms BIGINT NOT NULL, analyst TEXT NOT NULL,
  contract_id TEXT, run_id TEXT, outcome TEXT NOT NULL, supersedes BIGINT,
  bytes BIGINT NOT NULL, compute_milli_units BIGINT NOT NULL, micro_rho BIGINT NOT NULL,
  padded_items BIGINT NOT NULL, row_units BIGINT NOT NULL, runs BIGINT NOT NULL,
  charge_micros BIGINT NOT NULL, currency TEXT NOT NULL, document TEXT NOT NULL);
CREATE UNIQUE INDEX ledger_record_superseded ON ledger_record (supersedes) WHERE supersedes IS NOT NULL;
CREATE INDEX ledger_record_time ON ledger_record (at_ms);
CREATE TABLE ledger_outbox (seq ${key} PRIMARY KEY, created_at_ms BIGINT NOT NULL)`;

/**
 * How far webhooks have taken up records: the number of the last one. It stands for an outbox: records
 * are numbered and committed in one order, so what lies behind the number is what is still to be told,
 * and a settlement need not write that down in a row of its own, which the fan-out would delete.
 */
const TOLD = `
CREATE TABLE ledger_told (only_one BIGINT PRIMARY KEY CHECK (only_one = 1), seq BIGINT NOT NULL);
INSERT INTO ledger_told (only_one, seq) SELECT 1,
  coalesce((SELECT min(seq) - 1 FROM ledger_outbox), (SELECT max(seq) FROM ledger_record), 0);
DROP TABLE ledger_outbox`;

/**
 * `ledger_record.document` is the record, in canonical JSON; the columns beside it exist for sums
 * and look-ups, and `reconcile` proves that they agree with it.
 */
export const LEDGER_MIGRATIONS: MigrationList = {
  area: 'ledger',
  migrations: [
    {
      number: 1,
      sql: tables('INTEGER', ' WITHOUT ROWID'),
      postgres: `${tables('BIGINT', '')};${LEDGER_FUNCTIONS}`,
    },
    { number: 2, sql: TOLD, postgres: `${TOLD};${SETTLE_WITHOUT_OUTBOX}` },
  ],
};
