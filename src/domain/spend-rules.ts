/**
 * Whether a run may be counted: pure decisions over what the domain has counted before. The store
 * around them is `counters.ts`.
 */
import { MeteringError, StateError } from '../errors.ts';
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import { REQUEST_LIFETIME_MAX_MS } from '../contracts/request.ts';
import type { RunRequest } from '../contracts/request.ts';
import { windowsAt, windowsEndMs } from '../contracts/calendar.ts';
import type { Hash, PartyId, RunId } from '../system/ids.ts';

/** A run whose contract, request and descriptor are verified (`verify-run.ts`). */
export interface SpendCommand {
  readonly contract: Contract;
  readonly contractHash: Hash;
  readonly request: RunRequest;
  readonly requestHash: Hash;
  readonly descriptor: Descriptor;
  readonly descriptorHash: Hash;
  readonly nowMs: number;
}

/** What the domain remembers of a request it has counted, for ever. */
export interface CountedRequest {
  readonly requestHash: Hash;
  readonly runId: RunId;
  readonly attempt: number;
  readonly descriptorHash: Hash;
  readonly parties: readonly PartyId[];
  /** `counted`: nothing derived from data has left; `sent`: it may have. */
  readonly status: 'counted' | 'sent';
}

/** Runs counted of one contract. */
export interface CountedRuns {
  readonly total: number;
  readonly day: number;
  readonly month: number;
}

/** An accepted rollback: runs that may have been counted in the lost history, and when it was accepted. */
export interface Gap {
  readonly runs: number;
  readonly acceptedAtMs: number;
}

/**
 * A request runs once. A further attempt is for the case that a party left before anything derived
 * from data was sent: the same run, a higher attempt, no new party. Once this domain has sent, any
 * other descriptor is refused: the difference of two party sets is one party's data.
 * @returns 1 where the run is to be counted, 0 where it is already.
 * @throws StateError `request-replayed`, `party-set-changed`
 */
export function decideAttempt(command: SpendCommand, prior: CountedRequest | undefined): 0 | 1 {
  const { descriptor, descriptorHash, requestHash } = command;
  if (prior === undefined) return 1;
  const same = prior.requestHash === requestHash && prior.runId === descriptor.runId;
  if (!same || prior.descriptorHash === descriptorHash) throw replayed(command);
  if (prior.status === 'sent') {
    throw setChanged('something derived from data was sent under another descriptor', command);
  }
  if (descriptor.attempt <= prior.attempt) throw replayed(command);
  const known = new Set(prior.parties);
  const added = descriptor.parties.find((party) => !known.has(party.id));
  if (added !== undefined) {
    throw setChanged('a further attempt has fewer parties, never others', command, added.id);
  }
  return 0;
}

/**
 * The contract's limits on runs, in all and in this day and month of its time zone. A rollback that
 * was accepted with runs missing counts those against every contract that may have had them.
 * @throws MeteringError `contract-counter-exhausted`; StateError `request-replayed`
 */
export function decideLimits(
  command: SpendCommand,
  counted: CountedRuns,
  gaps: readonly Gap[],
): void {
  const { contract, nowMs } = command;
  const windows = windowsAt(nowMs, contract.timeZone);
  let { total, day, month } = counted;
  for (const gap of gapsOf(contract, gaps)) {
    // The lost history may hold this very request, with another party set.
    if (Date.parse(command.request.expiresAt) <= gap.acceptedAtMs + REQUEST_LIFETIME_MAX_MS) {
      throw replayed(command);
    }
    const then = windowsAt(gap.acceptedAtMs, contract.timeZone);
    total += gap.runs;
    if (then.day === windows.day) day += gap.runs;
    if (then.month === windows.month) month += gap.runs;
  }
  const { runsTotal, runsPerDay, runsPerMonth } = contract.limits;
  const ends = (): { dayMs: number; monthMs: number } => windowsEndMs(nowMs, contract.timeZone);
  if (total >= runsTotal) throw exhausted('runsTotal', undefined);
  if (month >= runsPerMonth) throw exhausted('runsPerMonth', ends().monthMs);
  if (day >= runsPerDay) throw exhausted('runsPerDay', ends().dayMs);
}

/** Whether any day may still see a run of the contract begin, by its limit on all runs. */
export function hasRunsLeft(
  contract: Contract,
  counted: Pick<CountedRuns, 'total'>,
  gaps: readonly Gap[],
): boolean {
  const lost = gapsOf(contract, gaps).reduce((sum, { runs }) => sum + runs, 0);
  return counted.total + lost < contract.limits.runsTotal;
}

/** Those in whose lost history runs of the contract may have been. */
function gapsOf(contract: Contract, gaps: readonly Gap[]): readonly Gap[] {
  const began = Date.parse(contract.validity.notBefore);
  return gaps.filter(({ runs, acceptedAtMs }) => runs > 0 && began < acceptedAtMs);
}

function replayed(command: SpendCommand): StateError {
  return new StateError('request-replayed', 'This domain has counted this request already.', {
    party: command.contract.analyst.id,
    rule: 'a request runs once',
    remedy: 'Sign a new request with a new nonce.',
  });
}

function setChanged(rule: string, command: SpendCommand, party?: PartyId): StateError {
  return new StateError('party-set-changed', 'The run’s descriptor is not the one begun with.', {
    party: party ?? command.contract.analyst.id,
    rule,
    remedy: 'Sign a new request with a new nonce.',
  });
}

function exhausted(rule: string, resetsAtMs: number | undefined): MeteringError {
  return new MeteringError(
    'contract-counter-exhausted',
    'The contract’s runs are used up, by this domain’s own count.',
    {
      rule,
      dimension: 'runs',
      left: '0',
      ...(resetsAtMs === undefined ? {} : { resetsAt: new Date(resetsAtMs).toISOString() }),
      remedy:
        resetsAtMs === undefined
          ? 'Agree on a new contract.'
          : 'Run again in the next window, or agree on a new contract.',
    },
  );
}
