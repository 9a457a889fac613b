/** Metering as the routes need it, over the ledger: pages of records, sums, and refused calls. */
import type { LedgerStore, RecordOutcome } from '../ledger/ledger-store.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import type { Row, SqlValue, Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import { ContractIdSchema, PartyIdSchema } from '../system/ids.ts';
import { uuidV7, type Random } from '../system/random.ts';
import type { DeniedCall, MeteringService, UsageLine, UsageQuery } from './services.ts';

/** Analysts × contracts × outcomes of one answer. */
export const USAGE_LINES_MAX = 10_000;
/** A refused call costs nothing, in no currency: ISO 4217's code for that. */
const NO_CURRENCY = 'XXX';

const SUMS: readonly (readonly [Dimension, string])[] = [
  ['bytes', 'bytes'],
  ['compute-milli-units', 'compute_milli_units'],
  ['micro-rho', 'micro_rho'],
  ['padded-items', 'padded_items'],
  ['rows', 'row_units'],
  ['runs', 'runs'],
];

/** @param store - the one the ledger's tables are in. */
export function ledgerMetering(
  ledger: Pick<LedgerStore, 'records' | 'recordDenied'>,
  store: Pick<Store, 'query'>,
  clock: Clock,
  random: Random,
): MeteringService {
  return {
    records: (after, most) => ledger.records(after, most),
    usage: (query) => readUsageLines(store, query),
    recordDenied: (call) => writeDenied(ledger, call, clock, random),
  };
}

async function writeDenied(
  ledger: Pick<LedgerStore, 'recordDenied'>,
  { analyst, contractId, code }: DeniedCall,
  clock: Clock,
  random: Random,
): Promise<void> {
  const atMs = clock.now();
  const id = uuidV7(clock, random);
  await ledger.recordDenied(
    {
      id,
      atMs,
      analyst,
      holders: [],
      contractId,
      runId: undefined,
      protocol: undefined,
      datasets: [],
      outcome: 'denied',
      code,
      units: {},
      chargeMicros: 0n,
      currency: NO_CURRENCY,
      receiptHash: undefined,
    },
    { kind: 'call.denied', atMs, facts: { analyst, code, id } },
  );
}

async function readUsageLines(
  store: Pick<Store, 'query'>,
  query: UsageQuery,
): Promise<readonly UsageLine[]> {
  const { where, params } = conditionsOf(query);
  const sums = SUMS.map(([, column]) => `CAST(SUM(${column}) AS BIGINT) AS ${column}`).join(', ');
  const rows = await store.query(
    `SELECT analyst, contract_id, outcome, currency, COUNT(*) AS records,
      CAST(SUM(charge_micros) AS BIGINT) AS charge_micros, ${sums}
     FROM ledger_record ${where} GROUP BY analyst, contract_id, outcome, currency
     ORDER BY analyst, contract_id, outcome, currency LIMIT ?`,
    [...params, USAGE_LINES_MAX],
  );
  return rows.map(lineOf);
}

function conditionsOf(query: UsageQuery): { where: string; params: readonly SqlValue[] } {
  // A corrected record stays readable, but only its correction counts.
  const conditions = [
    'NOT EXISTS (SELECT 1 FROM ledger_record AS later WHERE later.supersedes = ledger_record.seq)',
  ];
  const params: SqlValue[] = [];
  const add = (condition: string, value: SqlValue | undefined): void => {
    if (value === undefined) return;
    conditions.push(condition);
    params.push(value);
  };
  add('at_ms >= ?', query.fromMs);
  add('at_ms < ?', query.toMs);
  add('analyst = ?', query.analyst);
  add('contract_id = ?', query.contractId);
  return { where: `WHERE ${conditions.join(' AND ')}`, params };
}

function lineOf(row: Row): UsageLine {
  const amount = (column: string): bigint => BigInt(String(row[column] ?? 0n));
  const units: Partial<Record<Dimension, Units>> = {};
  for (const [dimension, column] of SUMS) {
    const sum = amount(column);
    if (sum !== 0n) units[dimension] = sum as Units;
  }
  const contractId = row['contract_id'];
  return {
    analyst: PartyIdSchema.parse(row['analyst']),
    contractId: contractId === null ? undefined : ContractIdSchema.parse(contractId),
    outcome: String(row['outcome']) as RecordOutcome,
    records: amount('records'),
    units,
    currency: String(row['currency']),
    chargeMicros: amount('charge_micros'),
  };
}
