/**
 * Contracts whose signatures this process has verified: that verdict depends on the bytes alone, so
 * each run of a contract need not compute it anew. Time, pins, standing and data are asked each time.
 */
import type { SignedContract } from '../contracts/contract.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash } from '../system/ids.ts';

/** Remembered at most; beyond it the memory starts over, which costs time and nothing else. */
export const VERIFIED_MAX = 1024;

/** Owns the hashes of contract and signatures together: another signature is another entry. */
export class VerifiedContracts {
  readonly #hashes = new Set<Hash>();

  /** Runs `verify` unless exactly this contract with exactly these signatures passed it before. */
  once(signed: SignedContract, verify: () => void): void {
    const hash = canonicalHash(signed);
    if (this.#hashes.has(hash)) return;
    verify();
    if (this.#hashes.size >= VERIFIED_MAX) this.#hashes.clear();
    this.#hashes.add(hash);
  }
}
