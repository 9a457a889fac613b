/**
 * A month's statement for one analyst: what its posted records come to, contract by contract. A
 * record that takes the place of another counts as the difference, in the month it was written: a
 * statement once drawn never changes, and the sum of all statements is the sum of what counts.
 */
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant, InputError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { ContractId, Hash, PartyId } from '../system/ids.ts';
import { readRecord } from './ledger-reads.ts';
import type { MeteringRecord } from './ledger-store.ts';
import { DIMENSIONS, parseRecord } from './record.ts';
import { calendarOf } from './windows.ts';

/** Contracts and currencies of one statement. */
export const STATEMENT_LINES_MAX = 10_000;
const PAGE_RECORDS = 500;

export interface StatementLine {
  readonly contractId: ContractId | undefined;
  readonly currency: string;
  /** Records of runs, without corrections. */
  readonly records: bigint;
  readonly corrections: bigint;
  readonly units: Readonly<Record<Dimension, bigint>>;
  readonly chargeMicros: bigint;
  /** The part of the charge that corrects earlier months; may be negative. */
  readonly earlierMonthsMicros: bigint;
}

export interface Statement {
  readonly analyst: PartyId;
  /** `2026-11` */
  readonly month: string;
  readonly timeZone: string;
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
  /** False while the month goes on. */
  readonly final: boolean;
  readonly lines: readonly StatementLine[];
  /** By currency. */
  readonly totalMicros: Readonly<Record<string, bigint>>;
  /** SHA-256 over the statement's canonical JSON, this member left out. */
  readonly hash: Hash;
}

export interface StatementQuery {
  readonly analyst: PartyId;
  readonly month: string;
  readonly timeZone: string;
  readonly nowMs: number;
}

/** @throws InputError `parameter-invalid` where month or time zone do not exist. */
export async function monthlyStatement(store: Store, query: StatementQuery): Promise<Statement> {
  const { fromMs, toMs } = boundsOf(query);
  const lines = new Map<string, StatementLine>();
  for await (const record of readPosted(store, query.analyst, fromMs, toMs)) {
    const { supersedes } = record;
    const before = supersedes === undefined ? undefined : await readRecord(store, supersedes);
    const corrected = before?.outcome === 'posted' ? before : undefined;
    const key = `${record.contractId ?? ''} ${record.currency}`;
    const line = lines.get(key) ?? emptyLine(record);
    lines.set(key, withRecord(line, record, corrected, fromMs));
    assertInvariant(lines.size <= STATEMENT_LINES_MAX, 'a statement has a bounded number of lines');
  }
  const sorted = [...lines].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
  const { analyst, month, timeZone } = query;
  const statement = { analyst, month, timeZone, fromMs, toMs, final: query.nowMs >= toMs };
  const whole = { ...statement, lines: sorted, totalMicros: totals(sorted) };
  return { ...whole, hash: canonicalHash(plain(whole)) };
}

function boundsOf({ month, timeZone }: StatementQuery): { fromMs: number; toMs: number } {
  if (!/^\d{4}-(?:0[1-9]|1[0-2])$/.test(month)) {
    throw new InputError('parameter-invalid', 'The month is not one.', {
      remedy: 'Write it as 2026-11.',
    });
  }
  // The middle of the month is in it in every time zone.
  const within = Date.parse(`${month}-15T00:00:00Z`);
  const calendar = calendarOf(timeZone);
  const { resetsAtMs } = calendar.windowOf('month', within);
  assertInvariant(resetsAtMs !== undefined, 'a month ends');
  return { fromMs: calendar.startOf('month', within), toMs: resetsAtMs };
}

function emptyLine({ contractId, currency }: MeteringRecord): StatementLine {
  const zero = { records: 0n, corrections: 0n, chargeMicros: 0n, earlierMonthsMicros: 0n };
  const units = Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, 0n]));
  return { contractId, currency, ...zero, units: units as Record<Dimension, bigint> };
}

function withRecord(
  line: StatementLine,
  record: MeteringRecord,
  corrected: MeteringRecord | undefined,
  fromMs: number,
): StatementLine {
  const charge = record.chargeMicros - (corrected?.chargeMicros ?? 0n);
  const earlier = corrected !== undefined && corrected.atMs < fromMs;
  const units = Object.fromEntries(
    DIMENSIONS.map((dimension) => [
      dimension,
      line.units[dimension] + amountOf(record, dimension) - amountOf(corrected, dimension),
    ]),
  );
  return {
    ...line,
    records: line.records + (corrected === undefined ? 1n : 0n),
    corrections: line.corrections + (corrected === undefined ? 0n : 1n),
    units: units as Record<Dimension, bigint>,
    chargeMicros: line.chargeMicros + charge,
    earlierMonthsMicros: line.earlierMonthsMicros + (earlier ? charge : 0n),
  };
}

function amountOf(record: MeteringRecord | undefined, dimension: Dimension): Units {
  return record?.units[dimension] ?? (0n as Units);
}

function totals(lines: readonly StatementLine[]): Readonly<Record<string, bigint>> {
  const sums: Record<string, bigint> = {};
  for (const { currency, chargeMicros } of lines) {
    sums[currency] = (sums[currency] ?? 0n) + chargeMicros;
  }
  return sums;
}

/** As JSON has it: amounts as decimal strings, absent members left out. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(members.map(([name, each]) => [name, plain(each)]));
}

async function* readPosted(
  store: Store,
  analyst: PartyId,
  fromMs: number,
  toMs: number,
): AsyncGenerator<MeteringRecord> {
  for (let after = 0n; ; ) {
    const rows = await store.query(
      `SELECT seq, document FROM ledger_record WHERE analyst = ? AND outcome = 'posted'
       AND at_ms >= ? AND at_ms < ? AND seq > ? ORDER BY seq LIMIT ?`,
      [analyst, fromMs, toMs, after, PAGE_RECORDS],
    );
    for (const row of rows) {
      yield parseRecord(String(row['document']));
      after = row['seq'] as bigint;
    }
    if (rows.length < PAGE_RECORDS) return;
  }
}
