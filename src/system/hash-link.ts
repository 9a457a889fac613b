/**
 * The step of a hash chain. Each link covers the hash before it, its place and the digest of its
 * entry, so that a witness can follow the chain from digests alone, without seeing entries.
 */
import { hash as digest } from 'node:crypto';
import type { Hash } from './ids.ts';

/** Digests followed at once: what a witness is sent for one step. */
export const EXTENSION_MAX = 4096;

/** How many entries a chain has, and the hash of its last link. */
export interface ChainHead {
  readonly size: bigint;
  readonly hash: Hash;
}

/**
 * SHA-256 over an entry's text: all that a witness is told of entries it may not read. Leaks an
 * entry to whoever can guess it; entries name random ids.
 */
export function entryHash(entry: string): Hash {
  return digest('sha256', entry, 'hex') as Hash;
}

/**
 * SHA-256 over the hash before (32 bytes), the entry's index (8 bytes, most significant first) and
 * the entry's digest (32 bytes). All parts have fixed size, so no two inputs read the same.
 */
export function linkHash(previous: Hash, index: bigint, entry: Hash): Hash {
  const bytes = Buffer.allocUnsafe(72);
  bytes.write(previous, 0, 'hex');
  bytes.writeBigUInt64BE(index, 32);
  bytes.write(entry, 40, 'hex');
  return digest('sha256', bytes, 'hex') as Hash;
}

/** The head after these entries have been appended. */
export function extendHead(from: ChainHead, digests: readonly Hash[]): ChainHead {
  let { size, hash } = from;
  for (const entry of digests) {
    hash = linkHash(hash, size, entry);
    size += 1n;
  }
  return { size, hash };
}
