/** Compares what a gateway's store holds with what the gateway acknowledged, when nothing is at work. */
import { readReceiptFacts } from '../../src/runs/receipt-facts.ts';
import { reconcile } from '../../src/ledger/reconcile.ts';
import { sealedResultHash } from '../../src/contracts/sealed-result.ts';
import type { Row, Store } from '../../src/store/store.ts';
import type { Acknowledged } from './gateway-load.ts';

export type Reader = Pick<Store, 'query'>;

const SUMS = `SELECT
  (SELECT count(*) FROM runs) AS runs,
  (SELECT count(*) FROM ledger_reservation) AS reservations,
  (SELECT count(*) FROM ledger_reservation WHERE state = 'pending') AS pending,
  (SELECT count(*) FROM ledger_record WHERE run_id IS NOT NULL) AS records,
  (SELECT count(DISTINCT run_id) FROM ledger_record) AS recorded_runs,
  (SELECT count(*) FROM ledger_record) AS all_records,
  (SELECT max(seq) FROM ledger_record) AS last_seq,
  (SELECT count(*) FROM ledger_record WHERE outcome = 'denied') AS denied,
  (SELECT count(*) FROM ledger_record WHERE outcome = 'posted') AS posted,
  (SELECT CAST(sum(runs) AS BIGINT) FROM ledger_record) AS charged_runs,
  (SELECT CAST(sum(posted) AS BIGINT) FROM ledger_account
    WHERE dimension = 'runs' AND window_key = 'lifetime') AS counted_runs,
  (SELECT CAST(sum(reserved) AS BIGINT) FROM ledger_account) AS held`;

/**
 * Everything that is wrong, a sentence each: what was acknowledged and is not there is `lost`, what
 * the store contradicts by itself is `broken`.
 */
export async function compareGateway(
  store: Reader,
  acks: Acknowledged,
): Promise<{ readonly lost: readonly string[]; readonly broken: readonly string[] }> {
  const rows = await store.query(
    `SELECT runs.run_id, runs.request_key, runs.state, ledger_reservation.state AS reservation,
       ledger_record.outcome FROM runs
     LEFT JOIN ledger_reservation ON ledger_reservation.run_id = runs.run_id
     LEFT JOIN ledger_record ON ledger_record.run_id = runs.run_id ORDER BY runs.run_id`,
  );
  const lost = [...acks.contradictions, ...(await lostOf(store, rows, acks))];
  const [sums] = await store.query(SUMS);
  return { lost, broken: [...brokenRuns(rows), ...brokenSums(sums, acks)] };
}

async function lostOf(
  store: Reader,
  rows: readonly Row[],
  acks: Acknowledged,
): Promise<readonly string[]> {
  const lost: string[] = [];
  const states = new Map(rows.map((row) => [String(row['run_id']), String(row['state'])]));
  for (const [key, runId] of acks.runs) {
    if (!states.has(runId)) lost.push(`run ${runId} of key ${key} was acknowledged and is gone`);
  }
  for (const [runId, state] of acks.ends) {
    const now = states.get(runId);
    if (now !== state) lost.push(`run ${runId} was ${state} and is ${now ?? 'gone'}`);
  }
  const own = new Set(rows.map((row) => String(row['request_key']).split('/')[1]));
  if (own.size !== rows.length) lost.push('two runs have one key');
  for (const key of own) if (!acks.runs.has(key ?? '')) lost.push(`nobody asked for key ${key}`);
  const denied = await store.query(
    `SELECT count(*) AS denied FROM ledger_record WHERE outcome = 'denied'`,
  );
  const count = Number(denied[0]?.['denied']);
  const { sent, answered } = acks.refusals;
  if (count < answered) lost.push(`${answered} refusals were answered, ${count} are recorded`);
  if (count > sent) lost.push(`${sent} refused calls were made, ${count} are recorded`);
  const sealed = await store.query('SELECT run_id, sealed_result FROM runs');
  const results = new Map(sealed.map((row) => [row['run_id'], row['sealed_result']]));
  for (const [runId, hash] of acks.results) {
    const result = results.get(runId);
    if (typeof result !== 'string' || sealedResultHash(result) !== hash) {
      lost.push(`the result of run ${runId} is another one, or gone`);
    }
  }
  return lost;
}

/** One reservation and one record each, and all of one end. */
function brokenRuns(rows: readonly Row[]): readonly string[] {
  return rows
    .filter((row) => row['state'] !== row['reservation'] || row['state'] !== row['outcome'])
    .map(
      (row) =>
        `run ${String(row['run_id'])} is ${String(row['state'])}, its reservation ${String(row['reservation'])}, its record ${String(row['outcome'])}`,
    );
}

function brokenSums(sums: Row | undefined, acks: Acknowledged): readonly string[] {
  const of = (name: string): bigint => (sums?.[name] ?? 0n) as bigint;
  const broken: string[] = [];
  const same = (one: string, other: string): void => {
    if (of(one) !== of(other)) broken.push(`${one} ${of(one)}, ${other} ${of(other)}`);
  };
  for (const name of ['reservations', 'records', 'recorded_runs']) same('runs', name);
  same('all_records', 'last_seq');
  for (const name of ['charged_runs', 'counted_runs']) same('posted', name);
  if (of('pending') !== 0n) broken.push(`${of('pending')} reservations are still pending`);
  if (of('held') !== 0n) broken.push(`${of('held')} units are still held`);
  if (of('runs') !== BigInt(acks.runs.size)) {
    broken.push(`${of('runs')} runs for ${acks.runs.size} keys`);
  }
  return broken;
}

/** Records, chain and receipts one to one: everything is read again. */
export async function reconcileGateway(
  store: Store,
  gatewayKey: Uint8Array,
): Promise<readonly string[]> {
  const report = await reconcile({ store, receipts: readReceiptFacts(store, gatewayKey) });
  return report.ok ? [] : [report.reason];
}
