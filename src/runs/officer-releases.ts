/**
 * A run whose result waits for officers, from the last domain's word that it keeps its part to the
 * settlement. The gateway holds nothing meanwhile but the run's row and the decisions: whatever it
 * lost with a crash, it asks for again, and the domains send the same bytes.
 *
 * How it may end: all approve and the parts come: posted. One refuses: posted in full without a
 * result, since who refuses has seen counts, and refusals that were free could be probed for. Nobody
 * decides in time, or a part cannot be had: voided. That no officer came tells nothing of the data.
 */
import { heldOf } from '../computations/held-release.ts';
import type { SignedContract } from '../contracts/contract.ts';
import {
  type Deliver,
  type SignedReleaseDecision,
  verifyReleaseDecision,
} from '../contracts/officer-release.ts';
import { DELIVERY_GRACE_MS } from '../contracts/release-terms.ts';
import { RUN_METHODS } from '../contracts/run-messages.ts';
import {
  AbortError,
  assertInvariant,
  IdentityError,
  PolicyError,
  StateError,
  type WeirError,
} from '../errors.ts';
import type { Store } from '../store/store.ts';
import { RunIdSchema } from '../system/ids.ts';
import { uuidV7 } from '../system/random.ts';
import type { ActiveContracts } from './active-contracts.ts';
import { type Agreement, askAll } from './negotiate.ts';
import { TERMINAL_STATES } from './run-events.ts';
import { asWeirError, endOf, postedEnd, settle } from './run-ending.ts';
import { computationOf, publish, type RunDependencies } from './run-machine.ts';
import { readRun, type RunRow } from './run-rows.ts';
import { keepDecision, readDecisions } from './release-rows.ts';
import type { RunEnd } from './settlement.ts';
import { unknownRun } from './run-errors.ts';

/** What is to be done with a run whose result waits. */
export type Standing =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'released'; readonly decisions: readonly SignedReleaseDecision[] }
  | { readonly kind: 'over'; readonly error: WeirError };

/**
 * Keeps an officer's decision; one that comes while others still compute is kept for later.
 * @throws StateError `run-unknown`, `round-mismatch` where the run is over; IdentityError
 */
export async function decide(
  deps: Pick<RunDependencies, 'store' | 'clock'>,
  contracts: Pick<ActiveContracts, 'find'>,
  signed: SignedReleaseDecision,
): Promise<RunRow> {
  const run = await readRun(deps.store, signed.release.runId);
  if (run?.descriptor === undefined || run.descriptorHash === undefined) throw unknownRun();
  const { runId, contractHash, descriptorHash } = run;
  const { contract } = await contracts.find(run.contractId, deps.clock.now());
  verifyReleaseDecision(signed, contract, { runId, contractHash, descriptorHash });
  const { party } = signed.release;
  // A holder of the contract that has no part in this run has no say in it either.
  if (!run.parties.includes(party)) {
    throw new IdentityError('party-not-in-contract', `${party} takes no part in this run.`, {
      party,
    });
  }
  if (TERMINAL_STATES.includes(run.state)) {
    // Domains tell every process of the gateway: by the last of them the run may have ended on it.
    if (await wasTaken(deps.store, signed)) return run;
    throw new StateError('round-mismatch', `The run is over: ${run.state}.`);
  }
  await keepDecision(deps.store, signed);
  return run;
}

async function wasTaken(store: Store, { release }: SignedReleaseDecision): Promise<boolean> {
  const taken = await readDecisions(store, release.runId);
  return taken.some(
    (one) => one.release.party === release.party && one.release.decision === release.decision,
  );
}

/** @throws CapacityError where the store cannot be read */
export async function standingOf(
  deps: Pick<RunDependencies, 'store' | 'clock'>,
  run: RunRow,
): Promise<Standing> {
  if (run.stop !== undefined) return { kind: 'over', error: run.stop };
  const decisions = await readDecisions(deps.store, run.runId);
  const refused = decisions.some(({ release }) => release.decision === 'refused');
  if (refused) {
    return {
      kind: 'over',
      // Not whose officer: what a single holder knows is nobody else's to be told by it.
      error: new PolicyError('refused-by-officer', 'An officer did not release the result.', {
        rule: 'release',
        dependedOnRows: true,
      }),
    };
  }
  const approved = run.parties.every((party) =>
    decisions.some(({ release }) => release.party === party),
  );
  const untilMs = (run.releaseUntilMs ?? 0) + (approved ? DELIVERY_GRACE_MS : 0);
  if (untilMs <= deps.clock.now()) {
    return {
      kind: 'over',
      error: new AbortError(
        'run-timed-out',
        'The result was not released in time; nothing was charged.',
        { rule: 'release', remedy: 'Sign a new request.' },
      ),
    };
  }
  return approved ? { kind: 'released', decisions } : { kind: 'waiting' };
}

/** Ends a run whose result waits. A run that was settled meanwhile stays as it is. */
export async function endAwaiting(
  deps: RunDependencies,
  contracts: Pick<ActiveContracts, 'find'>,
  run: RunRow,
  error: WeirError,
): Promise<void> {
  const contract = await contracts.find(run.contractId, deps.clock.now());
  await settleAwaiting(deps, run, contract, endOf(deps, { run }, error));
}

/**
 * Fetches every domain's part, opens and settles.
 * @returns false where a part could not be had now: the run waits on.
 */
export async function deliver(
  deps: RunDependencies,
  contracts: Pick<ActiveContracts, 'find'>,
  run: RunRow,
  decisions: readonly SignedReleaseDecision[],
  signal: AbortSignal,
): Promise<boolean> {
  const contract = await contracts.find(run.contractId, deps.clock.now());
  let end: RunEnd;
  try {
    end = await delivered(deps, run, contract, decisions, signal);
  } catch (error) {
    if (isPassing(asWeirError(error))) {
      deps.log.warn({ runId: run.runId, err: error }, 'a released result could not be fetched yet');
      return false;
    }
    end = endOf(deps, { run }, error);
  }
  await settleAwaiting(deps, run, contract, end);
  return true;
}

async function delivered(
  deps: RunDependencies,
  run: RunRow,
  { contract, signatures }: SignedContract,
  decisions: readonly SignedReleaseDecision[],
  signal: AbortSignal,
): Promise<RunEnd> {
  const { runId, descriptor, parties } = run;
  assertInvariant(descriptor !== undefined, 'a run that waits has its descriptor');
  const computation = computationOf(deps, descriptor.protocol);
  const held = heldOf(computation, contract);
  assertInvariant(held !== undefined, 'a run waits under terms of release');
  publish(deps, runId, 'releasing', 'All officers released the result.', undefined);
  const deliveryId = RunIdSchema.parse(uuidV7(deps.clock, deps.random));
  const channel = deps.transport.openChannel(deliveryId, 1, parties);
  const stop = (): void => channel.abort(asWeirError(signal.reason));
  signal.addEventListener('abort', stop, { once: true });
  try {
    if (signal.aborted) stop();
    const body: Deliver = { runId, deliveryId, decisions: [...decisions] };
    const asked = await askAll(deps.transport, parties, RUN_METHODS.deliver, body, signal);
    if (asked.refusal !== undefined) throw asked.refusal.reason;
    if (asked.missing.size > 0) {
      const party = [...asked.missing].join(', ');
      throw new AbortError('domain-unreachable', `${party} cannot be reached.`, { party });
    }
    const release = await held.finish({
      contract,
      descriptor,
      channel,
      pool: deps.pool,
      progress: (fraction, told) => publish(deps, runId, 'releasing', told, fraction),
    });
    signal.throwIfAborted();
    return await postedEnd(deps, { run, contract: { contract, signatures } }, release);
  } catch (error) {
    channel.abort(asWeirError(error));
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    channel.close();
  }
}

/** What passes by itself: a domain or this gateway that is down, slow or full. */
function isPassing({ code, family }: WeirError): boolean {
  const passing: readonly WeirError['code'][] = [
    'domain-unreachable',
    'domain-left',
    'run-timed-out',
    'result-not-ready',
  ];
  return family === 'capacity' || passing.includes(code);
}

async function settleAwaiting(
  deps: RunDependencies,
  run: RunRow,
  contract: SignedContract,
  end: RunEnd,
): Promise<void> {
  const { descriptor, descriptorHash } = run;
  const agreement: Agreement | undefined =
    descriptor === undefined || descriptorHash === undefined
      ? undefined
      : { descriptor, descriptorHash, signatures: [] };
  const computation = computationOf(deps, run.protocol);
  const { units } = computation.estimate(contract.contract, run.request.request.arguments);
  await settle(deps, { run, contract, units }, agreement, end);
}
