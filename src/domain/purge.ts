/**
 * Removes what was kept between the runs of contracts that cannot run here any more. It goes by what
 * is kept, which is little, and looks each contract up: however many were signed, none is passed over.
 */
import { WeirError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { Hash } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { ArtifactStore } from './artifact-store.ts';
import type { DomainState } from './domain-state.ts';
import type { RunSessions } from './run-sessions.ts';
import { findSigned } from './signed-contracts.ts';

const PURGE_EVERY_MS = 3_600_000;

export interface Purging {
  readonly state: Pick<DomainState, 'store' | 'standing' | 'counters'>;
  readonly sessions: Pick<RunSessions, 'isAtWork'>;
  readonly artifacts: Pick<ArtifactStore, 'contracts' | 'purgeContract'>;
  readonly clock: Clock;
}

/** Purges at once and every hour until aborted, whether or not any gateway is linked. */
export async function keepPurging(
  purging: Purging & { readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = purging;
  while (!signal.aborted) {
    try {
      await purgeEnded(purging);
    } catch (error) {
      const code = error instanceof WeirError ? error.code : 'internal';
      log.warn({ code }, 'what was kept of contracts that are over could not be removed');
    }
    await clock.sleep(PURGE_EVERY_MS, signal);
  }
}

/**
 * What a run at work uses stays until the run has ended, also where the contract has meanwhile:
 * revocation and suspension end such runs, the passing of its last day or its last run does not.
 */
export async function purgeEnded(purging: Purging): Promise<void> {
  const { sessions, artifacts } = purging;
  for (const contract of await artifacts.contracts()) {
    if (await mayRun(contract, purging)) continue;
    // Asked last, with no wait before the purge: a run that begins later finds nothing, or waits.
    if (!sessions.isAtWork(contract)) await artifacts.purgeContract(contract);
  }
}

/** One that no officer signed here cannot; one that is suspended may be resumed. */
async function mayRun(hash: Hash, { state, clock }: Purging): Promise<boolean> {
  const contract = await findSigned(state.store, hash);
  if (contract === undefined) return false;
  const nowMs = clock.now();
  if (nowMs >= Date.parse(contract.validity.notAfter)) return false;
  if ((await state.standing.standingOf(hash)) === 'revoked') return false;
  return state.counters.hasRunsLeft(contract, hash, nowMs);
}
