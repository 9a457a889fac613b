/**
 * Seam: durable storage, SQLite or PostgreSQL. A batch is atomic and, once its promise resolves,
 * synced to disk; concurrent batches may share one sync (group commit) but never fail together.
 * SQL here is the subset both dialects speak, with `?` placeholders: columns are TEXT, BIGINT or
 * BYTEA; integers are read as exact `bigint`s whatever their size.
 */

export type SqlValue = string | number | bigint | Uint8Array | null;
export type Row = Readonly<Record<string, SqlValue>>;

export interface Statement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
  /** The batch rolls back unless exactly so many rows changed: compare-and-swap by WHERE clause. */
  readonly expectChanges?: number;
}

/** The expectation of statement `index`, or a unique key it met, did not hold; nothing of the batch was written. */
export class StoreConflict extends Error {
  readonly index: number;
  constructor(index: number) {
    super(`statement ${index} changed another number of rows than expected`);
    this.name = 'StoreConflict';
    this.index = index;
  }
}

export interface Store {
  /** Committed rows, at most 100,000; page with LIMIT. @throws InvariantError beyond. */
  query(sql: string, params?: readonly SqlValue[]): Promise<readonly Row[]>;
  /**
   * All or nothing; resolves after the sync. On CapacityError `store-unavailable` or `disk-full` the
   * outcome is unknown until a later read: a batch that must not happen twice carries a key.
   * @throws StoreConflict; CapacityError also `queue-full`, `shutting-down`: then nothing was written.
   */
  execute(statements: readonly Statement[]): Promise<void>;
  close(): Promise<void>;
}
