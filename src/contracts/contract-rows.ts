/** The statements behind the contract book, and its rows as facts. */
import type { Row, SqlValue, Statement, Store } from '../store/store.ts';
import { PartyIdSchema } from '../system/ids.ts';
import type { ContractId, Hash, PartyId } from '../system/ids.ts';
import { ContractSchema } from './contract.ts';
import type { Contract, ContractSignature } from './contract.ts';
import type { ContractFacts } from './life-cycle.ts';
import {
  type SignedPause,
  SignedPauseSchema,
  type SignedRevocation,
  SignedRevocationSchema,
} from './notices.ts';
import { contractHash, signatoriesOf } from './signed-documents.ts';

export type NoticeKind = 'refusal' | 'revocation';

/** A contract with everything the book knows of it. */
export interface FiledFacts extends ContractFacts {
  readonly hash: Hash;
  readonly signatures: readonly ContractSignature[];
  readonly proposedAtMs: number;
  /** Counts the changes: a change is decided on the facts of one revision. */
  readonly revision: number;
}

export function insertContract(contract: Contract, hash: Hash, nowMs: number): Statement[] {
  return [
    {
      sql: `INSERT INTO contract
            (contract_id, contract_hash, document, proposed_at_ms, revision, analyst)
            VALUES (?, ?, ?, ?, 0, ?)`,
      params: [contract.id, hash, JSON.stringify(contract), nowMs, contract.analyst.id],
    },
    ...signatoriesOf(contract).map((party) => ({
      sql: 'INSERT INTO contract_party (party, contract_id) VALUES (?, ?)',
      params: [party.id, contract.id],
    })),
  ];
}

/** First of every change: fails where the facts that it was decided on are no longer all. */
export function nextRevision(facts: FiledFacts): Statement {
  return {
    sql: 'UPDATE contract SET revision = revision + 1 WHERE contract_id = ? AND revision = ?',
    params: [facts.contract.id, facts.revision],
    expectChanges: 1,
  };
}

export function insertSignature(
  id: ContractId,
  signature: ContractSignature,
  nowMs: number,
): Statement {
  return {
    sql: 'INSERT INTO contract_signature (contract_id, party, jws, at_ms) VALUES (?, ?, ?, ?)',
    params: [id, signature.party, signature.jws, nowMs],
  };
}

export function insertNotice(
  id: ContractId,
  party: PartyId,
  kind: NoticeKind,
  document: string,
  nowMs: number,
): Statement {
  return {
    sql: `INSERT INTO contract_notice (contract_id, party, kind, document, at_ms)
          VALUES (?, ?, ?, ?, ?)`,
    params: [id, party, kind, document, nowMs],
  };
}

/** @param document - the holder's signed notice; the operator's own suspension has none. */
export function insertSuspension(
  id: ContractId,
  party: PartyId,
  reason: string,
  document: string | null,
  nowMs: number,
): Statement {
  return {
    sql: `INSERT INTO contract_suspension (contract_id, party, reason, document, at_ms)
          VALUES (?, ?, ?, ?, ?)`,
    params: [id, party, reason, document, nowMs],
  };
}

export function deleteSuspension(id: ContractId, party: PartyId): Statement {
  return {
    sql: 'DELETE FROM contract_suspension WHERE contract_id = ? AND party = ?',
    params: [id, party],
  };
}

/** A holder's latest word on whether runs may begin. */
export function keepPause(id: ContractId, party: PartyId, document: string): Statement {
  return {
    sql: `INSERT INTO contract_pause (contract_id, party, document) VALUES (?, ?, ?)
          ON CONFLICT (contract_id, party) DO UPDATE SET document = excluded.document`,
    params: [id, party, document],
  };
}

export function completeContract(id: ContractId, nowMs: number): Statement {
  return {
    sql: 'UPDATE contract SET completed_at_ms = ? WHERE contract_id = ?',
    params: [nowMs, id],
  };
}

/** One revocation of each revoked contract that names the party, in the order of contract ids. */
export async function readRevocations(
  store: Store,
  party: PartyId,
  after: ContractId | undefined,
  most: number,
): Promise<readonly { readonly signed: SignedRevocation; readonly contract: Contract }[]> {
  const rows = await store.query(
    `SELECT n.document AS notice, c.document AS contract
     FROM contract_notice n
     JOIN contract c ON c.contract_id = n.contract_id
     JOIN contract_party p ON p.contract_id = n.contract_id
     WHERE p.party = ? AND n.kind = 'revocation' AND n.contract_id > ?
       AND NOT EXISTS (SELECT 1 FROM contract_notice o WHERE o.contract_id = n.contract_id
                       AND o.kind = n.kind AND o.party < n.party)
     ORDER BY n.contract_id LIMIT ?`,
    [party, after ?? '', most],
  );
  return rows.map((row) => ({
    signed: SignedRevocationSchema.parse(JSON.parse(String(row['notice']))),
    contract: ContractSchema.parse(JSON.parse(String(row['contract']))),
  }));
}

/** In the order of contract and party; `next` is the `after` of the page that follows. */
export async function readPauses(
  store: Store,
  party: PartyId,
  after: string,
  most: number,
): Promise<
  readonly { readonly signed: SignedPause; readonly contract: Contract; readonly next: string }[]
> {
  const rows = await store.query(
    `SELECT n.document AS notice, c.document AS contract, n.contract_id || '/' || n.party AS place
     FROM contract_pause n
     JOIN contract c ON c.contract_id = n.contract_id
     JOIN contract_party p ON p.contract_id = n.contract_id
     WHERE p.party = ? AND n.party <> ? AND n.contract_id || '/' || n.party > ?
     ORDER BY place LIMIT ?`,
    [party, party, after, most],
  );
  return rows.map((row) => ({
    signed: SignedPauseSchema.parse(JSON.parse(String(row['notice']))),
    contract: ContractSchema.parse(JSON.parse(String(row['contract']))),
    next: String(row['place']),
  }));
}

/** Contracts that this analyst proposed since then; who else names it, among holders say, counts for nothing. */
export async function countProposed(
  store: Store,
  analyst: PartyId,
  sinceMs: number,
): Promise<number> {
  const rows = await store.query(
    'SELECT COUNT(*) AS proposed FROM contract WHERE analyst = ? AND proposed_at_ms > ?',
    [analyst, sinceMs],
  );
  return Number(rows[0]?.['proposed'] ?? 0n);
}

/** Who revoked a contract, and who holds it suspended; little is read, since it is asked often. */
export async function readStops(
  store: Store,
  id: ContractId,
): Promise<Pick<ContractFacts, 'revokedBy' | 'suspendedBy'>> {
  const [revoked, suspended] = await Promise.all([
    store.query(`SELECT party FROM contract_notice WHERE contract_id = ? AND kind = 'revocation'`, [
      id,
    ]),
    store.query('SELECT party FROM contract_suspension WHERE contract_id = ?', [id]),
  ]);
  return { revokedBy: partiesOf(revoked), suspendedBy: partiesOf(suspended) };
}

/** Facts of one contract, whoever asks. */
export async function readContract(store: Store, id: ContractId): Promise<FiledFacts | undefined> {
  const rows = await store.query('SELECT * FROM contract WHERE contract_id = ?', [id]);
  return (await withFacts(store, rows))[0];
}

/** Facts of a party's contracts, or of all, in the order of ids. */
export async function readContracts(
  store: Store,
  party: PartyId | undefined,
  after: ContractId | undefined,
  most: number,
): Promise<readonly FiledFacts[]> {
  const from = after ?? '';
  const rows =
    party === undefined
      ? await store.query(
          'SELECT * FROM contract WHERE contract_id > ? ORDER BY contract_id LIMIT ?',
          [from, most],
        )
      : await store.query(
          `SELECT c.* FROM contract c JOIN contract_party p ON p.contract_id = c.contract_id
           WHERE p.party = ? AND c.contract_id > ? ORDER BY c.contract_id LIMIT ?`,
          [party, from, most],
        );
  return withFacts(store, rows);
}

async function withFacts(store: Store, rows: readonly Row[]): Promise<readonly FiledFacts[]> {
  if (rows.length === 0) return [];
  const ids: SqlValue[] = rows.map((row) => row['contract_id'] ?? null);
  const marks = ids.map(() => '?').join(', ');
  const within = `WHERE contract_id IN (${marks})`;
  const [signatures, notices, suspensions] = await Promise.all([
    store.query(`SELECT contract_id, party, jws FROM contract_signature ${within}`, ids),
    store.query(`SELECT contract_id, party, kind FROM contract_notice ${within}`, ids),
    store.query(`SELECT contract_id, party FROM contract_suspension ${within}`, ids),
  ]);
  return rows.map((row) => {
    const own = (all: readonly Row[]): readonly Row[] =>
      all.filter((one) => one['contract_id'] === row['contract_id']);
    const contract = ContractSchema.parse(JSON.parse(String(row['document'])));
    const signed = own(signatures);
    return {
      contract,
      hash: contractHash(contract),
      signatures: inOrder(contract, signed),
      proposedAtMs: Number(row['proposed_at_ms']),
      revision: Number(row['revision']),
      signedBy: partiesOf(signed),
      refusedBy: partiesOf(own(notices).filter((one) => one['kind'] === 'refusal')),
      revokedBy: partiesOf(own(notices).filter((one) => one['kind'] !== 'refusal')),
      suspendedBy: partiesOf(own(suspensions)),
      isCompleted: row['completed_at_ms'] !== null,
    };
  });
}

/** Signatures in the contract's own order: the analyst, then the holders. */
function inOrder(contract: Contract, signed: readonly Row[]): readonly ContractSignature[] {
  return signatoriesOf(contract).flatMap(({ id }) => {
    const row = signed.find((one) => one['party'] === id);
    return row === undefined ? [] : [{ party: id, jws: String(row['jws']) }];
  });
}

function partiesOf(rows: readonly Row[]): ReadonlySet<PartyId> {
  return new Set(rows.map((row) => PartyIdSchema.parse(row['party'])));
}
