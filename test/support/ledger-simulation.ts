/**
 * What both simulations of the ledger share, whatever store is under it: commands drawn by a seed,
 * repeated until they are acknowledged, and compared with the naive model after each group. Callers do
 * what production does: after an error they repeat the command by its key.
 */
import { expect } from 'vitest';
import { GENESIS_HASH, leafHash } from '../../src/audit/hash-chain.ts';
import type {
  QuotaAccount,
  ReserveCommand,
  ReserveOutcome,
  SettleCommand,
  SettleOutcome,
} from '../../src/ledger/ledger-store.ts';
import { parseRecord, recordHash } from '../../src/ledger/record.ts';
import type { Row } from '../../src/store/store.ts';
import type { Hash } from '../../src/system/ids.ts';
import { account, NaiveLedger, reserveCommand, runIdOf, settleCommand } from './ledger-commands.ts';
import { seeded, type Seeded } from './seeded.ts';

const HOLD_MS = 40;

export type Command =
  | { readonly kind: 'reserve'; readonly command: ReserveCommand }
  | { readonly kind: 'settle'; readonly command: SettleCommand }
  | { readonly kind: 'denied'; readonly id: string };

/** What one attempt at a command came to; undefined: an error, its outcome unknown. */
export type Reply = { readonly answer: unknown } | undefined;

/** The gateways and the store under them. */
export interface Gateways {
  /** Carries out the commands on any gateways: what one failed to do, another is asked for. */
  commit(commands: readonly Command[]): Promise<readonly Reply[]>;
  /** One gateway ends without a word, and is started again. */
  crash(): Promise<void>;
  all(sql: string): Promise<readonly Row[]>;
}

/** One simulated life; `faults` counts what its store was made to fail. */
export class LedgerSimulation {
  readonly random: Seeded;
  readonly gateways: Gateways;
  model = new NaiveLedger();
  readonly accounts: readonly QuotaAccount[] = [
    account('c1', 'runs', 20),
    account('c1', 'rows', 60, '2026-11'),
    account('a', 'rows', 90),
  ];
  /** The clock that all gateways share. */
  nowMs = 0;

  constructor(seed: number, open: (random: Seeded) => Gateways) {
    this.random = seeded(seed);
    this.gateways = open(this.random);
  }

  /** Draws groups of commands, carries them out over faults and crashes, and compares after each. */
  async run(steps: number): Promise<void> {
    for (let step = 1; step <= steps; step += 1) {
      this.nowMs += this.random.below(9);
      await carryOut(this, drawGroup(this, step));
      if (this.random.chance(0.3)) await carryOut(this, await drawSweep(this, step));
      await checkFile(this);
    }
  }
}

interface Done {
  readonly command: Command;
  readonly answer: unknown;
  /** An earlier attempt was answered with an error, so it may have been carried out then. */
  readonly repeated: boolean;
}

/** Repeats each command until it is acknowledged, with crashes in between. */
async function carryOut(world: LedgerSimulation, commands: readonly Command[]): Promise<void> {
  const done: Done[] = [];
  let open = commands;
  for (let attempt = 0; open.length > 0; attempt += 1) {
    if (attempt > 200) throw new Error('no command gets through');
    const replies = await world.gateways.commit(open);
    for (const [at, command] of open.entries()) {
      const reply = replies[at];
      if (reply !== undefined) done.push({ command, answer: reply.answer, repeated: attempt > 0 });
    }
    open = open.filter((_, at) => replies[at] === undefined);
    if (world.random.chance(0.15)) await world.gateways.crash();
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
async function drawSweep(world: LedgerSimulation, step: number): Promise<readonly Command[]> {
  const overdue = [...world.model.runs.values()].filter(
    (run) => run.state === 'pending' && run.command.expiresAtMs <= world.nowMs,
  );
  const rows = await world.gateways.all(
    `SELECT run_id FROM ledger_reservation WHERE state = 'pending' AND expires_at_ms <= ${world.nowMs}`,
  );
  const found = rows.map((row) => String(row['run_id']));
  expect(found.toSorted()).toEqual(overdue.map(({ command }) => command.runId).toSorted());
  return overdue.slice(0, 4).map(({ command }, at) => {
    const settle = settleCommand(command.runId, 'expired');
    const record = { ...settle.record, id: `sweep-${step}-${at}` };
    return { kind: 'settle', command: { ...settle, record } };
  });
}

function drawGroup(world: LedgerSimulation, step: number): readonly Command[] {
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
async function checkFile(world: LedgerSimulation): Promise<void> {
  const { gateways } = world;
  const documents = await gateways.all('SELECT seq, document FROM ledger_record ORDER BY seq');
  const records = documents.map((row) => parseRecord(String(row['document'])));
  expect(records.map(({ seq }) => seq)).toEqual(records.map((_, at) => BigInt(at + 1)));
  expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
  const outbox = await gateways.all('SELECT seq FROM ledger_outbox ORDER BY seq');
  expect(outbox.map((row) => row['seq'])).toEqual(records.map(({ seq }) => seq));
  let previous: Hash = GENESIS_HASH;
  const leaves = await gateways.all(
    'SELECT position, hash, entry FROM audit_entry ORDER BY position',
  );
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
    const [row] = await gateways.all(
      `SELECT posted + reserved AS used FROM ledger_account WHERE subject = '${each.subject}'
       AND dimension = '${each.dimension}' AND window_key = '${each.windowKey}'`,
    );
    const used = (row?.['used'] as bigint | undefined) ?? 0n;
    expect(used).toBe(world.model.used(each.subject, each.dimension, each.windowKey));
    expect(used).toBeLessThanOrEqual(each.limit);
  }
}
