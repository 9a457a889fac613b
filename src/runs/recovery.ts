/**
 * What a crash left behind, the gateway's or its store's. A run without an end is voided: its protocol
 * state died with the process, so nothing can be released and nothing is charged. A run that was
 * posted but has no receipt gets it from what is stored; one whose result waits for officers waits on,
 * since all that it needs is in the domains. The sweeper does the same for runs that a store which was
 * away for a while cut loose, and ends reservations nobody settled in time.
 */
import { CapacityError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { RunDependencies } from './run-machine.ts';
import { endAbandoned } from './run-ending.ts';
import type { RunService } from './run-service.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { TERMINAL_STATES } from './run-events.ts';
import { dropExpiredResults, readRun, readUnfinished, type RunRow } from './run-rows.ts';
import type { ActiveContracts } from './active-contracts.ts';

const SWEEP_EVERY_MS = 5000;
const SWEPT_MAX = 256;

export interface RecoveryReport {
  readonly voided: number;
  readonly receipted: number;
  /** Runs that could not be ended now, each logged: the sweeper tries again, the gateway works. */
  readonly left: number;
}

/**
 * Ends what an earlier process of this gateway left, before the first new run; later with `isLive`,
 * which knows every run that this process is at work on or about to be.
 */
export async function recoverRuns(
  deps: RunDependencies,
  contracts: ActiveContracts,
  receipts: ReceiptIssuer,
  isLive: (runId: RunRow['runId']) => boolean = () => false,
): Promise<RecoveryReport> {
  let voided = 0;
  let receipted = 0;
  let left = 0;
  const tried = new Set<RunRow['runId']>();
  for (;;) {
    const unfinished = await readUnfinished(deps.store, deps.instance);
    const fresh = unfinished.filter((run) => !tried.has(run.runId));
    if (fresh.length === 0) return { voided, receipted, left };
    for (const run of fresh) {
      tried.add(run.runId);
      if (isLive(run.runId)) continue;
      // Read anew: work that ended between the listing and this look may have left it waiting.
      if ((await readRun(deps.store, run.runId))?.state === 'awaiting-release') continue;
      const isEnded = TERMINAL_STATES.includes(run.state);
      const isThrough = await alone(deps, run, async () => {
        if (isEnded) await receipts.receiptOf(run);
        else await endAbandoned(deps, contracts, run, 'voided');
      });
      if (!isThrough) left += 1;
      else if (isEnded) receipted += 1;
      else voided += 1;
    }
  }
}

/** One run that cannot be ended keeps neither the others nor the gateway back. */
async function alone(
  deps: RunDependencies,
  run: RunRow,
  work: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    // A disk that is full or gone is no matter of one run.
    if (error instanceof CapacityError) throw error;
    deps.log.error({ runId: run.runId, err: error }, 'a run could not be ended');
    return false;
  }
}

/**
 * Ends what nobody is at work on and what a contract no longer allows, expires reservations past their
 * time and drops results past retention, until `signal` aborts.
 */
export async function sweep(
  deps: RunDependencies,
  contracts: ActiveContracts,
  receipts: ReceiptIssuer,
  clock: Clock,
  runs: Pick<RunService, 'isLive' | 'waiting' | 'endStopped'>,
  signal: AbortSignal,
  isNamed: () => boolean,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(SWEEP_EVERY_MS, signal);
    if (signal.aborted) return;
    // Another process may have this one's name, and be at work on the runs that bear it.
    if (!isNamed()) continue;
    try {
      const nowMs = clock.now();
      await recoverRuns(deps, contracts, receipts, (runId) => runs.isLive(runId));
      for (const runId of await deps.ledger.overdue(nowMs, SWEPT_MAX)) {
        const run = await readRun(deps.store, runId);
        if (run !== undefined && !runs.isLive(runId)) {
          await alone(deps, run, () => endAbandoned(deps, contracts, run, 'expired'));
        }
      }
      await runs.endStopped();
      await runs.waiting.tendAll();
      await deps.store.execute([dropExpiredResults(nowMs)]);
    } catch (error) {
      deps.log.error({ err: error }, 'the sweeper will try again');
    }
  }
}
