/** Metering: how many reserve-and-post pairs a second, each acknowledged after its own sync. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AUDIT_MIGRATIONS, verifyStoredChain } from '../src/audit/chain-table.ts';
import { LEDGER_MIGRATIONS } from '../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../src/ledger/ledger-store.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../src/ledger/sqlite-ledger.ts';
import { openSqliteStore } from '../src/store/sqlite-store.ts';
import { postgresLedger } from '../src/ledger/postgres-ledger.ts';
import { openPostgresStore } from '../src/store/postgres-store.ts';
import type { Store } from '../src/store/store.ts';
import { dropSchema, findServer } from '../test/support/test-stores.ts';
import { accountsOf, drive, quantile, type Driven } from './ledger-driver.ts';
import { httpMetered } from './ledger-http.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const REQUESTERS = 16;

const GATEWAYS = 3;
const UNLIMITED = 1_000_000_000_000n;

export const ledgerSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('pairs')) await embedded(context, 'pairs', REQUESTERS);
    if (context.wants('pairs hot account')) await embedded(context, 'pairs hot account', 1);
    if (context.wants('http-metered')) await httpMetered(context, 'http-metered', syncsPerSecond);
    if (context.wants('postgres 3 gateways')) await postgres(context, 'postgres 3 gateways');
  },
};

/** @param contracts - over how many contracts' accounts the requesters spread. */
async function embedded(context: BenchContext, name: string, contracts: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  try {
    context.report(name, 'syncs_per_s', syncsPerSecond(join(directory, 'sync')), '1/s');
    const store = await openSqliteStore({
      file: join(directory, 'ledger.db'),
      migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
      programs: LEDGER_PROGRAMS,
    });
    const ledgers = [sqliteLedger(store)];
    const shape = { ledgers, requesters: REQUESTERS, contracts, limit: UNLIMITED };
    await drive({ ...shape, durationMs: 500, phase: 'warm' });
    const ran = await drive({ ...shape, durationMs: context.large ? 30_000 : 5_000, phase: 'run' });
    reportPairs(context, name, ran);
    await check(store, ledgers[0], 'run', contracts, ran.pairs);
    await store.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Three ledgers with connections of their own; quotas that run out must be hit exactly. */
async function postgres(context: BenchContext, name: string): Promise<void> {
  const found = await findServer();
  if (found === undefined) {
    process.stderr.write('no PostgreSQL answers and none is installed: the case is left out\n');
    return;
  }
  const schema = `weir_bench_${process.pid}`;
  const options = { url: found.url, schema, migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS] };
  const stores = await Promise.all(
    Array.from({ length: GATEWAYS }, () => openPostgresStore({ ...options, connections: 4 })),
  );
  const [first] = stores;
  if (first === undefined) throw new Error('no store');
  try {
    const ledgers = stores.map(postgresLedger);
    const shape = { ledgers, requesters: 192, limit: UNLIMITED };
    await drive({ ...shape, contracts: 48, durationMs: 1_000, phase: 'warm' });
    const before = await deadlocks(first);
    const durationMs = context.large ? 30_000 : 5_000;
    const many = await drive({ ...shape, contracts: 48, durationMs, phase: 'many' });
    reportPairs(context, name, many);
    const hot = await drive({ ...shape, contracts: 1, durationMs, phase: 'hot' });
    const ratio = hot.pairs / hot.tookMs / (many.pairs / many.tookMs);
    context.report(name, 'hot_account_ratio', ratio, 'of many accounts');
    const limit = 2_000n;
    const exact = await drive({ ...shape, contracts: 1, durationMs, limit, phase: 'exact' });
    context.report(name, 'quota_overrun', exact.pairs - Number(limit), 'runs beyond the limit');
    // The server counts a deadlock when the session that had it next reports its statistics.
    context.report(name, 'deadlocks', Number((await deadlocks(first)) - before), '');
    await check(first, ledgers[0], 'many', 48, many.pairs);
    if (exact.pairs !== Number(limit)) throw new Error(`${exact.pairs} runs, ${limit} allowed`);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
    await dropSchema(found.url, schema);
    await found.server?.stop();
  }
}

async function deadlocks(store: Store): Promise<bigint> {
  const [row] = await store.query(
    'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
  );
  return row?.['deadlocks'] as bigint;
}

function reportPairs(context: BenchContext, name: string, ran: Driven): void {
  context.report(name, 'pairs_per_s', ran.pairs / (ran.tookMs / 1000), '1/s');
  context.report(name, 'p50_ms', quantile(ran.latenciesMs, 0.5), 'ms');
  context.report(name, 'p99_ms', quantile(ran.latenciesMs, 0.99), 'ms');
}

/** A number is worth nothing if the books do not balance. */
async function check(
  store: Store,
  ledger: LedgerStore | undefined,
  phase: string,
  contracts: number,
  pairs: number,
): Promise<void> {
  const accounts = Array.from({ length: contracts }, (_, at) =>
    accountsOf(phase, at, UNLIMITED),
  ).flat();
  const used = (await ledger?.usage(accounts)) ?? [];
  const runs = used.filter((_, at) => accounts[at]?.dimension === 'runs');
  const total = runs.reduce((sum: bigint, units) => sum + units, 0n);
  if (total !== BigInt(pairs)) throw new Error(`${total} runs counted, ${pairs} acknowledged`);
  const verdict = await verifyStoredChain(store);
  if (!verdict.ok) throw new Error(verdict.reason);
}

/** Appends of 12 KiB, each followed by fdatasync, on the store's own file system. */
export function syncsPerSecond(file: string): number {
  const fd = openSync(file, 'w', 0o600);
  const block = Buffer.alloc(12_288, 1);
  const startMs = performance.now();
  let syncs = 0;
  try {
    while (performance.now() - startMs < 1_000) {
      writeSync(fd, block, 0, block.length, (syncs % 256) * block.length);
      fdatasyncSync(fd);
      syncs += 1;
    }
  } finally {
    closeSync(fd);
  }
  return syncs / ((performance.now() - startMs) / 1000);
}
