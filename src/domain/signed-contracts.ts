/** The contracts this domain's officer signed, as they were signed: the holder's own evidence. */
import { type Contract, ContractSchema } from '../contracts/contract.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Statement, Store } from '../store/store.ts';
import type { ContractId, Hash } from '../system/ids.ts';

export const SIGNED_CONTRACT_MIGRATIONS: MigrationList = {
  area: 'signed-contracts',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE signed_contract (
  contract_hash TEXT NOT NULL PRIMARY KEY, contract_id TEXT NOT NULL, document TEXT NOT NULL,
  jws TEXT NOT NULL, signed_at_ms BIGINT NOT NULL)`,
    },
  ],
};

const LISTED_MAX = 1000;

/** Written before the signature leaves the domain. */
export async function keepSigned(
  store: Store,
  contract: Contract,
  jws: string,
  nowMs: number,
): Promise<void> {
  await store.execute([insertSigned(contract, jws, nowMs)]);
}

/** Of a contract that is kept already it changes nothing. */
export function insertSigned(contract: Contract, jws: string, nowMs: number): Statement {
  return {
    sql: `INSERT INTO signed_contract (contract_hash, contract_id, document, jws, signed_at_ms)
          VALUES (?, ?, ?, ?, ?) ON CONFLICT (contract_hash) DO NOTHING`,
    params: [contractHash(contract), contract.id, JSON.stringify(contract), jws, nowMs],
  };
}

export async function findSigned(store: Store, hash: Hash): Promise<Contract | undefined> {
  const sql = 'SELECT document FROM signed_contract WHERE contract_hash = ?';
  const document = (await store.query(sql, [hash]))[0]?.['document'];
  return document === undefined ? undefined : ContractSchema.parse(JSON.parse(String(document)));
}

/** The contract that was signed under this id, the latest where an id was used again. */
export async function findSignedById(store: Store, id: ContractId): Promise<Contract | undefined> {
  const sql =
    'SELECT document FROM signed_contract WHERE contract_id = ? ORDER BY signed_at_ms DESC LIMIT 1';
  const document = (await store.query(sql, [id]))[0]?.['document'];
  return document === undefined ? undefined : ContractSchema.parse(JSON.parse(String(document)));
}

export async function listSigned(store: Store): Promise<readonly Contract[]> {
  const rows = await store.query(
    `SELECT document FROM signed_contract ORDER BY signed_at_ms DESC LIMIT ${LISTED_MAX}`,
  );
  return rows.map((row) => ContractSchema.parse(JSON.parse(String(row['document']))));
}
