/**
 * Seam: what a domain keeps between the runs of one contract. It is purged when the contract ends or
 * is revoked, and when a dataset it was made of changes.
 */
import type { Hash } from '../../../system/ids.ts';

export interface Precomputed {
  /** @param version - the dataset's fingerprint that this was made of. */
  read(version: Hash, name: string): Promise<Uint8Array | undefined>;
  /**
   * Resolves once it is durable.
   * @throws CapacityError `disk-full`, `store-unavailable`; what ended the run, where it has ended
   */
  write(version: Hash, name: string, content: Uint8Array): Promise<void>;
  /** Removes everything that was made of other versions. */
  keepOnly(versions: readonly Hash[]): Promise<void>;
  /** Of works of one contract only one goes on at a time: two runs do not make the same twice. */
  alone<Answer>(work: () => Promise<Answer>): Promise<Answer>;
  /**
   * Counts evaluations for the peer, durably, before any of them leaves.
   * @param evaluationsMax - of the contract in all.
   * @throws MeteringError `contract-counter-exhausted`
   */
  meter(evaluations: number, evaluationsMax: number): Promise<void>;
}

/** For one run in which nothing is secret or kept: a rehearsal on mock rows. */
export function forgetfulPrecomputed(): Precomputed {
  const kept = new Map<string, Uint8Array>();
  const keyOf = (version: Hash, name: string): string => `${version} ${name}`;
  return {
    read: async (version, name) => kept.get(keyOf(version, name)),
    async write(version, name, content) {
      kept.set(keyOf(version, name), content.slice());
    },
    async keepOnly(versions) {
      for (const key of kept.keys()) {
        if (!versions.some((version) => key.startsWith(version))) kept.delete(key);
      }
    },
    alone: (work) => work(),
    meter: async () => undefined,
  };
}
