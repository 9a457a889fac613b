import { describe, expect, it } from 'vitest';
import type { UnitsByDimension } from '../../src/runs/settlement.ts';
import { calendarOf } from '../../src/ledger/windows.ts';
import { UNITS_MAX } from '../../src/ledger/core.ts';
import { quotaAccounts, reservationLines } from '../../src/runs/quota.ts';
import { makeCast, makeContract, NOW_MS } from '../fixtures/contract.ts';

describe('the lines of a reservation', () => {
  const contract = makeContract(makeCast());
  const accounts = quotaAccounts(contract, NOW_MS, calendarOf(contract.timeZone));

  it('draw on every account of a dimension, and count what nobody limits', () => {
    const units = { runs: 1n, 'padded-items': 4096n, 'micro-rho': 0n } as UnitsByDimension;
    const lines = reservationLines(contract, accounts, units);
    expect(lines.map(({ account }) => `${account.dimension}/${account.window}`)).toEqual([
      'runs/lifetime',
      'runs/month',
      'runs/day',
      'padded-items/lifetime',
    ]);
    expect(lines.at(-1)).toMatchObject({ units: 4096n, account: { limit: UNITS_MAX } });
  });

  it('draw on what a contract limits of padded items and bytes', () => {
    const { limits } = contract;
    const limited = { ...contract, limits: { ...limits, paddedItemsTotal: 10_000, bytesTotal: 7 } };
    const own = quotaAccounts(limited, NOW_MS, calendarOf(contract.timeZone));
    const units = { 'padded-items': 4096n, bytes: 5n } as UnitsByDimension;
    expect(reservationLines(limited, own, units)).toMatchObject([
      { units: 4096n, account: { dimension: 'padded-items', limit: 10_000n } },
      { units: 5n, account: { dimension: 'bytes', limit: 7n } },
    ]);
  });
});

describe('the accounts of a contract', () => {
  it('hold every limit that was signed, each in its window', () => {
    const contract = makeContract(makeCast(), {
      limits: {
        runsTotal: 50,
        runsPerMonth: 20,
        runsPerDay: 3,
        rowsTotal: 1000,
        computeMilliUnitsTotal: 2000,
        microRhoTotal: 3000,
        paddedItemsTotal: 4000,
        bytesTotal: 5000,
      },
    });
    const accounts = quotaAccounts(contract, NOW_MS, calendarOf(contract.timeZone));
    expect(accounts.map(({ dimension, window, limit }) => [dimension, window, limit])).toEqual([
      ['runs', 'lifetime', 50n],
      ['runs', 'month', 20n],
      ['runs', 'day', 3n],
      ['rows', 'lifetime', 1000n],
      ['compute-milli-units', 'lifetime', 2000n],
      ['micro-rho', 'lifetime', 3000n],
      ['padded-items', 'lifetime', 4000n],
      ['bytes', 'lifetime', 5000n],
    ]);
    expect(new Set(accounts.map(({ subject }) => subject))).toEqual(
      new Set([`contract:${contract.id}`]),
    );
  });
});
