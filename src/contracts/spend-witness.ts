/**
 * A witness of other domains' spend statements: the gateway keeps them all, a domain those of its
 * peers. A domain that comes back with an older or another history is refused, and can be shown
 * the statements it signed itself.
 */
import { StateError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import { StoreConflict } from '../store/store.ts';
import type { Row, Statement, Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';
import { SignedSpendSchema, verifySpend } from './spend.ts';
import type { SignedSpend } from './spend.ts';

export const SPEND_WITNESS_MIGRATIONS: MigrationList = {
  area: 'spend-witness',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE witnessed_spend (
  party TEXT NOT NULL, seq BIGINT NOT NULL, hash TEXT NOT NULL, contract_hash TEXT NOT NULL,
  at_ms BIGINT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (party, seq))`,
    },
  ],
};

/** Statements handed out at once. */
export const STATEMENTS_PAGE_MAX = 1000;

export interface SpendWitness {
  /**
   * Remembers a statement, durably. The same one again changes nothing. Statements of runs that
   * went on side by side may come in any order: each must agree with those around it, in its chain
   * where they are neighbours and in time everywhere.
   * @param publicKey - the pinned key of the statement's party.
   * @param alongside - written in the same transaction.
   * @throws IdentityError `signature-invalid`; StateError `history-rolled-back` where the domain
   *   has signed another history.
   */
  witness(
    signed: SignedSpend,
    publicKey: Uint8Array,
    alongside?: readonly Statement[],
  ): Promise<void>;
  /** The statement with the highest number seen of a domain. */
  latest(party: PartyId): Promise<SignedSpend | undefined>;
  /** Statements after a number, in order: what a domain restores its counters from. */
  statements(party: PartyId, afterSeq: number, most: number): Promise<readonly SignedSpend[]>;
}

/** A witness on a store that holds `SPEND_WITNESS_MIGRATIONS`. */
export function openSpendWitness(store: Store): SpendWitness {
  const one = async (where: string, party: PartyId, seq: number): Promise<Row | undefined> => {
    const sql = `SELECT seq, hash, at_ms, document FROM witnessed_spend WHERE party = ? AND ${where}`;
    return (await store.query(`${sql} LIMIT 1`, [party, seq]))[0];
  };
  return {
    async witness(signed, publicKey, alongside = []) {
      const hash = verifySpend(signed, publicKey);
      const { party, seq, contractHash, at } = signed.spend;
      const same = await one('seq = ?', party, seq);
      if (same !== undefined) {
        if (same['hash'] !== hash) throw anotherHistory(party);
        if (alongside.length > 0) await store.execute(alongside);
        return;
      }
      const below = await one('seq < ? ORDER BY seq DESC', party, seq);
      const above = await one('seq > ? ORDER BY seq', party, seq);
      if (below !== undefined && !follows(signed, below)) throw anotherHistory(party);
      if (above !== undefined && !follows(parseRow(above), { seq, hash, at_ms: Date.parse(at) }))
        throw anotherHistory(party);
      const insert = {
        sql: `INSERT INTO witnessed_spend (party, seq, hash, contract_hash, at_ms, document)
              VALUES (?, ?, ?, ?, ?, ?)`,
        params: [party, seq, hash, contractHash, Date.parse(at), JSON.stringify(signed)],
      };
      try {
        await store.execute([insert, ...alongside]);
      } catch (error) {
        // The number was taken in the meantime: by the same statement, or by another history.
        if (!(error instanceof StoreConflict) || error.index !== 0) throw error;
        await this.witness(signed, publicKey, alongside);
      }
    },
    async latest(party) {
      const row = await one('seq > ? ORDER BY seq DESC', party, 0);
      return row === undefined ? undefined : parseRow(row);
    },
    async statements(party, afterSeq, most) {
      const sql = `SELECT document FROM witnessed_spend WHERE party = ? AND seq > ?
                   ORDER BY seq LIMIT ?`;
      const limit = Math.min(most, STATEMENTS_PAGE_MAX);
      return (await store.query(sql, [party, afterSeq, limit])).map(parseRow);
    },
  };
}

/** A later statement is not older than an earlier one, and names its hash where nothing is between. */
function follows(later: SignedSpend, earlier: Row): boolean {
  const { seq, previous, at } = later.spend;
  if (Date.parse(at) < Number(earlier['at_ms'])) return false;
  return seq !== Number(earlier['seq']) + 1 || previous === earlier['hash'];
}

function parseRow(row: Row): SignedSpend {
  return SignedSpendSchema.parse(JSON.parse(String(row['document'])));
}

function anotherHistory(party: PartyId): StateError {
  return new StateError('history-rolled-back', 'The domain’s counter is not the one seen before.', {
    party,
    rule: 'spend statements are numbered without gaps and chained',
    remedy: `The officer of ${party} restores its counters from the witnessed statements.`,
  });
}
