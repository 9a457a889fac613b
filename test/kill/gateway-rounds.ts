/**
 * Kills a gateway under load, at random and at every named step of a run, starts it again, and
 * compares its store with what it had acknowledged to processes that lived on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { RUN_STEPS } from '../../src/runs/run-machine.ts';
import type { PostgresServer } from '../support/postgres-server.ts';
import { compareGateway, reconcileGateway } from './gateway-check.ts';
import { type Acknowledged, nothingAcknowledged, startLoad } from './gateway-load.ts';
import { type GatewayWorld, startGatewayWorld } from './gateway-world.ts';

export interface GatewayKillOptions {
  /** The test's own server: then the gateway is on it, and it is killed too. */
  readonly postgres?: { readonly server: PostgresServer; readonly schema: string };
  /** The control, which must be caught: see `late-state.ts`. */
  readonly lateStore?: boolean;
  readonly rounds: number;
  /** A number in [0, 1) that says when to kill. */
  readonly random: () => number;
  /** Told after each round. */
  readonly progress?: (told: { readonly round: number; readonly what: string } & Tally) => void;
}

interface Tally {
  readonly runs: number;
  readonly posted: number;
  readonly refusals: number;
}

export interface GatewayKillReport extends Tally {
  readonly rounds: number;
  /** Named steps at which the gateway was killed. */
  readonly steps: ReadonlySet<string>;
  readonly lost: readonly string[];
  readonly broken: readonly string[];
}

const KILL_AFTER_MAX_MS = 400;
const START_KILL_MAX_MS = 500;
const SERVER_LEAD_MAX_MS = 60;
/** The load goes on so long after a restart, so that the new process is at work as well. */
const AFTER_MS = 150;
const LATE_STORE_MS = 600;
/** Everything is read again so often, and at the end. */
const RECONCILE_EVERY = 25;

/** Stops early once something was lost: then there is nothing more to learn. */
export async function gatewayKillRounds(options: GatewayKillOptions): Promise<GatewayKillReport> {
  const { postgres, lateStore } = options;
  const world = await startGatewayWorld({
    ...(postgres === undefined
      ? {}
      : { postgres: { url: postgres.server.url, schema: postgres.schema } }),
    ...(lateStore === undefined ? {} : { lateStore }),
  });
  // The control is to lose what is acknowledged under load, not the contracts it is done under.
  if (lateStore === true) await sleep(LATE_STORE_MS);
  const acks = nothingAcknowledged();
  const steps = new Set<string>();
  const tally = (): Tally => ({
    runs: acks.runs.size,
    posted: [...acks.ends.values()].filter((state) => state === 'posted').length,
    refusals: acks.refusals.answered,
  });
  let wrong: Wrong = { lost: [], broken: [] };
  let round = 0;
  try {
    while (round < options.rounds && wrong.lost.length + wrong.broken.length === 0) {
      round += 1;
      const death = deathOf(round, options);
      const load = startLoad(world.customers, acks);
      await die(world, death, options);
      await sleep(AFTER_MS);
      await load.settle();
      if (death.step !== undefined) steps.add(death.step);
      const isWhole = round % RECONCILE_EVERY === 0 || round === options.rounds;
      wrong = await check(world, acks, isWhole);
      options.progress?.({ round, what: death.step ?? death.kind, ...tally() });
    }
    return { rounds: round, steps, ...tally(), ...wrong };
  } finally {
    await world.close();
  }
}

type Wrong = Pick<GatewayKillReport, 'lost' | 'broken'>;

interface Death {
  readonly kind:
    | 'step'
    | 'gateway'
    | 'gateway, and while it starts'
    | 'server'
    | 'server and gateway';
  readonly step?: string;
}

/** Odd rounds kill at a named step, each in its turn; the others at random, in several ways. */
function deathOf(round: number, { postgres }: GatewayKillOptions): Death {
  const turn = Math.floor((round - 1) / 2);
  if (round % 2 === 1) {
    return { kind: 'step', step: RUN_STEPS[turn % RUN_STEPS.length] ?? 'settled' };
  }
  const ways: readonly Death['kind'][] =
    postgres === undefined
      ? ['gateway', 'gateway, and while it starts']
      : ['server', 'server and gateway', 'gateway', 'gateway, and while it starts'];
  return { kind: ways[turn % ways.length] ?? 'gateway' };
}

/** Resolves once everything runs again. */
async function die(
  { weir }: GatewayWorld,
  { kind, step }: Death,
  { postgres, random }: GatewayKillOptions,
): Promise<void> {
  if (step !== undefined) {
    await weir.gateway.order({ kind: 'crash-at', step });
    await weir.gateway.ended;
  } else {
    await sleep(random() * KILL_AFTER_MAX_MS);
    if (kind.startsWith('server')) await postgres?.server.kill();
    if (kind === 'server and gateway') await sleep(random() * SERVER_LEAD_MAX_MS);
    if (kind !== 'server') await weir.gateway.kill();
    if (kind.startsWith('server')) await postgres?.server.start();
  }
  if (kind === 'server') return;
  if (kind === 'gateway, and while it starts') {
    await weir.killWhileStarting(random() * START_KILL_MAX_MS);
  }
  await weir.start('gateway');
}

async function check(
  { weir, customers, gatewayKey, read }: GatewayWorld,
  acks: Acknowledged,
  isWhole: boolean,
): Promise<Wrong> {
  return read(async (store) => {
    const { lost, broken } = await compareGateway(store, acks);
    const whole = isWhole ? await reconcileGateway(store, gatewayKey) : [];
    const rows = await store.query(
      `SELECT contract_id, count(*) AS posted FROM runs WHERE state = 'posted' GROUP BY contract_id`,
    );
    const posted = new Map(rows.map((row) => [row['contract_id'], Number(row['posted'])]));
    const forgotten: string[] = [];
    for (const party of weir.parties) {
      const { counters } = await weir.officer(party).status();
      for (const { contract } of customers) {
        const { id } = contract.contract;
        const own = counters.contracts.find(({ contractId }) => contractId === id)?.runs ?? 0;
        const charged = posted.get(id) ?? 0;
        // What a domain counted stays counted, whatever became of the run.
        if (own < charged) forgotten.push(`${party} counted ${own} runs of ${id}, not ${charged}`);
      }
    }
    return { lost, broken: [...broken, ...whole, ...forgotten] };
  });
}
