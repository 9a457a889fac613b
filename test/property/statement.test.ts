/** Statements over records that were posted, refused, corrected within the month, again, and after it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { monthlyStatement } from '../../src/ledger/statement.ts';
import type { PartyId } from '../../src/system/ids.ts';
import {
  account,
  draft,
  reserveCommand,
  runIdOf,
  settleCommand,
  units,
} from '../support/ledger-commands.ts';
import { sqliteKind, type TestStore } from '../support/test-stores.ts';

const at = (text: string): number => Date.parse(text);
const AIRLINE = 'airline' as PartyId;
const audit = { kind: 'test', atMs: 0, facts: {} };
let opened: TestStore;

/** Posts one run with a charge at a time; the record's number. */
async function post(run: number, atMs: number, chargeMicros: bigint): Promise<bigint> {
  const runId = runIdOf(run);
  await opened.ledger.reserve(reserveCommand(`k${run}`, runId, [[account('c', 'runs', 99), 1]]));
  const settle = settleCommand(runId, 'posted', { runs: 1 });
  const { seq } = await opened.ledger.settle({
    ...settle,
    record: { ...settle.record, atMs, chargeMicros },
  });
  return seq;
}

async function correct(
  supersedes: bigint,
  run: number,
  atMs: number,
  chargeMicros: bigint,
): Promise<bigint> {
  const record = {
    ...draft(`fix-${supersedes}`, 'posted', runIdOf(run), { runs: units(1) }),
    atMs,
    chargeMicros,
  };
  return (await opened.ledger.correct({ supersedes, record, audit })).seq;
}

const statement = (month: string, nowMs = at('2027-01-01T00:00:00Z')) =>
  monthlyStatement(opened.store, { analyst: AIRLINE, month, timeZone: 'Asia/Shanghai', nowMs });

beforeAll(async () => {
  opened = await sqliteKind.open();
  const first = await post(1, at('2026-10-31T15:59:59Z'), 100n);
  const second = await post(2, at('2026-10-31T16:00:00Z'), 200n);
  await post(3, at('2026-11-10T00:00:00Z'), 300n);
  await opened.ledger.recordDenied(
    { ...draft('no', 'denied', undefined), atMs: at('2026-11-11T00:00:00Z') },
    audit,
  );
  const fixed = await correct(second, 2, at('2026-11-12T00:00:00Z'), 150n);
  await correct(first, 1, at('2026-11-13T00:00:00Z'), 0n);
  await correct(fixed, 2, at('2026-11-14T00:00:00Z'), 130n);
});
afterAll(() => opened.remove());

describe('a monthly statement', () => {
  it('counts what was posted in the month of the time zone, and not what was refused', async () => {
    const october = await statement('2026-10');
    expect(october).toMatchObject({ final: true, totalMicros: { CNY: 100n } });
    expect(october.lines).toMatchObject([{ records: 1n, corrections: 0n, chargeMicros: 100n }]);
  });

  it('counts corrections as differences, those of earlier months apart', async () => {
    const november = await statement('2026-11');
    expect(november.totalMicros).toEqual({ CNY: 200n + 300n - 50n - 20n - 100n });
    expect(november.lines).toMatchObject([
      { records: 2n, corrections: 3n, earlierMonthsMicros: -100n, units: { runs: 2n } },
    ]);
  });

  it('sums over the months to what counts in the end', async () => {
    const months = await Promise.all(
      ['2026-10', '2026-11', '2026-12'].map((each) => statement(each)),
    );
    const total = months.reduce((sum, each) => sum + (each.totalMicros['CNY'] ?? 0n), 0n);
    expect(total).toBe(0n + 130n + 300n);
  });

  it('is the same whenever it is drawn, and says whether the month is over', async () => {
    const once = await statement('2026-11');
    expect(await statement('2026-11', at('2028-01-01T00:00:00Z'))).toEqual(once);
    const early = await statement('2026-11', at('2026-11-20T00:00:00Z'));
    expect(early.final).toBe(false);
    expect(early.hash).not.toBe(once.hash);
  });

  it('refuses a month that is none', async () => {
    for (const month of ['2026-13', '2026-1', 'x']) {
      await expect(statement(month)).rejects.toBeInstanceOf(InputError);
    }
  });
});
