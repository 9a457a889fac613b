/**
 * Several gateways' commands on one ledger whose disk fails at any write or commit, either way, and
 * which crashes and reopens. Callers do what production does: after an error they repeat the command
 * by its key. Whatever was acknowledged must be there, once; whatever was not may be there, once.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { leafHash, GENESIS_HASH } from '../../src/audit/hash-chain.ts';
import { prepareDenied, prepareReserve, prepareSettle } from '../../src/ledger/ledger-commands.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type {
  ReserveCommand,
  ReserveOutcome,
  SettleCommand,
  SettleOutcome,
} from '../../src/ledger/ledger-store.ts';
import { parseRecord, recordHash } from '../../src/ledger/record.ts';
import { openProgram } from '../../src/ledger/sqlite-program.ts';
import {
  groupWriter,
  type GroupWriter,
  type Reply,
  type WriteRequest,
} from '../../src/store/group-writer.ts';
import { migrate } from '../../src/store/migrations.ts';
import type { Hash } from '../../src/system/ids.ts';
import { openFaulty, type FaultMode, type FaultyDatabase } from '../support/faulty-database.ts';
import {
  account,
  draft,
  NaiveLedger,
  reserveCommand,
  runIdOf,
  settleCommand,
} from '../support/ledger-commands.ts';
import { seeded, type Seeded } from '../support/seeded.ts';

const SEEDS = Number(process.env['WEIR_SIMULATION_SEEDS'] ?? 25);
const STEPS = 60;
const GATEWAYS_MAX = 3;
const HOLD_MS = 40;
const MODES: readonly FaultMode[] = ['not persisted', 'persisted but reported failed'];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-faults-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

type Command =
  | { readonly kind: 'reserve'; readonly command: ReserveCommand }
  | { readonly kind: 'settle'; readonly command: SettleCommand }
  | { readonly kind: 'denied'; readonly id: string };

interface Gateway {
  readonly db: FaultyDatabase;
  readonly writer: GroupWriter;
}

class World {
  readonly random: Seeded;
  model = new NaiveLedger();
  readonly accounts = [
    account('c1', 'runs', 20),
    account('c1', 'rows', 60, '2026-11'),
    account('a', 'rows', 90),
  ];
  faults = 0;
  /** The clock that all gateways share. */
  nowMs = 0;
  #faultRate = 0;
  readonly #file: string;
  readonly #gateways: Gateway[];

  constructor(seed: number) {
    this.random = seeded(seed);
    this.#file = join(directory, `${seed}.db`);
    this.#gateways = Array.from({ length: 1 + (seed % GATEWAYS_MAX) }, () => this.#open());
  }

  #open(): Gateway {
    this.#faultRate = 0;
    const db = openFaulty(this.#file, {
      next: () => {
        if (!this.random.chance(this.#faultRate)) return undefined;
        this.faults += 1;
        return this.random.pick(MODES);
      },
    });
    migrate(db, [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS]);
    this.#faultRate = 0.04;
    return { db, writer: groupWriter(db, { ledger: openProgram(db) }) };
  }

  /** One gateway ends without a word, and is started again. */
  crash(): void {
    const at = this.random.below(this.#gateways.length);
    this.#gateways[at]?.db.crash();
    this.#gateways[at] = this.#open();
  }

  /** On any gateway: what one failed to do, another is asked for. */
  commit(commands: readonly Command[]): readonly Reply[] {
    return this.random.pick(this.#gateways).writer.commit(commands.map(requestOf));
  }

  all(sql: string) {
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

interface Done {
  readonly command: Command;
  readonly answer: unknown;
  /** An earlier attempt was answered with an error, so it may have been carried out then. */
  readonly repeated: boolean;
}

/** Repeats each command until it is acknowledged, with crashes in between. */
function carryOut(world: World, commands: readonly Command[]): void {
  const done: Done[] = [];
  let open = commands;
  for (let attempt = 0; open.length > 0; attempt += 1) {
    if (attempt > 200) throw new Error('no command gets through');
    const replies = world.commit(open);
    for (const [at, command] of open.entries()) {
      const reply = replies[at];
      if (reply?.ok === true) done.push({ command, answer: reply.answer, repeated: attempt > 0 });
    }
    open = open.filter((_, at) => replies[at]?.ok !== true);
    if (world.random.chance(0.15)) world.crash();
  }
  world.model = linearize(world.model, done);
}

/**
 * The model after the commands in some order that explains every answer. An attempt that was
 * answered with an error may have been carried out, so the order of answers is not that of effects.
 */
function linearize(model: NaiveLedger, done: readonly Done[]): NaiveLedger {
  for (const order of permutations(done)) {
    const next = model.copy();
    if (order.every((each) => agrees(next, each))) return next;
  }
  throw new Error(`no order of commands explains ${JSON.stringify(done, show)}`);
}

function show(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function* permutations<T>(items: readonly T[]): Generator<readonly T[]> {
  if (items.length <= 1) yield items;
  else {
    for (const [at, first] of items.entries()) {
      for (const rest of permutations(items.toSpliced(at, 1))) yield [first, ...rest];
    }
  }
}

/** Carries the command out on the model, and compares. */
function agrees(model: NaiveLedger, { command, answer, repeated }: Done): boolean {
  if (command.kind === 'reserve') {
    const { kind } = answer as ReserveOutcome;
    const expected = model.reserve(command.command);
    return kind === expected || (repeated && kind === 'repeated' && expected === 'reserved');
  }
  if (command.kind === 'settle') {
    const outcome = answer as SettleOutcome;
    const expected = model.settle(command.command).split(' ');
    if (outcome.kind === 'settled') return expected[0] === 'settled';
    const own =
      repeated && expected[0] === 'settled' && outcome.outcome === command.command.outcome;
    return own || (expected[0] === 'already' && expected[1] === outcome.outcome);
  }
  model.records.push({ runId: undefined, outcome: 'denied' });
  return true;
}

/** What the sweeper expires: pending past its time by the clock. */
function drawSweep(world: World, step: number): readonly Command[] {
  const overdue = [...world.model.runs.values()].filter(
    (run) => run.state === 'pending' && run.command.expiresAtMs <= world.nowMs,
  );
  const found = world
    .all(
      `SELECT run_id FROM ledger_reservation WHERE state = 'pending' AND expires_at_ms <= ${world.nowMs}`,
    )
    .map((row) => String(row['run_id']));
  expect(found.toSorted()).toEqual(overdue.map(({ command }) => command.runId).toSorted());
  return overdue.slice(0, 4).map(({ command }, at) => {
    const settle = settleCommand(command.runId, 'expired');
    const record = { ...settle.record, id: `sweep-${step}-${at}` };
    return { kind: 'settle', command: { ...settle, record } };
  });
}

function drawGroup(world: World, step: number): readonly Command[] {
  const { random } = world;
  const size = 1 + random.below(5);
  const touched = new Set<string>();
  const commands: Command[] = [];
  for (let at = 0; at < size; at += 1) {
    const pending = [...world.model.runs.values()].filter((run) => !touched.has(run.command.runId));
    if (random.chance(0.1)) {
      commands.push({ kind: 'denied', id: `denied-${step}-${at}` });
    } else if (pending.length > 0 && random.chance(0.55)) {
      const { command } = random.pick(pending);
      touched.add(command.runId);
      const outcome = random.pick(['posted', 'voided', 'expired'] as const);
      const rows = command.lines.find((line) => line.account.dimension === 'rows');
      const posted =
        outcome === 'posted' ? { runs: 1, rows: random.below(Number(rows?.units ?? 0n) + 1) } : {};
      const settle = settleCommand(command.runId, outcome, posted);
      const id = `record-${step}-${at}`;
      commands.push({ kind: 'settle', command: { ...settle, record: { ...settle.record, id } } });
    } else {
      const runId = runIdOf(step * 100 + at);
      const rows = random.below(12);
      const lines = world.accounts.map(
        (each) => [each, each.dimension === 'runs' ? 1 : rows] as const,
      );
      commands.push({
        kind: 'reserve',
        command: reserveCommand(`k-${step}-${at}`, runId, lines, {
          expiresAtMs: world.nowMs + HOLD_MS,
        }),
      });
    }
  }
  return commands;
}

/** Everything that must hold of the file whatever happened before. */
function checkFile(world: World): void {
  const documents = world.all('SELECT seq, document FROM ledger_record ORDER BY seq');
  const records = documents.map((row) => parseRecord(String(row['document'])));
  expect(records.map(({ seq }) => seq)).toEqual(records.map((_, at) => BigInt(at + 1)));
  expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
  let previous: Hash = GENESIS_HASH;
  const leaves = world.all('SELECT position, hash, entry FROM audit_entry ORDER BY position');
  expect(leaves).toHaveLength(records.length);
  for (const [at, leaf] of leaves.entries()) {
    expect(leaf['hash']).toBe(leafHash(previous, BigInt(at), String(leaf['entry'])));
    previous = String(leaf['hash']) as Hash;
    const document = String(documents[at]?.['document']);
    expect(JSON.parse(String(leaf['entry']))).toMatchObject({
      record: { seq: String(at + 1), hash: recordHash(document) },
    });
  }
  // One record counts for each run: all but the last are superseded.
  const superseded = new Set(records.map(({ supersedes }) => supersedes));
  const effective = records.filter(({ seq, runId }) => runId !== undefined && !superseded.has(seq));
  expect(new Set(effective.map(({ runId }) => runId)).size).toBe(effective.length);
  for (const each of world.accounts) {
    const [row] = world.all(
      `SELECT posted + reserved AS used FROM ledger_account WHERE subject = '${each.subject}'
       AND dimension = '${each.dimension}' AND window_key = '${each.windowKey}'`,
    );
    const used = (row?.['used'] as bigint | undefined) ?? 0n;
    expect(used).toBe(world.model.used(each.subject, each.dimension, each.windowKey));
    expect(used).toBeLessThanOrEqual(each.limit);
  }
}

describe('ledger on a disk that fails', () => {
  it.each(Array.from({ length: SEEDS }, (_, at) => at + 1))(
    'loses nothing it acknowledged and doubles nothing: seed %i',
    (seed) => {
      const world = new World(seed);
      const { random } = world;
      for (let step = 1; step <= STEPS; step += 1) {
        world.nowMs += random.below(9);
        carryOut(world, drawGroup(world, step));
        if (random.chance(0.3)) carryOut(world, drawSweep(world, step));
        checkFile(world);
      }
      expect(world.faults).toBeGreaterThan(0);
      world.close();
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
