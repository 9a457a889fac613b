/** Metering: how many reserve-and-post pairs a second, each acknowledged after its own sync. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AUDIT_MIGRATIONS, verifyStoredChain } from '../src/audit/chain-table.ts';
import type { Units } from '../src/contracts/units.ts';
import { LEDGER_MIGRATIONS } from '../src/ledger/ledger-schema.ts';
import type { LedgerStore, QuotaAccount } from '../src/ledger/ledger-store.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../src/ledger/sqlite-ledger.ts';
import { openSqliteStore } from '../src/store/sqlite-store.ts';
import type { ContractId, Hash, PartyId, RunId } from '../src/system/ids.ts';
import type { BenchContext, BenchSuite } from './suite.ts';

const REQUESTERS = 16;
const HASH = 'ab'.repeat(32) as Hash;
const UNITS = { runs: 1n as Units, 'compute-milli-units': 1_500n as Units };

export const ledgerSuite: BenchSuite = {
  run: async (context) => {
    if (context.wants('pairs')) await pairs(context, 'pairs', REQUESTERS);
    if (context.wants('pairs hot account')) await pairs(context, 'pairs hot account', 1);
  },
};

/** @param contracts - over how many contracts' accounts the requesters spread. */
async function pairs(context: BenchContext, name: string, contracts: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  try {
    context.report(name, 'syncs_per_s', syncsPerSecond(join(directory, 'sync')), '1/s');
    const store = await openSqliteStore({
      file: join(directory, 'ledger.db'),
      migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
      programs: LEDGER_PROGRAMS,
    });
    const ledger = sqliteLedger(store);
    await drive(ledger, 500, contracts, 'warm');
    const ran = await drive(ledger, context.large ? 30_000 : 5_000, contracts, 'run');
    context.report(name, 'pairs_per_s', ran.pairs / (ran.tookMs / 1000), '1/s');
    context.report(name, 'p50_ms', quantile(ran.latenciesMs, 0.5), 'ms');
    context.report(name, 'p99_ms', quantile(ran.latenciesMs, 0.99), 'ms');
    const accounts = Array.from({ length: contracts }, (_, at) => accountsOf('run', at)).flat();
    const used = await ledger.usage(accounts);
    const runs = used.filter((_, at) => accounts[at]?.dimension === 'runs');
    const total = runs.reduce((sum: bigint, units) => sum + units, 0n);
    if (total !== BigInt(ran.pairs))
      throw new Error(`${total} runs counted, ${ran.pairs} acknowledged`);
    const verdict = await verifyStoredChain(store);
    if (!verdict.ok) throw new Error(verdict.reason);
    await store.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function accountsOf(phase: string, contract: number): readonly QuotaAccount[] {
  const each = {
    subject: `contract:${phase}-${contract}`,
    window: 'lifetime',
    windowKey: 'lifetime',
  } as const;
  const limit = 1_000_000_000_000n as Units;
  return (['runs', 'compute-milli-units'] as const).map((dimension) => ({
    ...each,
    dimension,
    limit,
    resetsAtMs: undefined,
  }));
}

async function drive(
  ledger: LedgerStore,
  durationMs: number,
  contracts: number,
  phase: string,
): Promise<{
  readonly pairs: number;
  readonly tookMs: number;
  readonly latenciesMs: readonly number[];
}> {
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  let next = 0;
  const requester = async (index: number): Promise<void> => {
    const lines = accountsOf(phase, index % contracts).map((account) => ({
      account,
      units: account.dimension === 'runs' ? UNITS.runs : UNITS['compute-milli-units'],
    }));
    while (performance.now() - startMs < durationMs) {
      next += 1;
      const beganMs = performance.now();
      await onePair(ledger, `${phase}-${next}`, lines);
      latenciesMs.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: REQUESTERS }, (_, index) => requester(index)));
  return { pairs: latenciesMs.length, tookMs: performance.now() - startMs, latenciesMs };
}

async function onePair(
  ledger: LedgerStore,
  name: string,
  lines: readonly { readonly account: QuotaAccount; readonly units: Units }[],
): Promise<void> {
  const runId = `run-${name}` as RunId;
  const reserved = await ledger.reserve({
    requestKey: `analyst/${name}`,
    bodyHash: HASH,
    runId,
    lines,
    nowMs: 0,
    expiresAtMs: 3_600_000,
    alongside: [],
  });
  if (reserved.kind !== 'reserved') throw new Error(`the reservation was ${reserved.kind}`);
  const settled = await ledger.settle({
    runId,
    nowMs: 0,
    outcome: 'posted',
    units: UNITS,
    record: {
      id: `record-${name}`,
      atMs: 1_790_000_000_000,
      analyst: 'airline' as PartyId,
      holders: ['west', 'centre', 'east'] as readonly string[] as readonly PartyId[],
      contractId: '0193e0a0-0000-7000-8000-000000000001' as ContractId,
      runId,
      protocol: 'secure-sum',
      datasets: ['a', 'b', 'c'].map((dataset) => ({ name: dataset, fingerprint: HASH })),
      outcome: 'posted',
      code: undefined,
      units: UNITS,
      chargeMicros: 1_500_000n,
      currency: 'CNY',
      receiptHash: HASH,
    },
    audit: { kind: 'run.posted', atMs: 1_790_000_000_000, facts: { runId, receipt: HASH } },
    alongside: [],
  });
  if (settled.kind !== 'settled') throw new Error('a fresh run was settled before');
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

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
