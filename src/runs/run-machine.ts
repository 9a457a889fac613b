/**
 * One run from its reservation to its settlement. The order of writes is the argument: the
 * reservation is durable before any domain is asked; the result and the charge become durable in
 * one transaction; so a crash anywhere leaves either a live row, which recovery voids, or a
 * settled one, whose result can be fetched.
 */
import type { Computation, Estimate, GatewayRole, Release } from '../computations/computation.ts';
import { heldOf } from '../computations/held-release.ts';
import type { SignedContract } from '../contracts/contract.ts';
import { HELD_KIND } from '../contracts/officer-release.ts';
import { RUN_METHODS, type Start } from '../contracts/run-messages.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import { AbortError, assertInvariant, InvariantError } from '../errors.ts';
import type { LedgerStore, SettleOutcome } from '../ledger/ledger-store.ts';
import type { Pool } from '../pool/pool.ts';
import type { Statement, Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import type { PartyId, RunId } from '../system/ids.ts';
import type { Random } from '../system/random.ts';
import type { Log } from '../system/log.ts';
import { type Agreement, askAll, negotiate } from './negotiate.ts';
import { inviteGuest, type GuestLine } from './guest-line.ts';
import type { OtherProcesses } from './other-processes.ts';
import type { RunEvents, RunState } from './run-events.ts';
import { advanceRun, type RunRow } from './run-rows.ts';
import type { RunTransport } from './run-transport.ts';
import { asWeirError, endOf, postedEnd, settlePatiently } from './run-ending.ts';
import type { RunEnd, UnitsByDimension } from './settlement.ts';

/** Where a crash test may end the process; reached in this order. */
export const RUN_STEPS = [
  'reserved',
  'prepared',
  'agreed',
  'started',
  'released',
  'settling',
  'settled',
  'receipted',
] as const;
export type RunStep = (typeof RUN_STEPS)[number];

export interface RunDependencies {
  readonly store: Store;
  readonly ledger: LedgerStore;
  readonly events: RunEvents;
  readonly transport: RunTransport;
  readonly pool: Pool;
  readonly computations: ReadonlyMap<string, Computation>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Names this gateway process among several on one store. */
  readonly instance: string;
  /** Absent where the store has one process only. */
  readonly others?: OtherProcesses;
  /**
   * Keeps a domain's signed spend, so that its counters cannot go back unnoticed.
   * @throws StateError `history-rolled-back`; AbortError `domain-failed`
   */
  witnessSpend(party: PartyId, answer: unknown): Promise<SignedSpend>;
  /** Reached after each named step; a crash test ends the process here, production does nothing. */
  step(name: RunStep, runId: RunId): Promise<void>;
}

export interface RunJob {
  readonly run: RunRow;
  readonly contract: SignedContract;
  readonly estimate: Estimate;
  readonly units: UnitsByDimension;
  /** The analyst's end, where it takes part in the run itself. */
  readonly guest?: GuestLine | undefined;
  /** What came with the request; checked. */
  readonly attachment?: Uint8Array | undefined;
  /** Aborts with a WeirError: cancelled, revoked, out of time, shutting down. */
  readonly signal: AbortSignal;
}

/** What is known of a run that has ended. */
export interface EndedRun {
  readonly end: RunEnd;
  readonly agreement: Agreement | undefined;
  readonly outcome: SettleOutcome;
}

/**
 * Never throws for a run that fails: it settles it. Throws only where the ledger cannot write.
 * @returns undefined where the result waits for officers, durably: then `officer-releases.ts` goes on.
 */
export async function executeRun(
  deps: RunDependencies,
  job: RunJob,
): Promise<EndedRun | undefined> {
  await deps.step('reserved', job.run.runId);
  const notes = new ProgressNotes(deps.store);
  const endGuest = (): void => job.guest?.end(asWeirError(job.signal.reason));
  job.signal.addEventListener('abort', endGuest, { once: true });
  let agreement: Agreement | undefined;
  let end: RunEnd;
  try {
    agreement = await agree(deps, job, notes);
    if (job.guest !== undefined) await inviteGuest(job.guest, agreement);
    const release = await compute(deps, job, notes, agreement);
    job.signal.throwIfAborted();
    if (release === undefined) {
      await awaitRelease(deps, job, notes, agreement);
      return undefined;
    }
    await notes.written();
    end = await postedEnd(deps, job, release);
  } catch (error) {
    end = endOf(deps, job, error);
    if ('error' in end) job.guest?.end(end.error);
  } finally {
    job.signal.removeEventListener('abort', endGuest);
  }
  await notes.over();
  const outcome = await settlePatiently(deps, job, agreement, end);
  return { end, agreement, outcome };
}

/** Every domain keeps its part: the run outlives this process, until its time is over. */
async function awaitRelease(
  deps: RunDependencies,
  job: RunJob,
  notes: ProgressNotes,
  { descriptor }: Agreement,
): Promise<void> {
  const { release } = job.contract.contract;
  assertInvariant(release !== undefined, 'a run waits where its contract says so');
  advance(deps, job, notes, {
    state: 'awaiting-release',
    attempt: descriptor.attempt,
    note: 'An officer of each holder is to release the result.',
    releaseUntilMs: deps.clock.now() + release.withinS * 1000,
  });
  await notes.written();
}

/**
 * What is written of one run's progress, in its order: on a store of several connections two writes
 * at once could end in the earlier state. What comes while one is under way goes as one batch after it.
 */
class ProgressNotes {
  readonly #store: Pick<Store, 'execute'>;
  readonly #queued: Statement[] = [];
  #writing: Promise<void> | undefined;
  #failure: unknown;

  constructor(store: Pick<Store, 'execute'>) {
    this.#store = store;
  }

  push(statement: Statement): void {
    this.#queued.push(statement);
    this.#writing ??= this.#write();
  }

  /** @throws CapacityError where one could not be written. */
  async written(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Nothing is under way any more, whatever became of it. */
  async over(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#queued.length > 0) {
      try {
        await this.#store.execute(this.#queued.splice(0));
      } catch (error) {
        // Looked at in `written`.
        this.#failure ??= error;
      }
    }
    this.#writing = undefined;
  }
}

async function agree(deps: RunDependencies, job: RunJob, notes: ProgressNotes): Promise<Agreement> {
  const { runId } = job.run;
  advance(deps, job, notes, {
    state: 'preparing',
    attempt: 1,
    note: 'The holders check the contract and the request.',
  });
  const agreement = await negotiate(
    deps.transport,
    {
      runId,
      contract: job.contract,
      contractHash: job.run.contractHash,
      request: job.run.request,
      requestHash: job.run.requestHash,
      estimate: job.estimate,
    },
    { prepared: () => deps.step('prepared', runId) },
    job.signal,
  );
  const { attempt, parties } = agreement.descriptor;
  advance(deps, job, notes, {
    state: 'agreed',
    attempt,
    note: `${parties.length} holders signed the run descriptor.`,
    descriptor: { document: agreement.descriptor, hash: agreement.descriptorHash },
  });
  await deps.step('agreed', runId);
  return agreement;
}

async function compute(
  deps: RunDependencies,
  job: RunJob,
  notes: ProgressNotes,
  agreement: Agreement,
): Promise<Release | undefined> {
  const { runId } = job.run;
  const { descriptor } = agreement;
  const computation = computationOf(deps, descriptor.protocol);
  const parties = descriptor.parties.map((party) => party.id);
  const channel = deps.transport.openChannel(runId, descriptor.attempt, parties);
  const stop = (): void => channel.abort(asWeirError(job.signal.reason));
  job.signal.addEventListener('abort', stop, { once: true });
  let witnessing: Promise<readonly SignedSpend[]> | undefined;
  try {
    witnessing = (await start(deps, job, agreement, parties)).spends;
    // The protocol runs while the spends are written down; one that cannot be ends it at once.
    witnessing.catch((error: unknown) => channel.abort(asWeirError(error)));
    const progress = { state: 'computing', attempt: descriptor.attempt } as const;
    const note = 'The protocol runs between the holders.';
    advance(deps, job, notes, { ...progress, note });
    const { contract } = job.contract;
    const release = await unlessHeld(computation, {
      contract,
      descriptor,
      channel,
      ...(job.guest === undefined ? {} : { guest: job.guest }),
      pool: deps.pool,
      attachment: job.attachment,
      progress: (fraction, told) => publish(deps, runId, 'computing', told, fraction),
    });
    advance(deps, job, notes, { ...progress, note, spends: await witnessing });
    return release;
  } catch (error) {
    channel.abort(asWeirError(error));
    // Whatever becomes of the run: who counted it must not be able to say otherwise later.
    await witnessing?.catch(() => undefined);
    throw error;
  } finally {
    job.signal.removeEventListener('abort', stop);
    channel.close();
  }
}

/** The release; undefined once every domain has said that it keeps its part for officers. */
async function unlessHeld(
  computation: Computation,
  role: GatewayRole,
): Promise<Release | undefined> {
  const held = heldOf(computation, role.contract);
  if (held === undefined) return computation.runGateway(role);
  await held.relay(role);
  await Promise.all(
    role.descriptor.parties.map(({ id }) => role.channel.receive(id, HELD_KIND, 0)),
  );
  return undefined;
}

export function computationOf(
  { computations }: Pick<RunDependencies, 'computations'>,
  protocol: string,
): Computation {
  const computation = computations.get(protocol);
  if (computation === undefined) throw new InvariantError('internal', 'no such computation');
  return computation;
}

/** From the first `run.start` on, a domain's counter may be spent: no other party set any more. */
async function start(
  deps: RunDependencies,
  job: RunJob,
  agreement: Agreement,
  parties: readonly PartyId[],
): Promise<{ readonly spends: Promise<readonly SignedSpend[]> }> {
  const body: Start = {
    runId: job.run.runId,
    attempt: agreement.descriptor.attempt,
    signatures: [...agreement.signatures],
  };
  const { answers, missing, refusal } = await askAll(
    deps.transport,
    parties,
    RUN_METHODS.start,
    body,
    job.signal,
  );
  // Whatever becomes of the run: who counted it must not be able to say otherwise later.
  const spends = Promise.all(
    [...answers].map(([party, answer]) => deps.witnessSpend(party, answer)),
  );
  if (refusal !== undefined || missing.size > 0) await spends;
  if (refusal !== undefined) throw refusal.reason;
  if (missing.size > 0) {
    const party = [...missing].join(', ');
    throw new AbortError(
      'domain-left',
      `${party} left after the run had been started; it ends without a result, and nothing is charged.`,
      { party },
    );
  }
  spends.catch(() => undefined);
  await deps.step('started', job.run.runId);
  return { spends };
}

/**
 * Tells how far a run is. Only the settlement needs what is written here, so the run does not wait
 * for these syncs one by one: all are awaited before it is settled.
 */
function advance(
  deps: RunDependencies,
  job: RunJob,
  notes: ProgressNotes,
  progress: Parameters<typeof advanceRun>[1],
): void {
  const { runId } = job.run;
  notes.push(advanceRun(runId, progress, deps.clock.now()));
  publish(deps, runId, progress.state, progress.note, undefined);
}

/** Tells followers, and writes nothing. */
export function publish(
  deps: Pick<RunDependencies, 'events' | 'clock'>,
  runId: RunId,
  state: RunState,
  note: string,
  progress: number | undefined,
): void {
  deps.events.publish({ runId, atMs: deps.clock.now(), state, progress, code: undefined, note });
}
