/** Billing as the routes need it, over ledger and store. */
import type { AuditEntry } from '../audit/audit-sink.ts';
import { InputError } from '../errors.ts';
import { encodeEventBatch } from '../ledger/cloud-events.ts';
import { readRecord } from '../ledger/ledger-reads.ts';
import type { LedgerStore } from '../ledger/ledger-store.ts';
import { monthlyStatement } from '../ledger/statement.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import { type Random, uuidV7 } from '../system/random.ts';
import type { BillingService } from './services.ts';

/** @param source - the CloudEvents `source` of this ledger. */
export function billingService(
  ledger: LedgerStore,
  store: Store,
  clock: Clock,
  random: Random,
  source: string,
): BillingService {
  return {
    events: async (after, most) => encodeEventBatch(await ledger.records(after, most), source),
    statement: async (query) =>
      plain(await monthlyStatement(store, { ...query, nowMs: clock.now() })),
    correct: async ({ supersedes, chargeMicros, reason, by }) => {
      const before = await readRecord(store, supersedes);
      if (before === undefined || before.outcome !== 'posted') {
        throw new InputError('parameter-invalid', `Record ${supersedes} is not a posted one.`, {
          rule: 'a correction takes the place of a posted record',
        });
      }
      const { seq: _seq, quotaLeft: _left, supersedes: _before, ...same } = before;
      const atMs = clock.now();
      const id = uuidV7(clock, random);
      const audit: AuditEntry = {
        kind: 'record.corrected',
        atMs,
        facts: {
          recordId: id,
          supersedes: String(supersedes),
          chargeMicros: String(chargeMicros),
          reason,
          by,
        },
      };
      const recorded = await ledger.correct({
        supersedes,
        record: { ...same, id, atMs, chargeMicros },
        audit,
      });
      const written = await readRecord(store, recorded.seq);
      if (written === undefined) throw new InputError('parameter-invalid', 'No such record.');
      return written;
    },
  };
}

/** Amounts as decimal strings, as everywhere in the API. */
function plain(value: object): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'bigint' ? String(member) : member,
  );
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
}
