/**
 * Ends runs, whichever process of the gateway is asked. One that is at work here is aborted; for one
 * of another process a request goes into its row, and that process looks for requests while it is at
 * work. A look at an index four times a second was preferred to a notification by the database: none
 * is missed over a lost connection, a restart finds the request as well, and only one thing is to be
 * kept right. The process at work settles its run; where there is none any more, whoever is asked
 * does. Should both come to it, the ledger takes one end.
 */
import type { WeirError } from '../errors.ts';
import type { Row, Statement, Store } from '../store/store.ts';
import type { ContractId, RunId } from '../system/ids.ts';
import type { ActiveContracts } from './active-contracts.ts';
import type { LiveRuns } from './live-runs.ts';
import type { ReceiptIssuer } from './receipt-issuer.ts';
import { endAbandoned } from './run-ending.ts';
import { TERMINAL_STATES } from './run-events.ts';
import type { RunDependencies } from './run-machine.ts';
import { LIVE_SQL, readRun, type RunRow, RUNS_LISTED_MAX } from './run-rows.ts';
import type { WaitingResults } from './waiting-results.ts';

/** How often a process at work looks whether a run of its own is to end. */
const STOP_LOOK_MS = 250;
/** How often who asked looks whether it has. */
const END_LOOK_MS = 100;
/** A process that does not end a run in this time finds the request when it can look again. */
const END_PATIENCE_MS = 10_000;
const STORE_PAUSE_MS = 2_000;

interface StopParts {
  readonly deps: RunDependencies;
  readonly contracts: Pick<ActiveContracts, 'find'>;
  readonly receipts: Pick<ReceiptIssuer, 'issue'>;
  readonly live: LiveRuns;
  readonly waiting: Pick<WaitingResults, 'end' | 'endContract'>;
}

/** Holds nothing itself: requests are in the runs' rows. */
export class Stops {
  readonly #parts: StopParts;

  constructor(parts: StopParts) {
    this.#parts = parts;
  }

  /** Resolves once the run has ended, or is asked to where its process is there and does not come to it. */
  async stop({ runId, instance }: RunRow, reason: WeirError): Promise<void> {
    const { deps, live, waiting } = this.#parts;
    const here = live.get(runId);
    if (here !== undefined) {
      here.abort.abort(reason);
      await here.done;
    } else if (instance !== deps.instance) {
      await this.#stopElsewhere(runId, reason);
    }
    // Its last domain may have said that it keeps its part before the reason came.
    const run = await readRun(deps.store, runId);
    if (run?.state === 'awaiting-release') await waiting.end(run, reason);
  }

  /** Ends all runs of a contract, as `stop` does each. */
  async stopContract(contractId: ContractId, reason: WeirError): Promise<void> {
    const { deps, live, waiting } = this.#parts;
    await live.abortContract(contractId, reason);
    const elsewhere = await readElsewhere(deps.store, contractId, deps.instance);
    await Promise.all(elsewhere.map((runId) => this.#stopElsewhere(runId, reason)));
    await waiting.endContract(contractId, reason);
  }

  /** Aborts runs at work here that another process was asked to end; until `signal` aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    const { deps, live } = this.#parts;
    const { store, clock, log, instance } = deps;
    while (!signal.aborted) {
      await clock.sleep(STOP_LOOK_MS, signal);
      if (live.size === 0) continue;
      try {
        for (const { runId, stop } of await readStopped(store, instance)) {
          if (stop !== undefined) live.get(runId)?.abort.abort(stop);
        }
      } catch (error) {
        log.warn({ err: error }, 'runs that are to end are looked for again');
        await clock.sleep(STORE_PAUSE_MS, signal);
      }
    }
  }

  async #stopElsewhere(runId: RunId, reason: WeirError): Promise<void> {
    const { deps, contracts, receipts } = this.#parts;
    const { store, clock } = deps;
    await store.execute([requestStop(runId, reason)]);
    const untilMs = clock.monotonic() + END_PATIENCE_MS;
    for (;;) {
      const run = await readRun(store, runId);
      if (run === undefined || TERMINAL_STATES.includes(run.state)) return;
      if (run.state === 'awaiting-release') return;
      if ((await deps.others?.isPresent(run.instance)) !== true) {
        await endAbandoned(deps, contracts, run, 'voided');
        return receipts.issue(runId);
      }
      if (clock.monotonic() >= untilMs) return;
      await clock.sleep(END_LOOK_MS);
    }
  }
}

/** The first reason stays; a run that has ended keeps its end. */
function requestStop(runId: RunId, { code, message }: WeirError): Statement {
  return {
    sql: `UPDATE runs SET stop_code = ?, stop_note = ?
          WHERE run_id = ? AND stop_code IS NULL AND state IN (${LIVE_SQL})`,
    params: [code, message, runId],
  };
}

async function readStopped(
  store: Store,
  instance: string,
): Promise<readonly Pick<RunRow, 'runId' | 'stop'>[]> {
  const rows = await store.query(
    `SELECT run_id FROM runs WHERE instance = ? AND stop_code IS NOT NULL AND state IN (${LIVE_SQL})
      LIMIT ${RUNS_LISTED_MAX}`,
    [instance],
  );
  const runs = await Promise.all(rows.map((row) => readRun(store, runIdOf(row))));
  return runs.flatMap((run) => run ?? []);
}

/** Runs of the contract that other processes are at work on. */
async function readElsewhere(
  store: Store,
  contractId: ContractId,
  instance: string,
): Promise<readonly RunId[]> {
  const rows = await store.query(
    `SELECT run_id FROM runs WHERE contract_id = ? AND instance <> ?
        AND state IN (${LIVE_SQL}) AND state <> 'awaiting-release'
      ORDER BY created_ms LIMIT ${RUNS_LISTED_MAX}`,
    [contractId, instance],
  );
  return rows.map(runIdOf);
}

function runIdOf(row: Row): RunId {
  return String(row['run_id']) as RunId;
}
