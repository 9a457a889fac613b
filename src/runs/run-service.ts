/**
 * Runs as the API sees them: start, look, cancel, fetch; and after a crash, end what was left
 * without an end. A run outlives its client, never its reservation.
 */
import type { Computation } from '../computations/computation.ts';
import { heldOf } from '../computations/held-release.ts';
import type { Contract } from '../contracts/contract.ts';
import { DELIVERY_GRACE_MS } from '../contracts/release-terms.ts';
import { checkArguments } from '../contracts/plan-fits.ts';
import type { SignedRequest } from '../contracts/request.ts';
import { requestHash, verifyRequest } from '../contracts/signed-documents.ts';
import { CapacityError, PolicyError, StateError, type WeirError } from '../errors.ts';
import type { QuotaAccount } from '../ledger/ledger-store.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { type ContractId, type PartyId, type RunId, RunIdSchema } from '../system/ids.ts';
import { uuidV7 } from '../system/random.ts';
import { GuestLine } from './guest-line.ts';
import { LiveRuns } from './live-runs.ts';
import type { RunEvent } from './run-events.ts';
import { TERMINAL_STATES } from './run-events.ts';
import { checkAttachment } from './attachment.ts';
import { rowEvents, withStoredEnd } from './stored-events.ts';
import { Stops } from './stops.ts';
import { WaitingResults } from './waiting-results.ts';
import { executeRun, type RunDependencies, type RunJob } from './run-machine.ts';
import { Calendars, type QuotaLeft, quotaAccounts, quotaLeft, reservationLines } from './quota.ts';
import type { ActiveContracts } from './active-contracts.ts';
import { type OperatorQuota, operatorAccounts } from './operator-quotas.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { completeIfUsedUp } from './used-up.ts';
import {
  atWorkElsewhere,
  cancelled,
  conflict,
  endedWithout,
  exceeded,
  expiredResult,
  unknownRun,
} from './run-errors.ts';
import { insertRun, readRun, readRunByKey, readSealedResult, type RunRow } from './run-rows.ts';

export interface RunServiceOptions {
  readonly concurrentMax: number;
  /** What the operator limits besides the contracts. */
  readonly quotas: readonly OperatorQuota[];
  readonly quotaTimeZone: string;
  readonly timeoutMs: number;
  /** An analyst that takes part in a run and is silent for so long has left it. */
  readonly analystSilenceMs: number;
}

export interface StartCommand {
  readonly analyst: PartyId;
  readonly idempotencyKey: string;
  readonly request: SignedRequest;
  /** What comes with the request, where the computation has any. */
  readonly attachment?: Uint8Array | undefined;
}

/** The reservation outlives the run's own time limit by this much, so that only a crash lets it expire. */
const RESERVATION_MARGIN_MS = 60_000;

/** Owns the runs at work in this process. */
export class RunService {
  /** Runs whose results wait for officers. */
  readonly waiting: WaitingResults;
  readonly #deps: RunDependencies;
  readonly #contracts: ActiveContracts;
  readonly #receipts: ReceiptIssuer;
  readonly #options: RunServiceOptions;
  readonly #live: LiveRuns;
  readonly #stops: Stops;
  /** Being reserved: not at work yet, and nothing that a shutdown may forget. */
  readonly #starting = new Map<RunId, Promise<unknown>>();
  readonly #calendars = new Calendars();
  #closing = false;

  constructor(
    deps: RunDependencies,
    contracts: ActiveContracts,
    receipts: ReceiptIssuer,
    options: RunServiceOptions,
  ) {
    this.#deps = deps;
    this.#contracts = contracts;
    this.#receipts = receipts;
    this.#options = options;
    this.#live = new LiveRuns(options.timeoutMs, deps.log);
    this.waiting = new WaitingResults(deps, contracts, receipts, {
      isBusy: (runId) => this.#closing || this.#live.has(runId),
      work: (run, work) => void this.#live.work(run, work),
    });
    const { waiting } = this;
    this.#stops = new Stops({ deps, contracts, receipts, live: this.#live, waiting });
  }

  /** At work here, or about to be. */
  isLive(runId: RunId): boolean {
    return this.#live.has(runId) || this.#starting.has(runId);
  }

  /** Resolves once the reservation is durable; a throw means nothing was reserved. */
  async start(command: StartCommand): Promise<{
    readonly runId: RunId;
    readonly state: RunRow['state'];
    readonly repeated: boolean;
    readonly quota: readonly QuotaLeft[];
  }> {
    const requestKey = `${command.analyst}/${command.idempotencyKey}`;
    const bodyHash = canonicalHash(command.request);
    const earlier = await readRunByKey(this.#deps.store, requestKey);
    if (earlier !== undefined) return this.#repeat(earlier, bodyHash);
    this.#admit();
    const giveRoom = this.#live.takeRoom(command.attachment);
    const runId = RunIdSchema.parse(uuidV7(this.#deps.clock, this.#deps.random));
    const starting = this.#startFresh(command, { runId, requestKey, bodyHash });
    this.#starting.set(runId, starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(runId);
      giveRoom();
    }
  }

  async get(runId: RunId, analyst: PartyId): Promise<RunRow> {
    const run = await readRun(this.#deps.store, runId);
    if (run === undefined || run.analyst !== analyst) throw unknownRun();
    return run;
  }

  async cancel(runId: RunId, analyst: PartyId): Promise<RunRow> {
    const run = await this.get(runId, analyst);
    if (TERMINAL_STATES.includes(run.state)) return run;
    await this.#starting.get(runId)?.catch(() => undefined);
    await this.#stops.stop(run, cancelled());
    return this.get(runId, analyst);
  }

  /** The sealed result and its receipt, until retention ends. */
  async result(
    runId: RunId,
    analyst: PartyId,
  ): Promise<{
    readonly runId: RunId;
    readonly sealed: string;
    readonly receipt: Readonly<Record<string, unknown>>;
  }> {
    const run = await this.get(runId, analyst);
    if (!TERMINAL_STATES.includes(run.state)) {
      throw new StateError(
        'result-not-ready',
        `The run is ${run.state}; its result is not ready.`,
        {
          retryAfterS: 1,
        },
      );
    }
    const receipt = await this.#receipts.receiptOf(run);
    if (run.state !== 'posted') throw endedWithout(run);
    const sealed = await readSealedResult(this.#deps.store, runId);
    const isOver =
      run.resultExpiresMs !== undefined && run.resultExpiresMs <= this.#deps.clock.now();
    if (sealed === undefined || isOver) throw expiredResult(JSON.stringify(receipt));
    return { runId, sealed, receipt };
  }

  /**
   * The live events and the end; another process's runs have no live events here: of those it is told
   * what is in the store.
   */
  async follow(
    runId: RunId,
    analyst: PartyId,
    afterSeq: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<RunEvent>> {
    const run = await this.get(runId, analyst);
    const { store, events } = this.#deps;
    if (!TERMINAL_STATES.includes(run.state) && this.#isElsewhere(run)) {
      return rowEvents(this.#deps, runId, afterSeq, signal);
    }
    return withStoredEnd(store, runId, events.follow(runId, afterSeq, signal));
  }

  #isElsewhere({ runId, instance }: RunRow): boolean {
    return instance !== this.#deps.instance && !this.#live.has(runId);
  }

  /** Ends a contract's runs, in whichever process: revocation, suspension. */
  abortContract(contractId: ContractId, reason: WeirError): Promise<void> {
    return this.#stops.stopContract(contractId, reason);
  }

  /** Ends runs at work here as other processes ask, until `signal` aborts. */
  heedOthers(signal: AbortSignal): Promise<void> {
    return this.#stops.watch(signal);
  }

  /** Ends runs at work whose contract was stopped at another process of the gateway. */
  endStopped(): Promise<void> {
    return this.#live.endStopped((id) => this.#contracts.stopOf(id));
  }

  /** Takes no new run; waits for those at work, then aborts what is left at the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    this.#closing = true;
    const everything = this.#idle();
    const stop = new AbortController();
    await Promise.race([everything, this.#deps.clock.sleep(deadlineMs, stop.signal)]);
    stop.abort();
    this.#live.abortAll(new CapacityError('shutting-down', 'The gateway is shutting down.'));
    await everything;
  }

  /** Resolves when nothing is at work or about to be; while closing, nothing new comes. */
  async #idle(): Promise<void> {
    while (this.#starting.size + this.#live.size > 0) {
      await Promise.allSettled([...this.#starting.values(), this.#live.idle()]);
    }
  }

  /** The quota accounts that a run of this contract draws on now. */
  accounts(contract: Contract, nowMs: number): readonly QuotaAccount[] {
    const { quotas, quotaTimeZone } = this.#options;
    return [
      ...quotaAccounts(contract, nowMs, this.#calendars.of(contract.timeZone)),
      ...operatorAccounts(quotas, contract, nowMs, this.#calendars.of(quotaTimeZone)),
    ];
  }

  #admit(): void {
    if (this.#closing) {
      throw new CapacityError('shutting-down', 'The gateway is shutting down; try again shortly.', {
        retryAfterS: 5,
      });
    }
    if (this.#live.size + this.#starting.size >= this.#options.concurrentMax) {
      throw new CapacityError(
        'queue-full',
        `${this.#options.concurrentMax} runs are at work already; try again shortly.`,
        { retryAfterS: 2 },
      );
    }
  }

  async #startFresh(
    command: StartCommand,
    { runId, requestKey, bodyHash }: Pick<RunRow, 'runId' | 'requestKey' | 'bodyHash'>,
  ): ReturnType<RunService['start']> {
    const nowMs = this.#deps.clock.now();
    const { request } = command.request;
    const contract = await this.#contracts.forRun(request.contractId, command.analyst, nowMs);
    verifyRequest(command.request, contract.contract, { nowMs });
    checkArguments(contract.contract, request.arguments);
    const computation = this.#computation(contract.contract);
    const estimate = computation.estimate(contract.contract, request.arguments);
    const { attachment } = command;
    checkAttachment(computation, contract.contract, request, attachment);
    const run = {
      runId,
      instance: this.#deps.instance,
      requestKey,
      bodyHash,
      analyst: command.analyst,
      contractId: request.contractId,
      contractHash: request.contractHash,
      protocol: contract.contract.protocol.name,
      requestHash: requestHash(request),
      request: command.request,
      createdMs: nowMs,
    };
    const accounts = this.accounts(contract.contract, nowMs);
    const outcome = await this.#deps.ledger.reserve({
      requestKey,
      bodyHash,
      runId,
      lines: reservationLines(contract.contract, accounts, estimate.units),
      nowMs,
      expiresAtMs: nowMs + this.#longestMs(contract.contract) + RESERVATION_MARGIN_MS,
      alongside: [insertRun(run)],
    });
    if (outcome.kind === 'exceeded') {
      // After a crash between a contract's last run and this note, the next call makes it.
      await this.#completeIfUsedUp(contract.contract, estimate.units);
      throw exceeded(outcome);
    }
    if (outcome.kind !== 'reserved') {
      const first = await readRun(this.#deps.store, outcome.runId);
      if (first === undefined) throw conflict();
      return this.#repeat(first, bodyHash);
    }
    const row = await readRun(this.#deps.store, runId);
    if (row === undefined) throw unknownRun();
    const objection = await this.#objection(command);
    const job = { run: row, contract, estimate, units: estimate.units, attachment };
    this.#launch(job, objection);
    // The run is under way, whether or not this can be told.
    const quota = await quotaLeft(this.#deps.ledger, accounts).catch(() => []);
    return { runId, state: row.state, repeated: false, quota };
  }

  /** How long a run of the contract may take: officers' time, and that of fetching the parts, included. */
  #longestMs({ release }: Contract): number {
    const { timeoutMs } = this.#options;
    if (release === undefined) return timeoutMs;
    return 2 * timeoutMs + release.withinS * 1000 + DELIVERY_GRACE_MS;
  }

  /** Revoked or suspended while the reservation was written, when no run could be aborted yet. */
  async #objection({ analyst, request: { request } }: StartCommand): Promise<unknown> {
    try {
      await this.#contracts.forRun(request.contractId, analyst, this.#deps.clock.now());
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #computation(contract: Contract): Computation {
    const computation = this.#deps.computations.get(contract.protocol.name);
    if (computation === undefined) {
      throw new PolicyError('plan-outside-contract', 'No such protocol here.', {
        rule: 'protocol.name',
      });
    }
    heldOf(computation, contract);
    return computation;
  }

  /**
   * The frames of a run that the analyst takes part in; undefined where none go any more.
   * @throws StateError `run-unknown`, `round-mismatch` where another gateway has the run; CapacityError
   *   `queue-full` where it is about to begin
   */
  async guestOf(runId: RunId, analyst: PartyId): Promise<GuestLine | undefined> {
    const guest = this.#live.get(runId)?.guest;
    if (guest?.analyst === analyst) return guest;
    const run = await this.get(runId, analyst);
    if (TERMINAL_STATES.includes(run.state)) return undefined;
    if (this.#starting.has(runId)) {
      throw new CapacityError('queue-full', 'The run is about to begin.', { retryAfterS: 1 });
    }
    if (!this.#isElsewhere(run)) return undefined;
    throw atWorkElsewhere(run);
  }

  /** The process that is at work on the run, where it is not this one. @throws StateError `run-unknown` */
  async elsewhere(runId: RunId, analyst: PartyId): Promise<string | undefined> {
    if (this.isLive(runId)) return undefined;
    const run = await this.get(runId, analyst);
    const isOther = !TERMINAL_STATES.includes(run.state) && this.#isElsewhere(run);
    return isOther ? run.instance : undefined;
  }

  #launch(job: Omit<RunJob, 'signal' | 'guest'>, objection: unknown): void {
    const { runId, analyst } = job.run;
    const guest =
      this.#computation(job.contract.contract).hasGuest === true
        ? new GuestLine(analyst, this.#deps.clock)
        : undefined;
    const over = new AbortController();
    void guest?.watch(this.#options.analystSilenceMs, over.signal);
    const work = (signal: AbortSignal): Promise<void> =>
      this.#execute({ ...job, guest, signal }).finally(() => over.abort());
    const done = this.#live.work(job.run, work, { ...job, objection, guest });
    // Decisions may have come before the run was noted as waiting.
    done
      .then(() => this.waiting.tend(runId))
      .catch((error: unknown) => {
        this.#deps.log.error({ runId, err: error }, 'the sweeper will try again');
      });
  }

  async #execute(job: RunJob): Promise<void> {
    const ended = await executeRun(this.#deps, job);
    if (ended === undefined) return;
    await this.#receipts.issue(job.run.runId);
    await this.#deps.step('receipted', job.run.runId);
    await this.#completeIfUsedUp(job.contract.contract, job.units);
  }

  #completeIfUsedUp(contract: Contract, units: RunJob['units']): Promise<void> {
    const nowMs = this.#deps.clock.now();
    const accounts = this.accounts(contract, nowMs);
    return completeIfUsedUp(this.#deps, this.#contracts, { contract, accounts, units, nowMs });
  }

  #repeat(run: RunRow, bodyHash: RunRow['bodyHash']): Awaited<ReturnType<RunService['start']>> {
    if (run.bodyHash !== bodyHash) throw conflict();
    const gone =
      run.state === 'posted' &&
      run.resultExpiresMs !== undefined &&
      run.resultExpiresMs <= this.#deps.clock.now();
    if (gone) throw expiredResult(run.receiptJson);
    return { runId: run.runId, state: run.state, repeated: true, quota: [] };
  }
}
