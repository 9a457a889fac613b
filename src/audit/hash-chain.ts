/**
 * The audit chain: each entry's hash covers the hash before it, its own place and its content, so
 * that nobody changes, drops, inserts or reorders an entry without changing every later hash.
 */
import { canonicalText } from '../system/canonical-json.ts';
import { entryHash, linkHash } from '../system/hash-link.ts';
import type { Hash } from '../system/ids.ts';
import type { AuditEntry, AuditHead } from './audit-sink.ts';

/** What stands before the first entry. */
export const GENESIS_HASH = '0'.repeat(64) as Hash;
export const EMPTY_HEAD: AuditHead = { size: 0n, hash: GENESIS_HASH };

/** An entry as it is stored: its place, its hash, and its content in canonical JSON. */
export interface StoredEntry {
  readonly index: bigint;
  readonly hash: Hash;
  readonly entry: string;
}

export type ChainVerdict =
  | { readonly ok: true; readonly head: AuditHead }
  /** `index` is the first entry that does not fit what stands before it. */
  | { readonly ok: false; readonly index: bigint; readonly reason: string };

/** The canonical text of an entry. @throws InputError `malformed-message` */
export function encodeEntry(entry: AuditEntry): string {
  const { kind, atMs, facts } = entry;
  return canonicalText({ kind, atMs, facts });
}

/** The hash of the chain with this entry at `index`; `hash-link.ts` says over what. */
export function leafHash(previous: Hash, index: bigint, entry: string): Hash {
  return linkHash(previous, index, entryHash(entry));
}

/**
 * Recomputes a chain from its first entry.
 * @param witnessed - a head seen before (in a receipt, by a domain): without one, a chain that was
 *   cut at its end, or rewritten as a whole, looks sound.
 */
export async function verifyChain(
  entries: AsyncIterable<StoredEntry>,
  witnessed?: AuditHead,
): Promise<ChainVerdict> {
  let head = EMPTY_HEAD;
  for await (const { index, hash: stored, entry } of entries) {
    if (index !== head.size) {
      return { ok: false, index: head.size, reason: `entry ${head.size} is missing` };
    }
    if (leafHash(head.hash, index, entry) !== stored) {
      return {
        ok: false,
        index,
        reason: `entry ${index} does not have the hash it is stored with`,
      };
    }
    head = { size: index + 1n, hash: stored };
    if (witnessed?.size === head.size && witnessed.hash !== head.hash) {
      return {
        ok: false,
        index,
        reason: `the chain up to entry ${index} is not the witnessed one`,
      };
    }
  }
  if (witnessed !== undefined && witnessed.size > head.size) {
    return { ok: false, index: head.size, reason: `entry ${head.size} is missing` };
  }
  return { ok: true, head };
}
