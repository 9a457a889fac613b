/** The runs that this process is at work on: each at most for its time, to be aborted and waited for. */
import { AbortError, CapacityError, type WeirError } from '../errors.ts';
import type { Log } from '../system/log.ts';
import type { ContractId, RunId } from '../system/ids.ts';
import type { GuestLine } from './guest-line.ts';
import type { RunRow } from './run-rows.ts';

interface LiveRun {
  readonly contractId: ContractId;
  readonly abort: AbortController;
  readonly done: Promise<void>;
  readonly guest: GuestLine | undefined;
  readonly attachmentBytes: number;
}

/** What came with the requests of runs at work, encrypted weights, say: kept in memory while they are. */
export const ATTACHMENTS_BYTES_MAX: number = 128 * 1024 * 1024;

export class LiveRuns {
  readonly #runs = new Map<RunId, LiveRun>();
  readonly #timeoutMs: number;
  readonly #log: Log;
  /** Why a run that begins now ends at once. */
  #overdue: WeirError | undefined;
  /** Of what came with requests whose runs are about to begin. */
  #beginningBytes = 0;

  constructor(timeoutMs: number, log: Log) {
    this.#timeoutMs = timeoutMs;
    this.#log = log;
  }

  get size(): number {
    return this.#runs.size;
  }

  /**
   * For what comes with a request, until its run is at work, which counts it then, or did not begin.
   * @returns gives the room back.
   * @throws CapacityError `queue-full` where so many bytes more would be too many to keep
   */
  takeRoom(attachment: Uint8Array | undefined): () => void {
    let takenBytes = attachment?.length ?? 0;
    let keptBytes = takenBytes + this.#beginningBytes;
    for (const { attachmentBytes } of this.#runs.values()) keptBytes += attachmentBytes;
    if (takenBytes === 0 || keptBytes <= ATTACHMENTS_BYTES_MAX) {
      this.#beginningBytes += takenBytes;
      return () => {
        this.#beginningBytes -= takenBytes;
        takenBytes = 0;
      };
    }
    throw new CapacityError('queue-full', 'Too many runs with weights are at work already.', {
      retryAfterS: 5,
    });
  }

  has(runId: RunId): boolean {
    return this.#runs.has(runId);
  }

  get(runId: RunId): LiveRun | undefined {
    return this.#runs.get(runId);
  }

  /**
   * Resolves once the work is over, however it went; errors are logged.
   * @param more - `objection`: a reason to end at once.
   */
  work(
    { runId, contractId }: Pick<RunRow, 'runId' | 'contractId'>,
    work: (signal: AbortSignal) => Promise<void>,
    more: {
      readonly objection?: unknown;
      readonly guest?: GuestLine | undefined;
      readonly attachment?: Uint8Array | undefined;
    } = {},
  ): Promise<void> {
    const abort = new AbortController();
    const objected = more.objection ?? this.#overdue;
    if (objected !== undefined) abort.abort(objected);
    const timer = setTimeout(
      () => abort.abort(new AbortError('run-timed-out', 'The run took longer than it may.')),
      this.#timeoutMs,
    );
    const done = work(abort.signal)
      .catch((error: unknown) => {
        // The ledger could not be written: the row stays live, and recovery or the sweeper ends it.
        this.#log.error({ runId, err: error }, 'run could not be settled');
      })
      .finally(() => {
        clearTimeout(timer);
        this.#runs.delete(runId);
      });
    const attachmentBytes = more.attachment?.length ?? 0;
    this.#runs.set(runId, { contractId, abort, done, guest: more.guest, attachmentBytes });
    return done;
  }

  /** Ends the runs of contracts that `stopOf` names a reason for. */
  async endStopped(stopOf: (id: ContractId) => Promise<WeirError | undefined>): Promise<void> {
    const ids = new Set([...this.#runs.values()].map(({ contractId }) => contractId));
    for (const id of ids) {
      const reason = await stopOf(id);
      if (reason !== undefined) await this.abortContract(id, reason);
    }
  }

  async abortContract(contractId: ContractId, reason: WeirError): Promise<void> {
    const ending = [...this.#runs.values()].filter((live) => live.contractId === contractId);
    for (const live of ending) live.abort.abort(reason);
    await Promise.all(ending.map((live) => live.done));
  }

  /** What begins after this ends at once, too. */
  abortAll(reason: WeirError): void {
    this.#overdue = reason;
    for (const live of this.#runs.values()) live.abort.abort(reason);
  }

  async idle(): Promise<void> {
    await Promise.allSettled([...this.#runs.values()].map((live) => live.done));
  }
}
