/** Pairs of a reservation and a post, as gateways issue them, against any ledger. */
import type { Units } from '../src/contracts/units.ts';
import type { LedgerStore, QuotaAccount, ReservationLine } from '../src/ledger/ledger-store.ts';
import type { ContractId, Hash, PartyId, RunId } from '../src/system/ids.ts';

const HASH = 'ab'.repeat(32) as Hash;
const UNITS = { runs: 1n as Units, 'compute-milli-units': 1_500n as Units };

export interface DriveOptions {
  readonly ledgers: readonly LedgerStore[];
  readonly requesters: number;
  readonly durationMs: number;
  /** Over how many contracts' accounts the requesters spread. */
  readonly contracts: number;
  /** Runs each contract allows. */
  readonly limit: bigint;
  /** Names of this phase's accounts and runs. */
  readonly phase: string;
}

export interface Driven {
  readonly pairs: number;
  /** Reservations that found no quota left. */
  readonly exceeded: number;
  readonly tookMs: number;
  readonly latenciesMs: readonly number[];
}

/** The accounts of one contract; the limit is that of `runs`. */
export function accountsOf(
  phase: string,
  contract: number,
  runsLimit: bigint,
): readonly QuotaAccount[] {
  const each = {
    subject: `contract:${phase}-${contract}`,
    window: 'lifetime',
    windowKey: 'lifetime',
  } as const;
  const unlimited = 1_000_000_000_000n;
  return (['runs', 'compute-milli-units'] as const).map((dimension) => ({
    ...each,
    dimension,
    limit: (dimension === 'runs' ? runsLimit : unlimited) as Units,
    resetsAtMs: undefined,
  }));
}

/** Requesters take turns over the ledgers until the time is up, or until there is no quota left. */
export async function drive(options: DriveOptions): Promise<Driven> {
  const { ledgers, contracts, durationMs, phase, limit } = options;
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  let next = 0;
  let exceeded = 0;
  const requester = async (index: number): Promise<void> => {
    const ledger = ledgers[index % ledgers.length];
    if (ledger === undefined) throw new Error('no ledger to drive');
    const lines = linesOf(accountsOf(phase, index % contracts, limit));
    while (performance.now() - startMs < durationMs) {
      next += 1;
      const beganMs = performance.now();
      if (!(await onePair(ledger, `${phase}-${next}`, lines))) {
        exceeded += 1;
        return;
      }
      latenciesMs.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: options.requesters }, (_, index) => requester(index)));
  return { pairs: latenciesMs.length, exceeded, tookMs: performance.now() - startMs, latenciesMs };
}

/** One run and its compute units on each of the accounts. */
export function linesOf(accounts: readonly QuotaAccount[]): readonly ReservationLine[] {
  return accounts.map((account) => ({
    account,
    units: account.dimension === 'runs' ? UNITS.runs : UNITS['compute-milli-units'],
  }));
}

/** Reserves and posts, each durable before the next; false where there is no quota left. */
export async function onePair(
  ledger: LedgerStore,
  name: string,
  lines: readonly ReservationLine[],
): Promise<boolean> {
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
  if (reserved.kind === 'exceeded') return false;
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
  return true;
}

/** The value below which `part` of the values are. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
