/** Both ledgers against one naive model, over random sequences of commands. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyStoredChain } from '../../src/audit/chain-table.ts';
import type { Dimension } from '../../src/contracts/units.ts';
import { encodeRecord, recordHash as hashOf } from '../../src/ledger/record.ts';
import type { Recorded, SettleOutcome } from '../../src/ledger/ledger-store.ts';
import { InvariantError } from '../../src/errors.ts';
import type { MigrationList } from '../../src/store/migrations.ts';
import { StoreConflict } from '../../src/store/store.ts';
import type { RunId } from '../../src/system/ids.ts';
import {
  account,
  bodyHash,
  draft,
  NaiveLedger,
  reserveCommand,
  runIdOf,
  settleCommand,
  units,
} from '../support/ledger-commands.ts';
import { postgresKind, sqliteKind, type TestStore } from '../support/test-stores.ts';

const RUNS: MigrationList = {
  area: 'runs',
  migrations: [{ number: 1, sql: 'CREATE TABLE run (id TEXT PRIMARY KEY)' }],
};

type Step =
  | {
      readonly kind: 'reserve';
      readonly key: number;
      readonly body: number;
      readonly amounts: readonly number[];
    }
  | {
      readonly kind: 'settle';
      readonly key: number;
      readonly outcome: 'posted' | 'voided' | 'expired';
      readonly part: number;
    }
  | { readonly kind: 'denied' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      key: fc.nat(5),
      body: fc.nat(1),
      amounts: fc.array(fc.nat(6), { minLength: 3, maxLength: 3 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      key: fc.nat(5),
      outcome: fc.constantFrom('posted' as const, 'voided' as const, 'expired' as const),
      part: fc.nat(100),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('denied' as const) }) },
);
const SUBJECTS: readonly (readonly [string, Dimension, string, number])[] = [
  ['contract', 'runs', 'lifetime', 14],
  ['contract', 'rows', '2026-11', 9],
  ['analyst', 'rows', '2026-11-21', 12],
];

let opened: TestStore;
let world = 0;

async function replay(steps: readonly Step[]): Promise<void> {
  const { ledger } = opened;
  world += 1;
  const name = (text: string): string => `${world}/${text}`;
  const accounts = SUBJECTS.map(([subject, dimension, key, limit]) =>
    account(name(subject), dimension, limit, key),
  );
  const model = new NaiveLedger();
  const from = (await ledger.records(0n, 10_000)).length;
  const reserved = new Map<
    number,
    { readonly runId: RunId; readonly amounts: readonly number[] }
  >();
  for (const [index, each] of steps.entries()) {
    if (each.kind === 'reserve') {
      const runId = runIdOf(world * 1000 + index);
      const lines = accounts.map((one, at) => [one, each.amounts[at] ?? 0] as const);
      const command = reserveCommand(name(String(each.key)), runId, lines, {
        bodyHash: bodyHash(each.body),
      });
      const outcome = await ledger.reserve(command);
      expect(outcome.kind).toBe(model.reserve(command));
      if (outcome.kind === 'reserved') reserved.set(each.key, { runId, amounts: each.amounts });
      if (outcome.kind === 'repeated' || outcome.kind === 'conflict') {
        expect(outcome.runId).toBe(reserved.get(each.key)?.runId);
      }
    } else if (each.kind === 'settle') {
      const held = reserved.get(each.key);
      if (held === undefined) continue;
      const rows = Math.min(held.amounts[1] ?? 0, held.amounts[2] ?? 0);
      const counted = { runs: held.amounts[0] ?? 0, rows: Math.floor((rows * each.part) / 100) };
      const command = settleCommand(
        held.runId,
        each.outcome,
        each.outcome === 'posted' ? counted : {},
        {},
      );
      const fresh = { ...command, record: { ...command.record, id: name(`record-${index}`) } };
      const outcome = await ledger.settle(fresh);
      const said =
        outcome.kind === 'settled'
          ? `settled ${outcome.seq - BigInt(from)}`
          : `already ${outcome.outcome} ${outcome.seq - BigInt(from)}`;
      expect(said).toBe(model.settle(fresh));
    } else {
      const { seq } = await ledger.recordDenied(
        draft(name(`denied-${index}`), 'denied', undefined),
        {
          kind: 'run.denied',
          atMs: 1,
          facts: {},
        },
      );
      model.records.push({ runId: undefined, outcome: 'denied' });
      expect(seq).toBe(BigInt(from + model.records.length));
    }
    const used = await ledger.usage(accounts);
    expect(used).toEqual(
      accounts.map((one) => model.used(one.subject, one.dimension, one.windowKey)),
    );
    expect(used.every((amount, at) => amount <= (accounts[at]?.limit ?? 0n))).toBe(true);
  }
  const records = await ledger.records(BigInt(from), 10_000);
  expect(records.map(({ runId, outcome }) => ({ runId, outcome }))).toEqual(model.records);
  expect(records.map(({ seq }) => seq)).toEqual(
    model.records.map((_, at) => BigInt(from + at + 1)),
  );
}

const postgres = await postgresKind();
afterAll(() => postgres.stop());

describe.each([sqliteKind, postgres])('ledger on $name', (kind) => {
  const skipped = kind.missing;
  if (skipped !== undefined) {
    it.skip(`is not tested: ${skipped}`);
    return;
  }
  beforeAll(async () => {
    opened = await kind.open([RUNS]);
  });
  afterAll(() => opened.remove());

  it('answers every sequence of commands as the naive model does', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), replay), {
      numRuns: kind === sqliteKind ? 150 : 60,
    });
    expect(await verifyStoredChain(opened.store)).toMatchObject({ ok: true });
  });

  it('writes one record and one audit leaf for each settlement', async () => {
    const [row] = await opened.store.query(
      `SELECT (SELECT count(*) FROM ledger_record) AS records,
       (SELECT count(*) FROM audit_entry) AS leaves`,
    );
    expect(row?.['records']).toBeGreaterThan(0n);
    expect(row?.['leaves']).toBe(row?.['records']);
  });

  it('gives quota to exactly as many concurrent requests as there is', async () => {
    const { ledger } = opened;
    const quota = account('crowd', 'runs', 25);
    const outcomes = await Promise.all(
      Array.from({ length: 80 }, (_, at) =>
        ledger.reserve(reserveCommand(`crowd-${at}`, runIdOf(900_000_000 + at), [[quota, 1]])),
      ),
    );
    expect(outcomes.filter(({ kind: one }) => one === 'reserved')).toHaveLength(25);
    const exceeded = outcomes.find(({ kind: one }) => one === 'exceeded');
    expect(exceeded).toEqual({ kind: 'exceeded', account: quota, left: 0n });
    expect(await ledger.usage([quota])).toEqual([25n]);
  });

  it('writes what stands alongside with the command, or neither', async () => {
    const { ledger, store } = opened;
    const quota = account('along', 'runs', 2);
    const insert = (id: string) => [
      { sql: 'INSERT INTO run (id) VALUES (?)', params: [id], expectChanges: 1 },
    ];
    const reserve = (at: number, alongside: ReturnType<typeof insert>) =>
      ledger.reserve(
        reserveCommand(`along-${at}`, runIdOf(910_000_000 + at), [[quota, 1]], { alongside }),
      );
    expect(await reserve(1, insert('a'))).toMatchObject({ kind: 'reserved' });
    expect(await reserve(1, insert('a'))).toMatchObject({ kind: 'repeated' });
    await expect(reserve(2, insert('a'))).rejects.toThrow(StoreConflict);
    expect(await ledger.usage([quota])).toEqual([1n]);
    expect(await reserve(3, insert('b'))).toMatchObject({ kind: 'reserved' });
    expect(await reserve(4, insert('c'))).toMatchObject({ kind: 'exceeded' });
    expect(await store.query('SELECT id FROM run ORDER BY id')).toEqual([{ id: 'a' }, { id: 'b' }]);
    const runId = runIdOf(910_000_001);
    const done = [
      { sql: `UPDATE run SET id = 'done' WHERE id = 'a'`, params: [], expectChanges: 1 },
    ];
    const settle = settleCommand(runId, 'posted', { runs: 1 }, { alongside: done });
    const before = await ledger.auditHead();
    const lost = [
      { sql: `UPDATE run SET id = 'x' WHERE id = 'nobody'`, params: [], expectChanges: 1 },
    ];
    await expect(ledger.settle({ ...settle, alongside: lost })).rejects.toThrow(StoreConflict);
    expect(await ledger.auditHead()).toEqual(before);
    expect(await ledger.settle(settle)).toMatchObject({ kind: 'settled' });
    expect(await ledger.settle(settle)).toMatchObject({ kind: 'already', outcome: 'posted' });
    expect(await store.query(`SELECT id FROM run WHERE id = 'done'`)).toHaveLength(1);
  });

  it('refuses to settle what was never reserved, or for more than was', async () => {
    const { ledger } = opened;
    const quota = account('strict', 'runs', 9);
    const runId = runIdOf(920_000_000);
    const post = (runs: number) => ledger.settle(settleCommand(runId, 'posted', { runs }));
    await expect(post(1)).rejects.toThrow(InvariantError);
    await ledger.reserve(reserveCommand('strict', runId, [[quota, 2]]));
    await expect(post(3)).rejects.toThrow(InvariantError);
    const rows = settleCommand(runId, 'posted', { rows: 1 });
    await expect(ledger.settle(rows)).rejects.toThrow(InvariantError);
    expect(await ledger.usage([quota])).toEqual([2n]);
    expect(await post(1)).toMatchObject({ kind: 'settled' });
    const [record] = await ledger.records((await ledger.auditHead()).size - 1n, 1);
    expect(record).toMatchObject({ runId, outcome: 'posted', quotaLeft: { 'runs/lifetime': 8n } });
  });

  it('takes a late post for the expiry, and names the record it supersedes', async () => {
    const { ledger } = opened;
    const quota = account('late', 'runs', 1);
    const reserve = (at: number) =>
      ledger.reserve(reserveCommand(`late-${at}`, runIdOf(930_000_000 + at), [[quota, 1]]));
    const settle = (at: number, outcome: 'posted' | 'expired' | 'voided') =>
      ledger.settle(
        settleCommand(runIdOf(930_000_000 + at), outcome, outcome === 'posted' ? { runs: 1 } : {}),
      );
    await reserve(1);
    expect(await ledger.overdue(1_000, 10_000)).toContain(runIdOf(930_000_001));
    const expired = await settle(1, 'expired');
    expect(await ledger.overdue(1_000, 10_000)).not.toContain(runIdOf(930_000_001));
    await reserve(2);
    // Another run took the place: the result is withheld.
    expect(await settle(1, 'posted')).toEqual({
      kind: 'already',
      outcome: 'expired',
      seq: seqOf(expired),
    });
    await settle(2, 'voided');
    const late = await settle(1, 'posted');
    const [record] = await ledger.records(seqOf(late) - 1n, 1);
    expect(record).toMatchObject({ outcome: 'posted', supersedes: seqOf(expired) });
    expect(await ledger.usage([quota])).toEqual([1n]);
  });

  it('records a refusal once, however often it is told', async () => {
    const { ledger } = opened;
    const tell = () =>
      ledger.recordDenied(draft('refused', 'denied', undefined), {
        kind: 'run.denied',
        atMs: 1,
        facts: {},
      });
    const { seq } = await tell();
    expect((await tell()).seq).toBe(seq);
    expect((await ledger.records(seq, 9)).length).toBe(0);
  });

  it('corrects a posted record by a new one, once', async () => {
    const { ledger } = opened;
    const runId = runIdOf(940_000_000);
    await ledger.reserve(reserveCommand('wrong', runId, [[account('wrong', 'runs', 9), 1]]));
    const posted = await ledger.settle(settleCommand(runId, 'posted', { runs: 1 }));
    const better = { ...draft('better', 'posted', runId, { runs: units(1) }), chargeMicros: 7n };
    const audit = { kind: 'run.corrected', atMs: 9, facts: { runId } };
    const command = { supersedes: seqOf(posted), record: better, audit };
    const { seq, recordHash } = await ledger.correct(command);
    expect(await ledger.correct(command)).toMatchObject({ seq, recordHash });
    const [record] = await ledger.records(seq - 1n, 1);
    expect(record).toMatchObject({ chargeMicros: 7n, supersedes: seqOf(posted) });
    expect(record && hashOf(encodeRecord(record))).toBe(recordHash);
    const other = { ...command, record: { ...better, id: 'other' } };
    await expect(ledger.correct(other)).rejects.toMatchObject({ code: 'already-exists' });
    for (const wrong of [
      { ...other, supersedes: 10n ** 9n },
      { ...other, supersedes: seq, record: { ...other.record, runId: runIdOf(1) } },
      { ...other, supersedes: seq, record: { ...other.record, currency: 'USD' } },
      { ...other, supersedes: seq, record: { ...other.record, chargeMicros: -1n } },
    ]) {
      await expect(ledger.correct(wrong)).rejects.toMatchObject({ code: 'parameter-invalid' });
    }
    expect(await ledger.correct({ ...other, supersedes: seq })).toMatchObject({ seq: seq + 1n });
  });

  it('takes one of two corrections of a record, asked for at once', async () => {
    const { ledger } = opened;
    const runId = runIdOf(950_000_000);
    await ledger.reserve(reserveCommand('both', runId, [[account('both', 'runs', 9), 1]]));
    const posted = await ledger.settle(settleCommand(runId, 'posted', { runs: 1 }));
    const correct = (id: string): Promise<Recorded> => {
      const record = { ...draft(id, 'posted', runId, { runs: units(1) }), chargeMicros: 7n };
      const audit = { kind: 'run.corrected', atMs: 9, facts: { runId } };
      return ledger.correct({ supersedes: seqOf(posted), record, audit });
    };
    const beside = draft('beside', 'denied', undefined);
    const [one, two, denial] = await Promise.allSettled([
      correct('one'),
      correct('two'),
      ledger.recordDenied(beside, { kind: 'run.denied', atMs: 1, facts: {} }),
    ]);
    const refused = [one, two].filter(({ status }) => status === 'rejected');
    expect(refused).toMatchObject([{ reason: { code: 'already-exists' } }]);
    // Whatever was asked for beside them stands.
    expect(denial.status).toBe('fulfilled');
  });

  it('appends other audit entries to the same chain', async () => {
    const { audit, store } = opened;
    const heads = await Promise.all(
      [1, 2, 3].map((at) => audit.append({ kind: 'contract.signed', atMs: at, facts: { at } }, [])),
    );
    expect(new Set(heads.map(({ size }) => size)).size).toBe(3);
    expect(await verifyStoredChain(store, heads[1])).toEqual({
      ok: true,
      head: await audit.head(),
    });
  });
});

function seqOf(outcome: SettleOutcome): bigint {
  return outcome.seq;
}
