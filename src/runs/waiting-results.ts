/** The runs of this gateway whose results wait for officers, and what is done with each. */
import type { SignedReleaseDecision } from '../contracts/officer-release.ts';
import type { WeirError } from '../errors.ts';
import type { ContractId, RunId } from '../system/ids.ts';
import type { ActiveContracts } from './active-contracts.ts';
import { decide, deliver, endAwaiting, type Standing, standingOf } from './officer-releases.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { readAwaiting } from './release-rows.ts';
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
    // Another gateway's: the domains tell that one too, and it looks every few seconds.
    if (run.instance !== this.#deps.instance) return;
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
    for (const { runId } of await this.#all()) await this.tend(runId);
  }

  /** A run that was settled meanwhile stays as it is. */
  async end(run: RunRow, reason: WeirError): Promise<void> {
    await endAwaiting(this.#deps, this.#contracts, run, reason);
    await this.#receipts.issue(run.runId);
  }

  async endContract(contractId: ContractId, reason: WeirError): Promise<void> {
    for (const run of await this.#all()) {
      if (run.contractId === contractId) await this.end(run, reason);
    }
  }

  /** After a start: followers of before it find the runs here, and wait on. */
  async tellAll(): Promise<void> {
    for (const { runId, state, note } of await this.#all()) {
      publish(this.#deps, runId, state, note, undefined);
    }
  }

  #all(): Promise<readonly RunRow[]> {
    return readAwaiting(this.#deps.store, this.#deps.instance);
  }
}
