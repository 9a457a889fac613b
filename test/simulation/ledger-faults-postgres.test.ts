/**
 * Three gateways on one PostgreSQL whose connections are lost at their commits, before the server has
 * it or after, and which crash and reopen. A seed decides who does what, whose transaction is held open
 * while the others go on or wait for its locks, and what becomes of each commit.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { CapacityError } from '../../src/errors.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { postgresLedger } from '../../src/ledger/postgres-ledger.ts';
import { openPostgresStore, type PostgresStore } from '../../src/store/postgres-store.ts';
import type { Row } from '../../src/store/store.ts';
import { draft } from '../support/ledger-commands.ts';
import {
  type Command,
  type Gateways,
  LedgerSimulation,
  type Reply,
} from '../support/ledger-simulation.ts';
import { type Fate, openPostgresProxy, type PostgresProxy } from '../support/postgres-proxy.ts';
import type { Seeded } from '../support/seeded.ts';
import { dropSchema, findServer } from '../support/test-stores.ts';

/** One named by the environment alone: a failing seed replayed. */
const SEEDS =
  process.env['WEIR_SIMULATION_SEED'] === undefined
    ? Array.from({ length: 3 }, (_, at) => at + 1)
    : [Number(process.env['WEIR_SIMULATION_SEED'])];
const STEPS = 20;
const GATEWAYS = 3;
const CONNECTIONS = 2;
const LOST: readonly Fate[] = ['lost before the commit', 'lost after the commit'];
const FAULT_RATE = 0.25;
const LOOK_MS = 2;

interface Gateway {
  readonly proxy: PostgresProxy;
  readonly name: string;
  readonly store: PostgresStore;
  readonly ledger: LedgerStore;
}

class FaultyServer implements Gateways {
  readonly faults = new Map<Fate, number>();
  /** Transactions that had to wait for another gateway's. */
  waits = 0;
  readonly #schema: string;
  readonly #url: string;
  readonly #admin: Client;
  readonly #random: Seeded;
  readonly #isCareless: boolean;
  #gateways: Gateway[] = [];

  /** @param isCareless - the control: takes a lost connection for an acknowledgement. */
  constructor(url: string, schema: string, admin: Client, random: Seeded, isCareless: boolean) {
    this.#isCareless = isCareless;
    this.#url = url;
    this.#schema = schema;
    this.#admin = admin;
    this.#random = random;
  }

  async open(): Promise<void> {
    for (let at = 0; at < GATEWAYS; at += 1) this.#gateways.push(await this.#openOne(at));
  }

  async #openOne(at: number): Promise<Gateway> {
    const name = `${this.#schema}-${at}`;
    const direct = new URL(this.#url);
    direct.searchParams.set('application_name', name);
    const proxy = await openPostgresProxy(direct.href);
    const store = await openPostgresStore({
      url: proxy.url,
      schema: this.#schema,
      migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
      connections: CONNECTIONS,
    });
    return { proxy, name, store, ledger: postgresLedger(store) };
  }

  async crash(): Promise<void> {
    const at = this.#random.below(GATEWAYS);
    await this.#closeOne(at);
    this.#gateways[at] = await this.#openOne(at);
  }

  async #closeOne(at: number): Promise<void> {
    const gateway = this.#gateways[at];
    gateway?.proxy.cut();
    await gateway?.store.close();
    await gateway?.proxy.close();
  }

  /** One transaction a gateway; the first is held before its commit until the others wait or are through. */
  async commit(commands: readonly Command[]): Promise<readonly Reply[]> {
    const order = shuffled(this.#gateways, this.#random);
    const calls = callsOf(commands, this.#random).map((items, at) => ({
      items,
      gateway: order[at]!,
      fate: this.#drawFate(),
    }));
    const replies: Reply[] = commands.map(() => undefined);
    const held = Promise.withResolvers<Fate>();
    const under: Promise<void>[] = [];
    for (const [at, { items, gateway, fate }] of calls.entries()) {
      const arrived = gateway.proxy.decide(at === 0 ? held.promise : Promise.resolve(fate));
      const over = new AbortController();
      const done = this.#carry(gateway.ledger, items, replies).finally(() => over.abort());
      under.push(done);
      if (at === 0) await Promise.race([arrived, done]);
      else await this.#throughOrWaiting(gateway.name, over.signal);
    }
    held.resolve(calls[0]?.fate ?? 'commit');
    await Promise.all(under);
    return replies;
  }

  async #carry(ledger: LedgerStore, items: Items, replies: Reply[]): Promise<void> {
    await Promise.all(
      items.map(async ([at, command]) => {
        try {
          replies[at] = { answer: await carryOne(ledger, command) };
        } catch (error) {
          // The connection was lost: what became of the command is unknown.
          if (!(error instanceof CapacityError)) throw error;
          const kind = command.kind === 'reserve' ? 'reserved' : 'settled';
          if (this.#isCareless) replies[at] = { answer: { kind } };
        }
      }),
    );
  }

  #drawFate(): Fate {
    if (!this.#random.chance(FAULT_RATE)) return 'commit';
    const fate = this.#random.pick(LOST);
    this.faults.set(fate, (this.faults.get(fate) ?? 0) + 1);
    return fate;
  }

  /** Resolves once the gateway's transaction waits for a lock, or is over. */
  async #throughOrWaiting(name: string, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const { rows } = await this.#admin.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`,
        [name],
      );
      if (rows.length > 0) {
        this.waits += 1;
        return;
      }
      await sleep(LOOK_MS);
    }
  }

  async all(sql: string): Promise<readonly Row[]> {
    return (await this.#gateways[0]?.store.query(sql)) ?? [];
  }

  async close(): Promise<void> {
    for (const at of this.#gateways.keys()) await this.#closeOne(at);
    await dropSchema(this.#url, this.#schema);
  }
}

type Items = readonly (readonly [number, Command])[];

/** A call is of one kind, as the ledger batches them: reservations, or settlements and refusals. */
function callsOf(commands: readonly Command[], random: Seeded): readonly Items[] {
  const numbered = [...commands.entries()];
  const reserves = numbered.filter(([, { kind }]) => kind === 'reserve');
  const settles = numbered.filter(([, { kind }]) => kind !== 'reserve');
  const cut = random.below(settles.length + 1);
  const calls = [reserves, settles.slice(0, cut), settles.slice(cut)];
  return shuffled(
    calls.filter((items) => items.length > 0),
    random,
  );
}

function carryOne(ledger: LedgerStore, command: Command): Promise<unknown> {
  switch (command.kind) {
    case 'reserve':
      return ledger.reserve(command.command);
    case 'settle':
      return ledger.settle(command.command);
    case 'denied': {
      const record = draft(command.id, 'denied', undefined);
      return ledger.recordDenied(record, { kind: 'run.denied', atMs: 1, facts: {} });
    }
  }
}

function shuffled<T>(items: readonly T[], random: Seeded): readonly T[] {
  const rest = [...items];
  return items.map(() => rest.splice(random.below(rest.length), 1)[0]!);
}

const found = await findServer();
describe.skipIf(found === undefined)('ledger on a PostgreSQL whose connections fail', () => {
  const admin = new Client({ connectionString: found?.url });
  beforeAll(() => admin.connect());
  afterAll(async () => {
    await admin.end();
    await found?.server?.stop();
  });

  async function simulate(seed: number, isCareless: boolean): Promise<FaultyServer> {
    const schema = `weir_test_${randomBytes(6).toString('hex')}`;
    let server: FaultyServer | undefined;
    const simulation = new LedgerSimulation(seed, (random) => {
      server = new FaultyServer(found?.url ?? '', schema, admin, random, isCareless);
      return server;
    });
    await server!.open();
    try {
      await simulation.run(STEPS);
    } finally {
      await server!.close();
    }
    return server!;
  }

  it.each(SEEDS)('loses nothing it acknowledged and doubles nothing: seed %i', async (seed) => {
    const { faults, waits } = await simulate(seed, false);
    expect([...faults.keys()].toSorted()).toEqual(LOST.toSorted());
    expect(waits).toBeGreaterThan(0);
  });

  it('is caught where a lost connection is taken for an acknowledgement', async () => {
    await expect(simulate(1, true)).rejects.toThrow();
  });
});
