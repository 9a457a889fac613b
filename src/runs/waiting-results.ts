/**
 * The runs of this gateway whose results wait for officers, and what is done with each. All that such a
 * run needs is in the store and the domains, so any process may go on with it: the one that started
 * it does, and where that is gone, another takes it over.
 */
import type { SignedReleaseDecision } from '../contracts/officer-release.ts';
import type { WeirError } from '../errors.ts';
import type { ContractId, RunId } from '../system/ids.ts';
import type { ActiveContracts } from './active-contracts.ts';
import { decide, deliver, endAwaiting, type Standing, standingOf } from './officer-releases.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { readAwaiting, readOthersWaitedWith, takeOverAwaiting } from './release-rows.ts';
import { TERMINAL_STATES } from './run-events.ts';
import { publish, type RunDependencies } from './run-machine.ts';
import { readRun, type RunRow } from './run-rows.ts';

/** What owns the runs at work. */
export interface Workplace {
  /** At work on the run, or taking no work any more. */
  isBusy(runId: RunId): boolean;
  /** Takes it up at once; errors are told, not thrown. */
  work(run: RunRow, work: (signal: AbortSignal) => Promise<void>): void;
}

/** Holds nothing itself: rows and decisions are in the store, parts in the domains. */
export class WaitingResults {
  readonly #deps: RunDependencies;
  readonly #contracts: ActiveContracts;
  readonly #receipts: ReceiptIssuer;
  readonly #workplace: Workplace;

  constructor(
    deps: RunDependencies,
    contracts: ActiveContracts,
    receipts: ReceiptIssuer,
    workplace: Workplace,
  ) {
    this.#deps = deps;
    this.#contracts = contracts;
    this.#receipts = receipts;
    this.#workplace = workplace;
  }

  /** An officer's decision on a result. @throws as `decide` */
  async decide(signed: SignedReleaseDecision): Promise<void> {
    const run = await decide(this.#deps, this.#contracts, signed);
    await this.tend(run.runId);
  }

  /**
   * Goes on with a run: released, refused, or out of time. Decisions may come before it is noted as
   * waiting, so it is called once it is.
   */
  async tend(runId: RunId): Promise<void> {
    const run = await readRun(this.#deps.store, runId);
    if (run?.state !== 'awaiting-release') return;
    // The domains tell the other process too, and it looks every few seconds.
    if (run.instance !== this.#deps.instance && !(await this.#takeOver(run.instance))) return;
    // At another process, perhaps: no result goes under a contract that was stopped since.
    const stop = await this.#contracts.stopOf(run.contractId);
    const standing: Standing =
      stop === undefined ? await standingOf(this.#deps, run) : { kind: 'over', error: stop };
    if (this.#workplace.isBusy(runId) || standing.kind === 'waiting') return;
    if (standing.kind === 'over') return this.end(run, standing.error);
    const { decisions } = standing;
    this.#workplace.work(run, async (signal) => {
      const isOver = await deliver(this.#deps, this.#contracts, run, decisions, signal);
      if (isOver) await this.#receipts.issue(runId);
    });
  }

  async tendAll(): Promise<void> {
    const { store, instance } = this.#deps;
    for (const other of await readOthersWaitedWith(store, instance)) await this.#takeOver(other);
    for (const { runId } of await readAwaiting(store, instance)) await this.tend(runId);
    await this.#tellEnds();
  }

  /** A run that was settled meanwhile stays as it is. */
  async end(run: RunRow, reason: WeirError): Promise<void> {
    await endAwaiting(this.#deps, this.#contracts, run, reason);
    await this.#receipts.issue(run.runId);
  }

  /** Those of other processes as well. */
  async endContract(contractId: ContractId, reason: WeirError): Promise<void> {
    for (const run of await readAwaiting(this.#deps.store)) {
      if (run.contractId === contractId) await this.end(run, reason);
    }
  }

  /** After a start: followers of before it find the runs here, and wait on. */
  async tellAll(): Promise<void> {
    this.#tell(await readAwaiting(this.#deps.store, this.#deps.instance));
  }

  /**
   * Takes over what waits with a process that is gone. Should it only have lost the store for a
   * moment, both fetch the parts, of which the domains keep a copy, and the ledger takes one end.
   */
  async #takeOver(other: string): Promise<boolean> {
    const { store, instance, others, log } = this.#deps;
    if ((await others?.isPresent(other)) === true) return false;
    const taken = await readAwaiting(store, other);
    await store.execute([takeOverAwaiting(other, instance)]);
    log.warn({ from: other, runs: taken.length }, 'results that wait with it were taken over');
    this.#tell(taken);
    return true;
  }

  /** An end that another process wrote, followers here would wait for without end. */
  async #tellEnds(): Promise<void> {
    const { store, events, others } = this.#deps;
    if (others === undefined) return;
    for (const runId of events.unended()) {
      if (this.#workplace.isBusy(runId)) continue;
      const run = await readRun(store, runId);
      if (run === undefined || !TERMINAL_STATES.includes(run.state)) continue;
      const { state, code, note, updatedMs: atMs } = run;
      events.publish({ runId, atMs, state, progress: 1, code, note });
    }
  }

  #tell(runs: readonly RunRow[]): void {
    for (const { runId, state, note } of runs) publish(this.#deps, runId, state, note, undefined);
  }
}
