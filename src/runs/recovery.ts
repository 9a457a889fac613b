/**
 * What a crash left behind. A run without an end is voided: its protocol state died with the
 * process, so nothing can be released and nothing is charged. A run that was posted but has no
 * receipt gets it from what is stored. The sweeper ends reservations nobody settled in time.
 */
import { AbortError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { SettleOutcome } from '../ledger/ledger-store.ts';
import type { RunDependencies } from './run-machine.ts';
import { settle } from './run-machine.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { TERMINAL_STATES } from './run-events.ts';
import { dropExpiredResults, readRun, readUnfinished, type RunRow } from './run-rows.ts';
import type { ActiveContracts } from './active-contracts.ts';

const SWEEP_EVERY_MS = 15_000;
const SWEPT_MAX = 256;

export interface RecoveryReport {
  readonly voided: number;
  readonly receipted: number;
}

/** Ends what an earlier process of this gateway left; called before the first new run. */
export async function recoverRuns(
  deps: RunDependencies,
  contracts: ActiveContracts,
  receipts: ReceiptIssuer,
): Promise<RecoveryReport> {
  let voided = 0;
  let receipted = 0;
  for (;;) {
    const unfinished = await readUnfinished(deps.store, deps.instance);
    if (unfinished.length === 0) return { voided, receipted };
    for (const run of unfinished) {
      if (TERMINAL_STATES.includes(run.state)) {
        await receipts.receiptOf(run);
        receipted += 1;
      } else {
        await endAbandoned(deps, contracts, run, 'voided');
        voided += 1;
      }
    }
  }
}

/** Expires reservations past their time and drops results past retention, until `signal` aborts. */
export async function sweep(
  deps: RunDependencies,
  contracts: ActiveContracts,
  clock: Clock,
  isLive: (runId: RunRow['runId']) => boolean,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(SWEEP_EVERY_MS, signal);
    if (signal.aborted) return;
    try {
      const nowMs = clock.now();
      for (const runId of await deps.ledger.overdue(nowMs, SWEPT_MAX)) {
        const run = await readRun(deps.store, runId);
        if (run !== undefined && !isLive(runId)) {
          await endAbandoned(deps, contracts, run, 'expired');
        }
      }
      await deps.store.execute([dropExpiredResults(nowMs)]);
    } catch (error) {
      deps.log.error({ err: error }, 'the sweeper will try again');
    }
  }
}

async function endAbandoned(
  deps: RunDependencies,
  contracts: ActiveContracts,
  run: RunRow,
  kind: 'voided' | 'expired',
): Promise<SettleOutcome> {
  const contract = await contracts.find(run.contractId, deps.clock.now());
  const error = new AbortError(
    'gateway-restarted',
    'The gateway was restarted while the run was at work; nothing was charged.',
    { remedy: 'Sign a new request.' },
  );
  const end = kind === 'voided' ? ({ kind, error } as const) : ({ kind } as const);
  return settle(deps, { run, contract, units: {} }, undefined, end);
}
