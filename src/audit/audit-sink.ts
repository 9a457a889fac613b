/**
 * Seam: what must stand up as evidence. An entry is appended in the transaction of what it
 * records; a hash chain until the transparency log takes its place.
 */
import type { Statement } from '../store/store.ts';
import type { Hash } from '../system/ids.ts';

export interface AuditEntry {
  /** Dotted name of what happened: `run.posted`, `contract.signed`, `domain.enrolled` … */
  readonly kind: string;
  readonly atMs: number;
  /** Canonical-JSON-able facts: hashes, ids, counts. Never elements, shares, keys or bodies. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** The chain's head: `size` entries, the last with hash `hash`. */
export interface AuditHead {
  readonly size: bigint;
  readonly hash: Hash;
}

export interface AuditSink {
  /**
   * Appends the entry and writes `alongside` in one transaction; resolves after the sync.
   * @throws StoreConflict for `alongside`; InputError `malformed-message` where the facts are no JSON.
   */
  append(entry: AuditEntry, alongside: readonly Statement[]): Promise<AuditHead>;
  head(): Promise<AuditHead>;
}
