/**
 * What this domain keeps between the runs of one contract: artifacts bound to dataset versions, and a
 * durable count of what it has evaluated for the peer, which outlives both.
 */
import type { Precomputed } from '../computations/psi/unbalanced/precomputed.ts';
import { MeteringError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import { StoreConflict, type Store } from '../store/store.ts';
import type { Hash } from '../system/ids.ts';
import type { ArtifactStore } from './artifact-store.ts';

export const EVALUATION_MIGRATIONS: MigrationList = {
  area: 'domain-evaluations',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE evaluated (
  contract_hash TEXT NOT NULL PRIMARY KEY, evaluations BIGINT NOT NULL)`,
    },
  ],
};

/** The run that asks. */
export interface PrecomputedRun {
  readonly contractHash: Hash;
  /** Aborted when the run must not go on: its contract was revoked, say. */
  readonly signal: AbortSignal;
}

export type PrecomputedOf = (run: PrecomputedRun) => Precomputed;

/**
 * One for all runs of a domain.
 * @param store - holds `EVALUATION_MIGRATIONS`.
 */
export function openPrecomputed(
  store: Pick<Store, 'execute'>,
  artifacts: ArtifactStore,
): PrecomputedOf {
  const last = new Map<Hash, Promise<unknown>>();
  return ({ contractHash, signal }) => ({
    read: (datasetFingerprint, name) => artifacts.read({ contractHash, datasetFingerprint, name }),
    async write(datasetFingerprint, name, content) {
      signal.throwIfAborted();
      await artifacts.write({ contractHash, datasetFingerprint, name }, content);
      if (!signal.aborted) return;
      // Revoked meanwhile: the purge may have gone by before this was written.
      await artifacts.purgeContract(contractHash);
      signal.throwIfAborted();
    },
    keepOnly: (versions) => artifacts.keepVersions(contractHash, versions),
    async alone(work) {
      const before = last.get(contractHash);
      const mine = (async () => {
        await before?.catch(() => undefined);
        signal.throwIfAborted();
        return work();
      })();
      last.set(contractHash, mine);
      try {
        return await mine;
      } finally {
        if (last.get(contractHash) === mine) last.delete(contractHash);
      }
    },
    meter: (evaluations, evaluationsMax) =>
      countEvaluations(store, contractHash, evaluations, evaluationsMax),
  });
}

async function countEvaluations(
  store: Pick<Store, 'execute'>,
  contractHash: Hash,
  evaluations: number,
  evaluationsMax: number,
): Promise<void> {
  try {
    await store.execute([
      {
        sql: `INSERT INTO evaluated (contract_hash, evaluations) VALUES (?, 0)
              ON CONFLICT (contract_hash) DO NOTHING`,
        params: [contractHash],
      },
      {
        sql: `UPDATE evaluated SET evaluations = evaluations + ?
              WHERE contract_hash = ? AND evaluations + ? <= ?`,
        params: [evaluations, contractHash, evaluations, evaluationsMax],
        expectChanges: 1,
      },
    ]);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
    throw new MeteringError(
      'contract-counter-exhausted',
      'The contract’s evaluations are used up, by this domain’s own count.',
      {
        rule: `at most ${evaluationsMax} padded items in all runs`,
        dimension: 'padded-items',
        left: '0',
        remedy: 'Agree on a new contract.',
      },
    );
  }
}

/** Items evaluated for peers under a contract so far. */
export async function evaluationsOf(
  store: Pick<Store, 'query'>,
  contractHash: Hash,
): Promise<number> {
  const sql = 'SELECT evaluations FROM evaluated WHERE contract_hash = ?';
  const [row] = await store.query(sql, [contractHash]);
  return Number(row?.['evaluations'] ?? 0);
}
