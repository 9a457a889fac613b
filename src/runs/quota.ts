/** Which quota accounts a run draws on: one list, reserved all together or not at all. */
import type { Contract } from '../contracts/contract.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import { UNITS_MAX } from '../ledger/core.ts';
import type { LedgerStore, QuotaAccount, ReservationLine } from '../ledger/ledger-store.ts';
import { type Calendar, calendarOf } from '../ledger/windows.ts';
import type { UnitsByDimension } from './settlement.ts';

/** A dimension in one window, as an analyst is told. */
export interface QuotaLeft {
  readonly dimension: Dimension;
  readonly window: QuotaAccount['window'];
  readonly limit: Units;
  readonly left: Units;
  readonly resetsAtMs: number | undefined;
}

/** Calendars kept: making one costs more than asking it. Time zones in use are few. */
const CALENDARS_MAX = 64;

/** Calendars by time zone, bounded. */
export class Calendars {
  readonly #byZone = new Map<string, Calendar>();

  of(timeZone: string): Calendar {
    const known = this.#byZone.get(timeZone);
    if (known !== undefined) return known;
    if (this.#byZone.size >= CALENDARS_MAX) this.#byZone.clear();
    const fresh = calendarOf(timeZone);
    this.#byZone.set(timeZone, fresh);
    return fresh;
  }
}

/** The contract's accounts at `nowMs`; days and months are calendar ones in its time zone. */
export function quotaAccounts(
  contract: Contract,
  nowMs: number,
  calendar: Calendar,
): readonly QuotaAccount[] {
  const { limits } = contract;
  const account = (
    dimension: Dimension,
    window: QuotaAccount['window'],
    limit: number,
  ): QuotaAccount => ({
    subject: `contract:${contract.id}`,
    dimension,
    limit: BigInt(limit) as Units,
    ...calendar.windowOf(window, nowMs),
  });
  return [
    account('runs', 'lifetime', limits.runsTotal),
    account('runs', 'month', limits.runsPerMonth),
    account('runs', 'day', limits.runsPerDay),
    account('rows', 'lifetime', limits.rowsTotal),
    account('compute-milli-units', 'lifetime', limits.computeMilliUnitsTotal),
    account('micro-rho', 'lifetime', limits.microRhoTotal),
    ...(limits.paddedItemsTotal === undefined
      ? []
      : [account('padded-items', 'lifetime', limits.paddedItemsTotal)]),
    ...(limits.bytesTotal === undefined ? [] : [account('bytes', 'lifetime', limits.bytesTotal)]),
  ];
}

/**
 * Runs of the calendar month that holds `atMs`, posted and held: what price tiers go by. Asked only
 * where the contract has tiers.
 */
export async function runsOfMonth(
  ledger: LedgerStore,
  contract: Contract,
  atMs: number,
): Promise<bigint> {
  if (contract.price.tiers === undefined) return 0n;
  const accounts = quotaAccounts(contract, atMs, calendarOf(contract.timeZone));
  const month = accounts.filter(
    ({ dimension, window }) => dimension === 'runs' && window === 'month',
  );
  const [runs = 0n] = await ledger.usage(month);
  return runs;
}

/**
 * The lines of one reservation: every account of a dimension the run uses. What nobody limits is
 * counted all the same, in an account of the contract without a bound that could be reached.
 */
export function reservationLines(
  contract: Contract,
  accounts: readonly QuotaAccount[],
  units: UnitsByDimension,
): readonly ReservationLine[] {
  const lines: ReservationLine[] = [];
  for (const [dimension, amount] of Object.entries(units) as [Dimension, Units][]) {
    if (amount <= 0n) continue;
    const limited = accounts.filter((account) => account.dimension === dimension);
    const drawn = limited.length > 0 ? limited : [unlimited(contract, dimension)];
    lines.push(...drawn.map((account) => ({ account, units: amount })));
  }
  return lines;
}

function unlimited(contract: Contract, dimension: Dimension): QuotaAccount {
  return {
    subject: `contract:${contract.id}`,
    dimension,
    window: 'lifetime',
    windowKey: 'lifetime',
    limit: UNITS_MAX as Units,
    resetsAtMs: undefined,
  };
}

/** What is left of each account now, pending reservations counted as used. */
export async function quotaLeft(
  ledger: LedgerStore,
  accounts: readonly QuotaAccount[],
): Promise<readonly QuotaLeft[]> {
  const used = await ledger.usage(accounts);
  return accounts.map((account, index) => {
    const taken = used[index] ?? 0n;
    const left = account.limit > taken ? account.limit - taken : 0n;
    return {
      dimension: account.dimension,
      window: account.window,
      limit: account.limit,
      left: left as Units,
      resetsAtMs: account.resetsAtMs,
    };
  });
}
