/**
 * The officer's signed decisions to grade a dataset as general. One a dataset; it holds while the
 * dataset is the version that was examined, and changed data has its registered grade again.
 */
import { regradeHash, type SignedRegrade, SignedRegradeSchema } from '../catalog/regrade.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Store } from '../store/store.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Counters } from './counters.ts';

export const REGRADE_MIGRATIONS: MigrationList = {
  area: 'domain-regrades',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE regrade (
  dataset TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL, at_ms BIGINT NOT NULL)`,
    },
  ],
};

export interface RegradeBook {
  /** The decision about a dataset, whatever version it is about. */
  of(dataset: string): Promise<SignedRegrade | undefined>;
  keep(signed: SignedRegrade, nowMs: number): Promise<void>;
  /** The dataset has its registered grade again. */
  withdraw(dataset: string): Promise<void>;
}

/**
 * Both take a number of the counters' chain: a restored backup that brings back a decision which
 * was withdrawn is noticed as any rollback is.
 * @param store - holds `REGRADE_MIGRATIONS`, and is the one of the counters.
 */
export function openRegradeBook(
  store: Pick<Store, 'query'>,
  counters: Pick<Counters, 'note'>,
): RegradeBook {
  return {
    of: async (dataset) => {
      const sql = 'SELECT document FROM regrade WHERE dataset = ?';
      const document = (await store.query(sql, [dataset]))[0]?.['document'];
      return document === undefined
        ? undefined
        : SignedRegradeSchema.parse(JSON.parse(String(document)));
    },
    keep: (signed, nowMs) =>
      counters.note({ kind: 'dataset.regraded', digest: regradeHash(signed.decision) }, [
        {
          sql: `INSERT INTO regrade (dataset, document, at_ms) VALUES (?, ?, ?)
                ON CONFLICT (dataset) DO UPDATE
                SET document = excluded.document, at_ms = excluded.at_ms`,
          params: [signed.decision.dataset, JSON.stringify(signed), nowMs],
        },
      ]),
    withdraw: (dataset) =>
      counters.note({ kind: 'dataset.regrade-withdrawn', digest: canonicalHash({ dataset }) }, [
        { sql: 'DELETE FROM regrade WHERE dataset = ?', params: [dataset] },
      ]),
  };
}
