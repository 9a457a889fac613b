/**
 * What analysts do to a gateway that is killed under them, and what it acknowledged to them: this
 * process lives on, so its notes are what the store must bear out.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PreparedRun } from '../../src/client/analyst.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import { isTerminal } from '../../src/client/follow.ts';
import { isPassing } from '../../src/client/retry.ts';
import { WeirClient } from '../../src/client/weir-client.ts';
import type { ContractBody, RunBody } from '../../src/contracts/api.ts';
import { sealedResultHash } from '../../src/contracts/sealed-result.ts';
import { ContractIdSchema, type Hash, type RunId } from '../../src/system/ids.ts';

export interface Acknowledged {
  /** The run that each idempotency key was answered with. */
  readonly runs: Map<string, RunId>;
  readonly ends: Map<RunId, RunBody['state']>;
  /** Hashes of sealed results that were fetched. */
  readonly results: Map<RunId, Hash>;
  /** Calls that are refused, and metered: how many were sent, and how many were answered. */
  readonly refusals: { sent: number; answered: number };
  /** What contradicts an earlier acknowledgement. */
  readonly contradictions: string[];
}

export function nothingAcknowledged(): Acknowledged {
  return {
    runs: new Map(),
    ends: new Map(),
    results: new Map(),
    refusals: { sent: 0, answered: 0 },
    contradictions: [],
  };
}

/** One analyst with a contract of its own. */
export interface Customer {
  readonly client: WeirClient;
  readonly contract: ContractBody;
  readonly prepare: () => PreparedRun;
}

export interface Load {
  /** No new runs; resolves once each that was begun has its end. */
  settle(): Promise<void>;
}

const RUNS_AT_ONCE = 2;
const POLL_MS = 20;
const REFUSAL_EVERY_MS = 8;
/** A gateway that is down comes back within this, and a run has ended. */
const PATIENCE_MS = 60_000;

/** A client that never repeats a call by itself. */
export function onceClient(url: string, token: string): WeirClient {
  return new WeirClient({ url, token, retry: { attemptsMax: 1, baseMs: 1, waitMaxMs: 1 } });
}

/** Every customer runs its contract again and again, and is refused meanwhile. */
export function startLoad(customers: readonly Customer[], acks: Acknowledged): Load {
  const state = { stopping: false };
  const work = customers.flatMap((customer) => [
    ...Array.from({ length: RUNS_AT_ONCE }, () => keepRunning(customer, acks, state)),
    keepBeingRefused(customer, acks, state),
  ]);
  const done = Promise.all(work);
  // Looked at in `settle`.
  done.catch(() => undefined);
  return {
    settle: async () => {
      state.stopping = true;
      await done;
    },
  };
}

interface State {
  stopping: boolean;
}

async function keepRunning(customer: Customer, acks: Acknowledged, state: State): Promise<void> {
  do await runOnce(customer, acks);
  while (!state.stopping);
}

/**
 * One run from its request to its result, asked for until it is answered.
 * @param asksAgain - sends the request once more after its end, which writes nothing.
 */
export async function runOnce(
  { client, prepare }: Customer,
  acks: Acknowledged,
  asksAgain = true,
): Promise<void> {
  const { request, idempotencyKey } = prepare();
  const send = async (): Promise<RunId> => {
    const { runId } = await answered(() => client.startRun(request, idempotencyKey));
    const earlier = acks.runs.get(idempotencyKey);
    if (earlier !== undefined && earlier !== runId) {
      acks.contradictions.push(`${idempotencyKey} is run ${earlier}, and run ${runId} too`);
    }
    acks.runs.set(idempotencyKey, runId);
    return runId;
  };
  try {
    const runId = await send();
    const { state } = await ended(client, runId);
    acks.ends.set(runId, state);
    if (asksAgain) await send();
    if (state === 'posted') {
      const { sealed } = await answered(() => client.result(runId));
      acks.results.set(runId, sealedResultHash(sealed));
    } else await sleep(POLL_MS);
  } catch (error) {
    if (!(error instanceof WeirProblem)) throw error;
    // What was acknowledged is refused now.
    acks.contradictions.push(`${idempotencyKey}: ${error.code}: ${error.message}`);
    await sleep(POLL_MS);
  }
}

async function ended(client: WeirClient, runId: RunId): Promise<RunBody> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const run = await answered(() => client.run(runId));
    if (isTerminal(run.state)) return run;
    if (performance.now() > untilMs) throw new Error(`run ${runId} stays ${run.state}`);
    await sleep(POLL_MS);
  }
}

/** A call that may be repeated, until the gateway answers it. */
async function answered<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isPassing(error) || performance.now() > untilMs) throw error;
      await sleep(POLL_MS);
    }
  }
}

async function keepBeingRefused(
  customer: Customer,
  acks: Acknowledged,
  state: State,
): Promise<void> {
  while (!state.stopping) {
    await refuseOnce(customer, acks);
    await sleep(REFUSAL_EVERY_MS);
  }
}

/** A run of a contract that nobody knows: one record and no charge, each time. */
export async function refuseOnce({ client, prepare }: Customer, acks: Acknowledged): Promise<void> {
  const { request } = prepare();
  const contractId = ContractIdSchema.parse(randomUUID());
  const unknown = { ...request, request: { ...request.request, contractId } };
  acks.refusals.sent += 1;
  try {
    await client.startRun(unknown, randomUUID());
    acks.contradictions.push('a contract that nobody knows was run');
  } catch (error) {
    if (isPassing(error)) return;
    if (!(error instanceof WeirProblem)) throw error;
    if (error.code === 'contract-unknown') acks.refusals.answered += 1;
    else acks.contradictions.push(`a refusal: ${error.code}`);
  }
}
