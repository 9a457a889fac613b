/** The embedded ledger against a naive model, over random sequences of commands. */
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS, verifyStoredChain } from '../../src/audit/chain-table.ts';
import type { Dimension } from '../../src/contracts/units.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { LEDGER_PROGRAMS, sqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import type { RunId } from '../../src/system/ids.ts';
import {
  account,
  bodyHash,
  draft,
  NaiveLedger,
  reserveCommand,
  runIdOf,
  settleCommand,
} from '../support/ledger-commands.ts';

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

let directory: string;
let store: SqliteStore;
let ledger: LedgerStore;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-ledger-'));
  store = await openSqliteStore({
    file: join(directory, 'store.db'),
    migrations: [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS],
    programs: LEDGER_PROGRAMS,
  });
  ledger = sqliteLedger(store);
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

let world = 0;

async function replay(steps: readonly Step[]): Promise<void> {
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

describe('embedded ledger', () => {
  it('answers every sequence of commands as the naive model does', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), replay), { numRuns: 150 });
    expect(await verifyStoredChain(store)).toMatchObject({ ok: true });
  });

  it('writes one record, one outbox row and one audit leaf for each settlement', async () => {
    const counts = await store.query(
      `SELECT (SELECT count(*) FROM ledger_record) AS records,
       (SELECT count(*) FROM ledger_outbox) AS outbox, (SELECT count(*) FROM audit_entry) AS leaves`,
    );
    const [row] = counts;
    expect(row?.['records']).toBeGreaterThan(0n);
    expect(row?.['outbox']).toBe(row?.['records']);
    expect(row?.['leaves']).toBe(row?.['records']);
  });
});
