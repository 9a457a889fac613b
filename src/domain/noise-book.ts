/**
 * The domain's privacy budgets and its noise. A budget is of a namespace of privacy units: all
 * datasets, versions and derivatives of this holder whose rows are about the same persons or firms,
 * over all contracts and analysts. It is spent before anything derived from data leaves, and never
 * given back.
 *
 * A question that was charged is remembered: asked again it gets the same noise, costs nothing, and
 * so teaches nothing. Both stand in one transaction that takes a number of the counters' chain: a
 * restored backup that forgot a charge is noticed as any rollback is. A crash after it leaves a
 * charge without a run, never the reverse.
 */
import { MeteringError } from '../errors.ts';
import { noiseKey, wordStream, type WordStream } from '../disclosure/noise-stream.ts';
import type { MigrationList } from '../store/migrations.ts';
import { type Statement, StoreConflict, type Store } from '../store/store.ts';
import { HashSchema, type Hash } from '../system/ids.ts';
import type { Counters } from './counters.ts';

/** Stands for every namespace; no dataset can name it. */
const LOST = '*';
/** The namespace of datasets that name none: all of a holder's, the careful assumption. */
export const DEFAULT_NAMESPACE = 'units';

export const NOISE_MIGRATIONS: MigrationList = {
  area: 'domain-noise',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE noise_budget (
  namespace TEXT NOT NULL PRIMARY KEY, spent_micro_rho BIGINT NOT NULL);
CREATE TABLE noised_question (
  digest TEXT NOT NULL PRIMARY KEY, namespace TEXT NOT NULL, micro_rho BIGINT NOT NULL,
  at_ms BIGINT NOT NULL)`,
    },
  ],
};

export interface Charge {
  readonly namespace: string;
  readonly question: Hash;
  readonly microRho: bigint;
  readonly nowMs: number;
}

export interface NoiseBook {
  /**
   * Spends what a question costs, unless it was answered before.
   * @returns whether this call charged it.
   * @throws MeteringError `quota-exceeded` where the namespace's budget does not hold it
   */
  charge(charge: Charge): Promise<'charged' | 'answered-before'>;
  /** Noise for each named vector of a question, the same whenever it is asked. */
  noiseOf(question: Hash): (label: string) => WordStream;
  spentMicroRho(namespace: string): Promise<bigint>;
}

export interface NoiseBookOptions {
  /** Holds `NOISE_MIGRATIONS`, and is the one of the counters. */
  readonly store: Store;
  readonly counters: Pick<Counters, 'note'>;
  /** 32 bytes that never leave the domain. */
  readonly noiseSecret: Uint8Array;
}

/** @param budgetMicroRho - of each namespace, in all. */
export function openNoiseBook(options: NoiseBookOptions, budgetMicroRho: bigint): NoiseBook {
  const { store, counters, noiseSecret: secret } = options;
  // Keyed, so that a question whose noise came from a lost secret is not taken for answered.
  const digestOf = (question: Hash): Hash =>
    HashSchema.parse(Buffer.from(noiseKey(secret, question, 'ledger')).toString('hex'));
  const isCharged = async (digest: Hash): Promise<boolean> =>
    (await store.query('SELECT 1 AS one FROM noised_question WHERE digest = ?', [digest])).length >
    0;
  return {
    async charge({ namespace, question, microRho, nowMs }) {
      const digest = digestOf(question);
      if (await isCharged(digest)) return 'answered-before';
      try {
        await counters.note({ kind: 'noise.charged', digest }, [
          {
            sql: `INSERT INTO noise_budget (namespace, spent_micro_rho) VALUES (?, 0)
                  ON CONFLICT (namespace) DO NOTHING`,
            params: [namespace],
          },
          {
            sql: `UPDATE noise_budget SET spent_micro_rho = spent_micro_rho + ?
                  WHERE namespace = ? AND spent_micro_rho + ? + COALESCE(
                    (SELECT spent_micro_rho FROM noise_budget WHERE namespace = ?), 0) <= ?`,
            params: [microRho, namespace, microRho, LOST, budgetMicroRho],
            expectChanges: 1,
          },
          {
            sql: `INSERT INTO noised_question (digest, namespace, micro_rho, at_ms)
                  VALUES (?, ?, ?, ?)`,
            params: [digest, namespace, microRho, nowMs],
          },
        ]);
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        // Another run of the same question was charged meanwhile.
        if (await isCharged(digest)) return 'answered-before';
        throw spent(namespace);
      }
      return 'charged';
    },
    noiseOf: (question) => (label) => wordStream(noiseKey(secret, question, `vector/${label}`)),
    async spentMicroRho(namespace) {
      const sql = 'SELECT spent_micro_rho FROM noise_budget WHERE namespace = ?';
      const row = (await store.query(sql, [namespace]))[0];
      const found = row?.['spent_micro_rho'];
      return typeof found === 'bigint' || typeof found === 'number' ? BigInt(found) : 0n;
    },
  };
}

/**
 * For an officer who accepts counters with numbers that nobody can account for: any of them may have
 * been a charge, all of them together the whole budget. So every namespace's counts as spent, and
 * noise is bought again only where the holder raises it.
 */
export function lostCharges(budgetMicroRho: bigint): Statement {
  return {
    sql: `INSERT INTO noise_budget (namespace, spent_micro_rho) VALUES (?, ?)
          ON CONFLICT (namespace) DO UPDATE SET spent_micro_rho = excluded.spent_micro_rho
          WHERE excluded.spent_micro_rho > noise_budget.spent_micro_rho`,
    params: [LOST, budgetMicroRho],
  };
}

function spent(namespace: string): MeteringError {
  return new MeteringError('quota-exceeded', 'The privacy budget of these persons is spent.', {
    rule: `privacy budget of ${namespace}`,
    dimension: 'micro-rho',
    remedy: 'Ask a question that was answered before, or the holder raises the budget.',
  });
}
