/**
 * What a holder can show of what was done with its data: contracts with everyone's signatures,
 * receipts it countersigned, catalogs it published. Each document once; what the counters and the
 * standing book hold as evidence stays theirs.
 */
import { signedPublishedKey, type SignedPublishedDataset } from '../catalog/published.ts';
import type { SignedContract } from '../contracts/contract.ts';
import { receiptHash, type Countersignature, type SignedReceipt } from '../contracts/receipt.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Statement, Store } from '../store/store.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import { insertSigned } from './signed-contracts.ts';

export const EVIDENCE_MIGRATIONS: MigrationList = {
  area: 'domain-evidence',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE evidence (
  kind TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL, at_ms BIGINT NOT NULL,
  PRIMARY KEY (kind, digest))`,
    },
  ],
};

export type EvidenceKind = 'contract' | 'receipt' | 'publication';

/** Signed contracts whose keeping need not be asked of the store again. */
const KNOWN_MAX = 1000;

/** Keeps evidence as it comes by. */
export interface EvidenceBook {
  /**
   * A contract that this domain has verified for a run, with all signatures. Its own among them is
   * kept as the officer's: a database restored from before it was given has forgotten what runs here.
   */
  contract(signed: SignedContract, self: PartyId, nowMs: number): Promise<void>;
  /** Written before the countersignature leaves. */
  receipt(signed: SignedReceipt, own: Countersignature, nowMs: number): Promise<void>;
  /** Written before it is published; the same facts again are not kept twice. */
  publication(signed: SignedPublishedDataset, nowMs: number): Promise<void>;
}

/** @param store - holds `EVIDENCE_MIGRATIONS` and `SIGNED_CONTRACT_MIGRATIONS`. */
export function openEvidenceBook(store: Pick<Store, 'execute'>): EvidenceBook {
  const known = new Set<Hash>();
  const insert = (
    kind: EvidenceKind,
    digest: Hash,
    document: object,
    nowMs: number,
  ): Statement => ({
    sql: `INSERT INTO evidence (kind, digest, document, at_ms) VALUES (?, ?, ?, ?)
          ON CONFLICT (kind, digest) DO NOTHING`,
    params: [kind, digest, JSON.stringify(document), nowMs],
  });
  return {
    contract: async (signed, self, nowMs) => {
      const digest = contractHash(signed.contract);
      if (known.has(digest)) return;
      const own = signed.signatures.filter(({ party }) => party === self);
      await store.execute([
        insert('contract', digest, signed, nowMs),
        ...own.map(({ jws }) => insertSigned(signed.contract, jws, nowMs)),
      ]);
      if (known.size >= KNOWN_MAX) known.clear();
      known.add(digest);
    },
    receipt: (signed, own, nowMs) => {
      const countersigned = {
        ...signed,
        countersignatures: [...signed.countersignatures, own],
      };
      return store.execute([insert('receipt', receiptHash(signed.receipt), countersigned, nowMs)]);
    },
    publication: (signed, nowMs) =>
      store.execute([insert('publication', signedPublishedKey(signed), signed, nowMs)]),
  };
}

/** Documents of a kind in the order of their digests, those after `after`. */
export async function readEvidence(
  store: Pick<Store, 'query'>,
  kind: EvidenceKind,
  after: string,
  most: number,
): Promise<readonly { readonly digest: string; readonly document: string }[]> {
  const rows = await store.query(
    'SELECT digest, document FROM evidence WHERE kind = ? AND digest > ? ORDER BY digest LIMIT ?',
    [kind, after, most],
  );
  return rows.map((row) => ({
    digest: String(row['digest']),
    document: String(row['document']),
  }));
}
