/** Ledger commands as small tests want them, and the naive model they are compared with. */
import type { Dimension, Units } from '../../src/contracts/units.ts';
import type {
  QuotaAccount,
  RecordDraft,
  RecordOutcome,
  ReserveCommand,
  ReserveOutcome,
  SettleCommand,
} from '../../src/ledger/ledger-store.ts';
import type { ContractId, Hash, PartyId, RunId } from '../../src/system/ids.ts';

export const units = (amount: number | bigint): Units => BigInt(amount) as Units;

export const bodyHash = (body: number): Hash => body.toString(16).padStart(64, '0') as Hash;

export const runIdOf = (index: number): RunId =>
  `00000000-0000-7000-8000-${index.toString(16).padStart(12, '0')}` as RunId;

export function account(
  subject: string,
  dimension: Dimension,
  limit: number | bigint,
  windowKey = 'lifetime',
): QuotaAccount {
  const window = windowKey === 'lifetime' ? 'lifetime' : windowKey.length === 7 ? 'month' : 'day';
  const resetsAtMs = window === 'lifetime' ? undefined : 1_000_000;
  return { subject, dimension, window, windowKey, limit: units(limit), resetsAtMs };
}

export function reserveCommand(
  key: string,
  runId: RunId,
  lines: readonly (readonly [QuotaAccount, number])[],
  more: Partial<ReserveCommand> = {},
): ReserveCommand {
  return {
    requestKey: key,
    bodyHash: bodyHash(1),
    runId,
    lines: lines.map(([each, amount]) => ({ account: each, units: units(amount) })),
    nowMs: 0,
    expiresAtMs: 1_000,
    alongside: [],
    ...more,
  };
}

export function draft(
  id: string,
  outcome: RecordOutcome,
  runId: RunId | undefined,
  counted: Readonly<Partial<Record<Dimension, Units>>> = {},
): RecordDraft {
  return {
    id,
    atMs: 1_790_000_000_000,
    analyst: 'airline' as PartyId,
    holders: ['west', 'east'] as readonly string[] as readonly PartyId[],
    contractId: '0193e0a0-0000-7000-8000-000000000001' as ContractId,
    runId,
    protocol: runId === undefined ? undefined : 'secure-sum',
    datasets: [{ name: 'flights', fingerprint: bodyHash(7) }],
    outcome,
    code: outcome === 'posted' ? undefined : 'domain-left',
    units: counted,
    chargeMicros: outcome === 'posted' ? 1_500_000n : 0n,
    currency: 'CNY',
    receiptHash: outcome === 'posted' ? bodyHash(9) : undefined,
  };
}

export function settleCommand(
  runId: RunId,
  outcome: SettleCommand['outcome'],
  posted: Readonly<Partial<Record<Dimension, number>>> = {},
  more: Partial<SettleCommand> = {},
): SettleCommand {
  const counted = Object.fromEntries(
    Object.entries(posted).map(([name, amount]) => [name, units(amount)]),
  );
  return {
    runId,
    nowMs: 5,
    outcome,
    units: counted,
    record: draft(`${runId}-${outcome}`, outcome, runId, counted),
    audit: { kind: `run.${outcome}`, atMs: 5, facts: { runId } },
    alongside: [],
    ...more,
  };
}

interface ModelRun {
  readonly command: ReserveCommand;
  state: 'pending' | 'posted' | 'voided' | 'expired';
  posted: Readonly<Partial<Record<Dimension, Units>>>;
  seq: bigint | undefined;
}

/** A ledger as one would write it on a napkin: it adds everything up anew each time it is asked. */
export class NaiveLedger {
  readonly runs = new Map<string, ModelRun>();
  readonly records: { readonly runId: RunId | undefined; readonly outcome: RecordOutcome }[] = [];

  copy(): NaiveLedger {
    const copy = new NaiveLedger();
    for (const [key, run] of this.runs) copy.runs.set(key, { ...run });
    copy.records.push(...this.records);
    return copy;
  }

  used(subject: string, dimension: Dimension, windowKey: string): bigint {
    let sum = 0n;
    for (const run of this.runs.values()) {
      for (const line of run.command.lines) {
        const { account: each } = line;
        if (each.subject !== subject || each.dimension !== dimension) continue;
        if (each.windowKey !== windowKey) continue;
        if (run.state === 'pending') sum += line.units;
        if (run.state === 'posted') sum += run.posted[dimension] ?? 0n;
      }
    }
    return sum;
  }

  #fits(lines: readonly (readonly [QuotaAccount, bigint])[]): boolean {
    return lines.every(
      ([each, amount]) =>
        amount === 0n ||
        this.used(each.subject, each.dimension, each.windowKey) + amount <= each.limit,
    );
  }

  reserve(command: ReserveCommand): ReserveOutcome['kind'] {
    const before = this.runs.get(command.requestKey);
    if (before !== undefined) {
      return before.command.bodyHash === command.bodyHash ? 'repeated' : 'conflict';
    }
    if (!this.#fits(command.lines.map((line) => [line.account, line.units]))) return 'exceeded';
    this.runs.set(command.requestKey, { command, state: 'pending', posted: {}, seq: undefined });
    return 'reserved';
  }

  /** What `SettleOutcome` says, as text. */
  settle(command: SettleCommand): string {
    const run = [...this.runs.values()].find((each) => each.command.runId === command.runId);
    if (run === undefined) throw new Error('no such run');
    const late = run.state === 'expired' && command.outcome === 'posted';
    const room =
      late &&
      this.#fits(
        run.command.lines.map((line) => [
          line.account,
          command.units[line.account.dimension] ?? 0n,
        ]),
      );
    if (run.state !== 'pending' && !room) return `already ${run.state} ${run.seq}`;
    run.state = command.outcome;
    run.posted = command.units;
    this.records.push({ runId: command.runId, outcome: command.outcome });
    run.seq = BigInt(this.records.length);
    return `settled ${run.seq}`;
  }
}
