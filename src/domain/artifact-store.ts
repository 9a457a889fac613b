/**
 * Seam: protocol state worth keeping between runs (filters, precomputed OPRF values), bound to one
 * dataset version and one contract, so that drift or revocation purges it.
 */
import type { ContractId, Hash } from '../system/ids.ts';

export interface ArtifactKey {
  readonly contractId: ContractId;
  readonly datasetFingerprint: Hash;
  readonly name: string;
}

export interface ArtifactStore {
  read(key: ArtifactKey): Promise<Uint8Array | undefined>;
  write(key: ArtifactKey, content: Uint8Array): Promise<void>;
  /** Removes everything of a contract; resolves once it is gone from disk. */
  purgeContract(contractId: ContractId): Promise<void>;
  /** Removes everything of one dataset version. */
  purgeFingerprint(datasetFingerprint: Hash): Promise<void>;
  /** Removes everything of a contract but what was made of these dataset versions. */
  keepVersions(contractId: ContractId, datasetFingerprints: readonly Hash[]): Promise<void>;
}
