/** Three gateways at once on one PostgreSQL: commands collide on purpose, and the books must balance. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS } from '../../src/audit/chain-table.ts';
import { LEDGER_MIGRATIONS } from '../../src/ledger/ledger-schema.ts';
import type { LedgerStore } from '../../src/ledger/ledger-store.ts';
import { postgresLedger } from '../../src/ledger/postgres-ledger.ts';
import { reconcile } from '../../src/ledger/reconcile.ts';
import { openPostgresStore, type PostgresStore } from '../../src/store/postgres-store.ts';
import { account, reserveCommand, runIdOf, settleCommand } from '../support/ledger-commands.ts';
import { seeded } from '../support/seeded.ts';
import { dropSchema, findServer } from '../support/test-stores.ts';

const GATEWAYS = 3;
const RUNS = 240;
const found = await findServer();
const schema = `weir_test_${randomBytes(6).toString('hex')}`;

describe.skipIf(found === undefined)('three gateways on one PostgreSQL', () => {
  let stores: PostgresStore[];
  let ledgers: LedgerStore[];
  beforeAll(async () => {
    const migrations = [AUDIT_MIGRATIONS, LEDGER_MIGRATIONS];
    stores = await Promise.all(
      Array.from({ length: GATEWAYS }, () =>
        openPostgresStore({ url: found?.url ?? '', schema, migrations, connections: 4 }),
      ),
    );
    ledgers = stores.map(postgresLedger);
  });
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await dropSchema(found?.url ?? '', schema);
    await found?.server?.stop();
  });

  it('reserve each key once, never beyond a limit, and settle each run once', async () => {
    const random = seeded(42);
    const accounts = Array.from({ length: 4 }, (_, at) => account(`c${at}`, 'runs', 30));
    const shared = account('analyst', 'rows', 700);
    const outcomes = { reserved: 0, settled: 0 };
    const oneRun = async (at: number): Promise<void> => {
      const runId = runIdOf(at);
      // Two contracts a run, in either order: unordered locks would deadlock here.
      const lines = [
        [accounts[random.below(4)]!, 1],
        [shared, random.below(9)],
        [accounts[random.below(4)]!, 1],
      ] as const;
      const command = reserveCommand(`key-${at}`, runId, lines);
      // The same request at every gateway: a client that retries elsewhere.
      const answers = await Promise.all(ledgers.map((ledger) => ledger.reserve(command)));
      const reserved = answers.filter(({ kind }) => kind === 'reserved').length;
      expect(reserved).toBeLessThanOrEqual(1);
      outcomes.reserved += reserved;
      if (reserved === 0) {
        expect(answers.every(({ kind }) => kind === 'exceeded')).toBe(true);
        return;
      }
      const rows = lines[1][1];
      const ends = await Promise.all(
        ledgers.map((ledger, gateway) => {
          const settle =
            gateway === 0 && at % 3 === 0
              ? settleCommand(runId, 'voided')
              : settleCommand(runId, 'posted', { runs: 1, rows });
          const id = `record-${at}-${gateway}`;
          return ledger.settle({ ...settle, record: { ...settle.record, id } });
        }),
      );
      expect(ends.filter(({ kind }) => kind === 'settled')).toHaveLength(1);
      outcomes.settled += 1;
    };
    await Promise.all(Array.from({ length: RUNS }, (_, at) => oneRun(at)));

    const [store] = stores;
    const [ledger] = ledgers;
    if (store === undefined || ledger === undefined) throw new Error('no gateway');
    expect(outcomes.settled).toBe(outcomes.reserved);
    const report = await reconcile({ store });
    expect(report).toMatchObject({ ok: true, records: BigInt(outcomes.settled) });
    const held = await store.query('SELECT max(reserved) AS most FROM ledger_account');
    expect(held).toEqual([{ most: 0n }]);
    const used = await ledger.usage([...accounts, shared]);
    expect(used.slice(0, 4).every((units) => units <= 30n)).toBe(true);
    expect(used.at(-1)).toBeLessThanOrEqual(700n);
    const [sum] = await store.query('SELECT sum(row_units) AS total FROM ledger_record');
    expect(used.at(-1)).toBe(sum?.['total']);
    // Enough was asked for that limits were met, or this would show little.
    expect(outcomes.reserved).toBeLessThan(RUNS);
  });
});
