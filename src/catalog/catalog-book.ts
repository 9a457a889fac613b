/** The gateway's catalog: what connected holders last published, each as its holder signed it. */
import type { AuditSink } from '../audit/audit-sink.ts';
import type { MigrationList } from '../store/migrations.ts';
import { StoreConflict, type Statement, type Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';
import {
  type PublishedDataset,
  type SignedPublishedDataset,
  SignedPublishedDatasetSchema,
  verifyPublished,
} from './published.ts';

export const CATALOG_MIGRATIONS: MigrationList = {
  area: 'catalog',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE published_dataset (
  holder TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, document TEXT NOT NULL,
  published_at_ms BIGINT NOT NULL, PRIMARY KEY (holder, name))`,
    },
  ],
};

export const DATASETS_LISTED_MAX = 10_000;
const PUBLISH_ATTEMPTS_MAX = 3;

/** Owns nothing: all state is in the store. */
export class CatalogBook {
  readonly #store: Store;
  readonly #audit: AuditSink;

  constructor(store: Store, audit: AuditSink) {
    this.#store = store;
    this.#audit = audit;
  }

  /**
   * Takes some of a holder's datasets, and the names of all: what is not among them is withdrawn.
   * What is known already is no news: a domain tells everything each time it links, and to every
   * process of a gateway at once.
   * @param holderKey - the holder's enrolled key; every document must be signed by it.
   * @throws IdentityError `signature-invalid`, InputError `malformed-message`
   */
  async publish(
    holder: PartyId,
    names: readonly string[],
    signed: readonly SignedPublishedDataset[],
    holderKey: Uint8Array,
    nowMs: number,
  ): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#publish(holder, names, signed, holderKey, nowMs);
      } catch (error) {
        // Another process of this gateway was told the same at the same time.
        if (!(error instanceof StoreConflict) || attempt === PUBLISH_ATTEMPTS_MAX) throw error;
      }
    }
  }

  async #publish(
    holder: PartyId,
    names: readonly string[],
    signed: readonly SignedPublishedDataset[],
    holderKey: Uint8Array,
    nowMs: number,
  ): Promise<void> {
    const datasets = signed.map((one) => ({ one, dataset: verifyPublished(one, holderKey) }));
    const rows = await this.#store.query(
      'SELECT name, document FROM published_dataset WHERE holder = ?',
      [holder],
    );
    const known = new Map(rows.map((row) => [String(row['name']), String(row['document'])]));
    const own = datasets.filter(
      ({ one, dataset }) =>
        dataset.holder === holder && known.get(dataset.name) !== JSON.stringify(one),
    );
    const kept = new Set(names);
    const withdrawn = [...known.keys()].filter((name) => !kept.has(name));
    if (own.length === 0 && withdrawn.length === 0) return;
    await this.#audit.append(
      {
        kind: 'catalog.published',
        atMs: nowMs,
        facts: {
          holder,
          withdrawn,
          datasets: own.map(({ dataset }) => ({
            name: dataset.name,
            fingerprint: dataset.fingerprint,
            grade: dataset.grade,
          })),
        },
      },
      [
        ...withdrawn.map((name) => deleteDataset(holder, name)),
        ...own.map(({ dataset }) => deleteDataset(holder, dataset.name)),
        ...own.map(({ one, dataset }) => ({
          sql: `INSERT INTO published_dataset (holder, name, fingerprint, document, published_at_ms)
                VALUES (?, ?, ?, ?, ?)`,
          params: [holder, dataset.name, dataset.fingerprint, JSON.stringify(one), nowMs],
        })),
      ],
    );
  }

  /** Everything published, by holder and name. */
  async list(): Promise<readonly PublishedDataset[]> {
    return (await this.documents()).map(({ dataset }) => dataset);
  }

  /** The same as their holders signed it. */
  async documents(): Promise<readonly SignedPublishedDataset[]> {
    const rows = await this.#store.query(
      `SELECT document FROM published_dataset ORDER BY holder, name LIMIT ${DATASETS_LISTED_MAX}`,
    );
    return rows.map((row) =>
      SignedPublishedDatasetSchema.parse(JSON.parse(String(row['document']))),
    );
  }
}

function deleteDataset(holder: PartyId, name: string): Statement {
  return {
    sql: 'DELETE FROM published_dataset WHERE holder = ? AND name = ?',
    params: [holder, name],
  };
}
