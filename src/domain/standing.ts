/**
 * How contracts stand in this domain: what any holder suspended or revoked. Kept by
 * the domain itself, so that a gateway cannot forget a revocation, and noted in the counters' chain,
 * so that no restored backup does unnoticed.
 */
import {
  type SignedPause,
  SignedPauseSchema,
  type SignedRevocation,
  SignedRevocationSchema,
  verifyPause,
  verifyRevocation,
} from '../contracts/notices.ts';
import type { Contract } from '../contracts/contract.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Store } from '../store/store.ts';
import type { Hash } from '../system/ids.ts';
import type { Counters } from './counters.ts';

export type Standing = 'in-force' | 'suspended' | 'revoked';

export const STANDING_MIGRATIONS: MigrationList = {
  area: 'domain-standing',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE contract_standing (
  contract_hash TEXT NOT NULL PRIMARY KEY, standing TEXT NOT NULL, at_ms BIGINT NOT NULL,
  document TEXT)`,
    },
    {
      number: 2,
      sql: `CREATE TABLE peer_pause (
  contract_hash TEXT NOT NULL, party TEXT NOT NULL, standing TEXT NOT NULL, at_ms BIGINT NOT NULL,
  PRIMARY KEY (contract_hash, party))`,
    },
  ],
};

export interface StandingBook {
  standingOf(hash: Hash): Promise<Standing>;
  /**
   * A holder's signed revocation, of this domain or of another. Final; the same again, or another
   * holder's, changes nothing.
   * @throws IdentityError
   */
  revoke(signed: SignedRevocation, contract: Contract): Promise<void>;
  /**
   * The officer's own signed pause, or its end; changes nothing once revoked.
   * @throws IdentityError
   */
  pause(signed: SignedPause, contract: Contract): Promise<void>;
  /**
   * Another holder's signed pause, or its end: no run begins here while any holder has suspended. An
   * older one than is known changes nothing.
   * @throws IdentityError
   */
  hear(signed: SignedPause, contract: Contract): Promise<void>;
  /** The latest pause or resumption of each contract, in the order of their hashes after `after`. */
  pauses(after: Hash | undefined, most: number): Promise<readonly SignedPause[]>;
  /** Every revocation known here, in the order of the contracts' hashes after `after`. */
  revocations(after: Hash | undefined, most: number): Promise<readonly SignedRevocation[]>;
}

/** @param store - holds `STANDING_MIGRATIONS`, and is the one of the counters. */
export function openStandingBook(store: Store, counters: Pick<Counters, 'note'>): StandingBook {
  const put = 'INSERT INTO contract_standing (contract_hash, standing, at_ms, document) VALUES';
  const standingOf = async (hash: Hash): Promise<Standing> => {
    const own = await ownStanding(store, hash);
    if (own !== 'in-force') return own;
    const sql = `SELECT party FROM peer_pause WHERE contract_hash = ? AND standing = 'suspended' LIMIT 1`;
    return (await store.query(sql, [hash])).length > 0 ? 'suspended' : 'in-force';
  };
  return {
    standingOf,
    async revoke(signed, contract) {
      verifyRevocation(signed, contract);
      const atMs = Date.parse(signed.revocation.at);
      const digest = contractHash(contract);
      // Told on every new link: what is known already costs no entry of the chain.
      if ((await ownStanding(store, digest)) === 'revoked') return;
      await counters.note({ kind: 'contract.revoked', digest }, [
        {
          sql: `${put} (?, 'revoked', ?, ?) ON CONFLICT (contract_hash) DO UPDATE
                SET standing = 'revoked', at_ms = excluded.at_ms, document = excluded.document
                WHERE contract_standing.standing <> 'revoked'`,
          params: [digest, atMs, JSON.stringify(signed)],
        },
      ]);
    },
    async pause(signed, contract) {
      verifyPause(signed, contract);
      const { standing, at } = signed.pause;
      const digest = contractHash(contract);
      const before = await ownStanding(store, digest);
      if (before === 'revoked' || (before === 'suspended') === (standing === 'suspended')) return;
      await counters.note({ kind: `contract.${standing}`, digest }, [
        {
          sql: `${put} (?, ?, ?, ?) ON CONFLICT (contract_hash) DO UPDATE
                SET standing = excluded.standing, at_ms = excluded.at_ms, document = excluded.document
                WHERE contract_standing.standing <> 'revoked'`,
          params: [digest, standing, Date.parse(at), JSON.stringify(signed)],
        },
      ]);
    },
    async hear(signed, contract) {
      verifyPause(signed, contract);
      const { party, standing, at } = signed.pause;
      await store.execute([
        {
          sql: `INSERT INTO peer_pause (contract_hash, party, standing, at_ms) VALUES (?, ?, ?, ?)
                ON CONFLICT (contract_hash, party) DO UPDATE
                SET standing = excluded.standing, at_ms = excluded.at_ms
                WHERE excluded.at_ms > peer_pause.at_ms`,
          params: [contractHash(contract), party, standing, Date.parse(at)],
        },
      ]);
    },
    async pauses(after, most) {
      const rows = await store.query(
        `SELECT document FROM contract_standing WHERE standing IN ('suspended', 'resumed')
         AND document IS NOT NULL AND contract_hash > ? ORDER BY contract_hash LIMIT ?`,
        [after ?? '', most],
      );
      return rows.map((row) => SignedPauseSchema.parse(JSON.parse(String(row['document']))));
    },
    async revocations(after, most) {
      const rows = await store.query(
        `SELECT document FROM contract_standing
         WHERE standing = 'revoked' AND contract_hash > ? ORDER BY contract_hash LIMIT ?`,
        [after ?? '', most],
      );
      return rows.map((row) => SignedRevocationSchema.parse(JSON.parse(String(row['document']))));
    },
  };
}

/** By the own officer, or for good. */
async function ownStanding(store: Store, hash: Hash): Promise<Standing> {
  const sql = 'SELECT standing FROM contract_standing WHERE contract_hash = ?';
  const standing = (await store.query(sql, [hash]))[0]?.['standing'];
  if (standing === undefined || standing === 'resumed') return 'in-force';
  // Anything else than the lesser states closes the contract.
  return standing === 'suspended' ? 'suspended' : 'revoked';
}
