/**
 * The ledger's rules, without a store: what a command does to a reservation and to quota accounts.
 * Stores read the state, ask here, and write what they are told in the same transaction.
 *
 * States: pending → posted | voided | expired, each settled once. Repeats answer what was.
 *
 * A post that comes late. Until the sweeper has expired a reservation its units are still held, so a
 * post past `expiresAtMs` is an ordinary post. After that it holds nothing: the post takes its units
 * anew, from the same accounts, if every one of them has room; its record then supersedes the record of
 * the expiry. If one has no room, the run stays expired, nothing is charged, and the caller withholds
 * the result. Only `expired` can be left again: a void was decided, an expiry merely happened.
 */
import type { Dimension, Units } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';
import type {
  QuotaAccount,
  RecordOutcome,
  ReservationLine,
  ReserveCommand,
  SettleCommand,
} from './ledger-store.ts';
import type { RunId } from '../system/ids.ts';

/** Quota lines of one reservation. */
export const LINES_MAX = 64;
/** What a 64-bit column holds. */
export const UNITS_MAX = 2n ** 63n - 1n;

export type ReservationState = 'pending' | 'posted' | 'voided' | 'expired';

export interface Reservation {
  readonly runId: RunId;
  readonly bodyHash: string;
  readonly state: ReservationState;
  /** In canonical order. */
  readonly lines: readonly ReservationLine[];
  /** The latest record of this reservation; undefined while pending. */
  readonly seq: bigint | undefined;
}

/** What an account holds now: `posted` is spent, `reserved` is held by pending reservations. */
export interface AccountUse {
  readonly posted: bigint;
  readonly reserved: bigint;
}

export interface AccountChange {
  readonly account: QuotaAccount;
  readonly posted: bigint;
  readonly reserved: bigint;
}

export type ReserveDecision =
  | { readonly kind: 'reserved'; readonly changes: readonly AccountChange[] }
  | { readonly kind: 'repeated' | 'conflict'; readonly runId: RunId }
  | { readonly kind: 'exceeded'; readonly account: QuotaAccount; readonly left: Units };

export type SettleDecision =
  | {
      readonly kind: 'settle';
      readonly changes: readonly AccountChange[];
      /** Units left by `dimension/window` after the changes; the least, where accounts share one. */
      readonly quotaLeft: Readonly<Record<string, Units>>;
      /** The record of the expiry that this post supersedes. */
      readonly supersedes: bigint | undefined;
    }
  | { readonly kind: 'already'; readonly outcome: RecordOutcome; readonly seq: bigint };

/** One account's identity: the window is part of its key. */
export function accountKey(account: QuotaAccount): string {
  return `${account.subject}\u0000${account.dimension}\u0000${account.windowKey}`;
}

/**
 * Lines in the order of their accounts, one an account: units of equal accounts are added and the
 * lower limit counts. The fixed order is what keeps concurrent stores from deadlock.
 */
export function canonicalLines(lines: readonly ReservationLine[]): readonly ReservationLine[] {
  const byKey = new Map<string, ReservationLine>();
  for (const line of lines) {
    const { account, units } = line;
    assertInvariant(units >= 0n && units <= UNITS_MAX, 'reserved units fit 63 bits');
    assertInvariant(account.limit >= 0n && account.limit <= UNITS_MAX, 'a limit fits 63 bits');
    const key = accountKey(account);
    const same = byKey.get(key);
    if (same === undefined) {
      byKey.set(key, line);
      continue;
    }
    const limit = account.limit < same.account.limit ? account.limit : same.account.limit;
    const sum = (units + same.units) as Units;
    byKey.set(key, { account: { ...account, limit }, units: sum });
  }
  assertInvariant(byKey.size <= LINES_MAX, `a reservation has at most ${LINES_MAX} accounts`);
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
}

/** What the account has left; never negative, though a limit may have been lowered below its use. */
export function unitsLeft(limit: bigint, use: AccountUse): Units {
  const left = limit - use.posted - use.reserved;
  return (left > 0n ? left : 0n) as Units;
}

/**
 * Decides a reservation over all its lines, or none.
 * @param existing - the reservation under the same request key.
 * @param lines - `canonicalLines` of the command.
 */
export function decideReserve(
  existing: Pick<Reservation, 'runId' | 'bodyHash'> | undefined,
  lines: readonly ReservationLine[],
  useOf: (account: QuotaAccount) => AccountUse,
  command: Pick<ReserveCommand, 'bodyHash'>,
): ReserveDecision {
  if (existing !== undefined) {
    const same = existing.bodyHash === command.bodyHash;
    return { kind: same ? 'repeated' : 'conflict', runId: existing.runId };
  }
  for (const { account, units } of lines) {
    const left = unitsLeft(account.limit, checkedUse(useOf(account)));
    if (units > left) return { kind: 'exceeded', account, left };
  }
  return {
    kind: 'reserved',
    changes: lines.map(({ account, units }) => ({ account, posted: 0n, reserved: units })),
  };
}

/** Decides how a reservation ends. @throws InvariantError where more is posted than was reserved. */
export function decideSettle(
  reservation: Reservation,
  useOf: (account: QuotaAccount) => AccountUse,
  command: Pick<SettleCommand, 'outcome' | 'units'>,
): SettleDecision {
  const { state, seq, lines } = reservation;
  const late = state === 'expired' && command.outcome === 'posted';
  assertInvariant(
    (state === 'pending') === (seq === undefined),
    'a settled reservation has a record',
  );
  assertPostWithinReserved(lines, command);
  if (state !== 'pending' && seq !== undefined) {
    const before = { kind: 'already', outcome: state, seq } as const;
    if (!late) return before;
    const full = lines.some(
      ({ account }) => postedOf(account, command) > unitsLeft(account.limit, useOf(account)),
    );
    if (full) return before;
  }
  const changes = lines.map(({ account, units }) => ({
    account,
    posted: postedOf(account, command),
    reserved: late ? 0n : 0n - units,
  }));
  return {
    kind: 'settle',
    changes,
    quotaLeft: leftAfter(changes, useOf),
    supersedes: late ? seq : undefined,
  };
}

/** The use after a change. @throws InvariantError where the books would not balance. */
export function applyChange(use: AccountUse, change: AccountChange): AccountUse {
  return checkedUse({
    posted: use.posted + change.posted,
    reserved: use.reserved + change.reserved,
  });
}

function checkedUse(use: AccountUse): AccountUse {
  assertInvariant(use.posted >= 0n && use.reserved >= 0n, 'no account is below zero');
  assertInvariant(use.posted + use.reserved <= UNITS_MAX, 'an account fits 63 bits');
  return use;
}

function postedOf(
  account: QuotaAccount,
  command: Pick<SettleCommand, 'units' | 'outcome'>,
): bigint {
  return command.outcome === 'posted' ? (command.units[account.dimension] ?? 0n) : 0n;
}

function assertPostWithinReserved(
  lines: readonly ReservationLine[],
  command: Pick<SettleCommand, 'units' | 'outcome'>,
): void {
  for (const [dimension, units] of Object.entries(command.units) as [Dimension, Units][]) {
    if (units === 0n) continue;
    assertInvariant(units > 0n && command.outcome === 'posted', 'only a post charges units');
    const held = lines.filter((line) => line.account.dimension === dimension);
    assertInvariant(
      held.length > 0 && held.every((line) => units <= line.units),
      `a post of ${dimension} is at most what was reserved`,
    );
  }
}

function leftAfter(
  changes: readonly AccountChange[],
  useOf: (account: QuotaAccount) => AccountUse,
): Readonly<Record<string, Units>> {
  const least = new Map<string, Units>();
  for (const change of changes) {
    const { dimension, window, limit } = change.account;
    const left = unitsLeft(limit, applyChange(useOf(change.account), change));
    const name = `${dimension}/${window}`;
    const other = least.get(name);
    least.set(name, other === undefined || left < other ? left : other);
  }
  return Object.fromEntries([...least].sort(([a], [b]) => (a < b ? -1 : 1)));
}
