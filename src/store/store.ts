/**
 * Seam: durable storage, SQLite or PostgreSQL. A batch is atomic and, once its promise resolves,
 * synced to disk; concurrent batches may share one sync (group commit) but never fail together.
 * SQL here is the subset both dialects speak, with `?` placeholders.
 */

export type SqlValue = string | number | bigint | Uint8Array | null;
export type Row = Readonly<Record<string, SqlValue>>;

export interface Statement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
  /** The batch rolls back unless exactly so many rows changed: compare-and-swap by WHERE clause. */
  readonly expectChanges?: number;
}

/** The expectation of statement `index` did not hold; nothing of the batch was written. */
export class StoreConflict extends Error {
  readonly index: number;
  constructor(index: number) {
    super(`statement ${index} changed another number of rows than expected`);
    this.name = 'StoreConflict';
    this.index = index;
  }
}

export interface Store {
  query(sql: string, params?: readonly SqlValue[]): Promise<readonly Row[]>;
  /** All or nothing; resolves after the sync. @throws StoreConflict */
  execute(statements: readonly Statement[]): Promise<void>;
  close(): Promise<void>;
}
