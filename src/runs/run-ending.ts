/** The end of a run: what it is, and its one settlement. */
import type { Release } from '../computations/computation.ts';
import { isWeightedRelease } from '../computations/secret-weights/wire.ts';
import { isSealedMatch } from '../computations/psi/wire.ts';
import { isSealedRelease } from '../computations/sealed-sum/wire.ts';
import type { SignedContract } from '../contracts/contract.ts';
import { AbortError, CapacityError, InvariantError, WeirError } from '../errors.ts';
import type { LedgerStore, SettleOutcome } from '../ledger/ledger-store.ts';
import { ProtocolError } from '../../protocols/common/protocol-error.ts';
import type { Clock } from '../system/clock.ts';
import type { RunId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import { type Random, uuidV7 } from '../system/random.ts';
import type { ActiveContracts } from './active-contracts.ts';
import type { Agreement } from './negotiate.ts';
import { runsOfMonth } from './quota.ts';
import { sealRelease } from './sealing.ts';
import { noteOf, type RunEnd, settlementOf, type UnitsByDimension } from './settlement.ts';
import type { RunEvents } from './run-events.ts';
import type { RunRow } from './run-rows.ts';

/** Less than a reservation outlives its run, so that no settlement comes after the expiry. */
const SETTLE_PATIENCE_MS = 30_000;
const SETTLE_PAUSE_MS = 500;

/** What ending a run needs of a gateway. */
export interface EndingParts {
  readonly ledger: LedgerStore;
  readonly events: Pick<RunEvents, 'publish'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where a crash test may end the process. */
  step(name: 'released' | 'settling' | 'settled', runId: RunId): Promise<void>;
}

/** A run with what it is accounted by. */
export interface EndingRun {
  readonly run: RunRow;
  readonly contract: SignedContract;
  readonly units: UnitsByDimension;
}

/**
 * A store that is away for a moment costs nobody the run. What is tried again may have been written
 * the first time: then the ledger says so. After that the sweeper voids the run.
 */
export async function settlePatiently(
  deps: EndingParts,
  job: EndingRun & { readonly signal: AbortSignal },
  agreement: Agreement | undefined,
  end: RunEnd,
): Promise<SettleOutcome> {
  const untilMs = deps.clock.monotonic() + SETTLE_PATIENCE_MS;
  for (;;) {
    try {
      return await settle(deps, job, agreement, end);
    } catch (error) {
      const isStopping =
        job.signal.reason instanceof CapacityError && job.signal.reason.code === 'shutting-down';
      const isOver = isStopping || deps.clock.monotonic() >= untilMs;
      if (!(error instanceof CapacityError) || isOver) throw error;
      deps.log.warn({ runId: job.run.runId, err: error }, 'a run waits for the store');
    }
    await deps.clock.sleep(SETTLE_PAUSE_MS);
  }
}

/** A release as the end of its run. */
export async function postedEnd(
  deps: Pick<EndingParts, 'step'>,
  { run, contract }: Pick<EndingRun, 'run' | 'contract'>,
  release: Release,
): Promise<RunEnd> {
  await deps.step('released', run.runId);
  const sealedResult = await sealRelease(run, contract.contract, release);
  return { kind: 'posted', sealedResult, note: releasedNote(release) };
}

/** Writes the end of a run once; a second settlement reports the first and changes nothing. */
export async function settle(
  deps: EndingParts,
  job: EndingRun,
  agreement: Agreement | undefined,
  end: RunEnd,
): Promise<SettleOutcome> {
  const { runId } = job.run;
  await deps.step('settling', runId);
  const nowMs = deps.clock.now();
  const { contract } = job.contract;
  const monthRuns = await runsOfMonth(deps.ledger, contract, job.run.createdMs);
  const command = settlementOf({
    run: job.run,
    contract,
    descriptor: agreement?.descriptor,
    descriptorHash: agreement?.descriptorHash,
    units: job.units,
    end,
    monthRuns,
    recordId: uuidV7(deps.clock, deps.random),
    nowMs,
  });
  const outcome = await deps.ledger.settle(command);
  await deps.step('settled', runId);
  // A repeat after an unknown outcome tells the end that nobody was told.
  if (outcome.kind === 'settled' || outcome.outcome === command.outcome) {
    const code = 'error' in end ? end.error.code : undefined;
    deps.events.publish({
      runId,
      atMs: nowMs,
      state: end.kind,
      progress: 1,
      code,
      note: noteOf(end),
    });
    deps.log.info({ runId, outcome: end.kind, code }, 'run ended');
  }
  return outcome;
}

/** How a run ends that cannot go on. */
export function endOf(
  deps: Pick<EndingParts, 'log'>,
  job: Pick<EndingRun, 'run'>,
  error: unknown,
): RunEnd {
  const known = asWeirError(error);
  if (known.family === 'invariant') {
    deps.log.error({ runId: job.run.runId, err: error }, 'run failed on a bug');
  }
  return { kind: known.facts.dependedOnRows === true ? 'refused' : 'voided', error: known };
}

/** Ends a run that nobody is at work on: for the reason that was asked for, where one was. */
export async function endAbandoned(
  deps: EndingParts,
  contracts: Pick<ActiveContracts, 'find'>,
  run: RunRow,
  kind: 'voided' | 'expired',
): Promise<SettleOutcome> {
  const contract = await contracts.find(run.contractId, deps.clock.now());
  const restarted = new AbortError(
    'gateway-restarted',
    'The gateway or its store was restarted while the run was at work; nothing was charged.',
    { remedy: 'Sign a new request.' },
  );
  const end = kind === 'voided' ? ({ kind, error: run.stop ?? restarted } as const) : { kind };
  return settle(deps, { run, contract, units: {} }, undefined, end);
}

function releasedNote(release: Release): string {
  if (isSealedRelease(release) || isWeightedRelease(release) || isSealedMatch(release)) {
    return 'The result is sealed; what is in it only its recipient sees.';
  }
  const { releasedCells } = release;
  return `${releasedCells} ${releasedCells === 1 ? 'cell' : 'cells'} released, ${release.suppressedCells} suppressed.`;
}

/** What is not of the closed union is a bug: opaque outside, logged inside. */
export function asWeirError(error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  if (error instanceof ProtocolError) {
    const code = error.code === 'tag-mismatch' ? 'tag-mismatch' : 'transcript-mismatch';
    return new AbortError(code, `The protocol ended without a result: ${error.message}.`);
  }
  return new InvariantError('internal', 'The run failed on an internal error.', undefined, {
    cause: error,
  });
}
