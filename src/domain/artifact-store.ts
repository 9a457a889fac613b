/**
 * Seam: protocol state worth keeping between runs (filters, precomputed OPRF values), bound to one
 * dataset version and one contract, so that drift or revocation purges it.
 */
import type { Hash } from '../system/ids.ts';

export interface ArtifactKey {
  readonly contractHash: Hash;
  readonly datasetFingerprint: Hash;
  readonly name: string;
}

export interface ArtifactStore {
  read(key: ArtifactKey): Promise<Uint8Array | undefined>;
  write(key: ArtifactKey, content: Uint8Array): Promise<void>;
  /** Contracts of which anything is kept. */
  contracts(): Promise<readonly Hash[]>;
  /**
   * Removes everything of a contract; resolves once it is gone from disk. What is read or written
   * meanwhile waits for that, so nobody finds half of it.
   */
  purgeContract(contractHash: Hash): Promise<void>;
  /** Removes everything of one dataset version. */
  purgeFingerprint(datasetFingerprint: Hash): Promise<void>;
  /** Removes everything of a contract but what was made of these dataset versions. */
  keepVersions(contractHash: Hash, datasetFingerprints: readonly Hash[]): Promise<void>;
}
