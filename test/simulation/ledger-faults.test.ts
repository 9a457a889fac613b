/**
 * Several gateways' commands on one ledger whose disk fails at any write or commit, either way, and
 * which crashes and reopens. Whatever was acknowledged must be there, once; whatever was not may be
 * there, once.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { prepareDenied, prepareReserve, prepareSettle } from '../../src/ledger/ledger-commands.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import { openProgram } from '../../src/ledger/sqlite-program.ts';
import { groupWriter, type GroupWriter, type WriteRequest } from '../../src/store/group-writer.ts';
import { migrate } from '../../src/store/migrations.ts';
import type { Row } from '../../src/store/store.ts';
import { openFaulty, type FaultMode, type FaultyDatabase } from '../support/faulty-database.ts';
import {
  account,
  draft,
  reserveCommand,
  runIdOf,
  settleCommand,
} from '../support/ledger-commands.ts';
import {
  type Command,
  type Gateways,
  LedgerSimulation,
  type Reply,
} from '../support/ledger-simulation.ts';
import type { Seeded } from '../support/seeded.ts';

const SEEDS = Number(process.env['WEIR_SIMULATION_SEEDS'] ?? 25);
const STEPS = 60;
const GATEWAYS_MAX = 3;
const FAULT_RATE = 0.04;
const MODES: readonly FaultMode[] = ['not persisted', 'persisted but reported failed'];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-faults-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

interface Gateway {
  readonly db: FaultyDatabase;
  readonly writer: GroupWriter;
}

/** One to three gateways on one file. */
class FaultyDisk implements Gateways {
  faults = 0;
  #faultRate = 0;
  readonly #random: Seeded;
  readonly #file: string;
  readonly #gateways: Gateway[];

  constructor(seed: number, random: Seeded) {
    this.#random = random;
    this.#file = join(directory, `${seed}.db`);
    this.#gateways = Array.from({ length: 1 + (seed % GATEWAYS_MAX) }, () => this.#open());
  }

  #open(): Gateway {
    this.#faultRate = 0;
    const db = openFaulty(this.#file, {
      next: () => {
        if (!this.#random.chance(this.#faultRate)) return undefined;
        this.faults += 1;
        return this.#random.pick(MODES);
      },
    });
    migrate(db, [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS]);
    this.#faultRate = FAULT_RATE;
    return { db, writer: groupWriter(db, { ledger: openProgram(db) }) };
  }

  async crash(): Promise<void> {
    const at = this.#random.below(this.#gateways.length);
    this.#gateways[at]?.db.crash();
    this.#gateways[at] = this.#open();
  }

  async commit(commands: readonly Command[]): Promise<readonly Reply[]> {
    const { writer } = this.#random.pick(this.#gateways);
    return writer
      .commit(commands.map(requestOf))
      .map((reply) => (reply.ok ? { answer: reply.answer } : undefined));
  }

  async all(sql: string): Promise<readonly Row[]> {
    return this.#gateways[0]?.db.all(sql, []) ?? [];
  }

  close(): void {
    for (const { db } of this.#gateways) db.close();
  }
}

function requestOf(command: Command): WriteRequest {
  const call = { kind: 'call', program: 'ledger' } as const;
  if (command.kind === 'reserve') {
    return { ...call, name: 'reserve', argument: prepareReserve(command.command) };
  }
  if (command.kind === 'settle') {
    return { ...call, name: 'settle', argument: prepareSettle(command.command) };
  }
  const record = draft(command.id, 'denied', undefined);
  const argument = prepareDenied(record, { kind: 'run.denied', atMs: 1, facts: {} });
  return { ...call, name: 'append', argument };
}

describe('ledger on a disk that fails', () => {
  it.each(Array.from({ length: SEEDS }, (_, at) => at + 1))(
    'loses nothing it acknowledged and doubles nothing: seed %i',
    async (seed) => {
      let disk: FaultyDisk | undefined;
      const simulation = new LedgerSimulation(seed, (random) => {
        disk = new FaultyDisk(seed, random);
        return disk;
      });
      await simulation.run(STEPS);
      expect(disk?.faults).toBeGreaterThan(0);
      disk?.close();
    },
  );

  it('does not settle a run whose reservation was rolled back', () => {
    let fail = true;
    const db = openFaulty(join(directory, 'rolled-back.db'), {
      next: (sql) => (sql === 'COMMIT' && fail ? 'not persisted' : undefined),
    });
    fail = false;
    migrate(db, [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS]);
    const writer = groupWriter(db, { ledger: openProgram(db) });
    const command = reserveCommand('k', runIdOf(1), [[account('c', 'runs', 5), 1]]);
    const settle: Command = {
      kind: 'settle',
      command: settleCommand(runIdOf(1), 'posted', { runs: 1 }),
    };
    fail = true;
    expect(writer.commit([requestOf({ kind: 'reserve', command })])).toMatchObject([{ ok: false }]);
    fail = false;
    expect(writer.commit([requestOf(settle)])).toMatchObject([
      { ok: false, error: { code: 'internal' } },
    ]);
    expect(db.all('SELECT * FROM ledger_record', [])).toEqual([]);
    db.close();
  });
});
