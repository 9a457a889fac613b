/** Enrolled domains and their identity keys: what the link server checks a dialling domain against. */
import type { Party } from '../contracts/contract.ts';
import { PartySchema } from '../contracts/contract.ts';
import type { Row, Statement, Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';

/** Schema changes of the area `domains`, in order. */
export const DOMAIN_MIGRATIONS = {
  area: 'domains',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE domain (
        party TEXT PRIMARY KEY, name_zh TEXT NOT NULL, name_en TEXT NOT NULL,
        sign_key TEXT NOT NULL UNIQUE, enrolled_at_ms BIGINT NOT NULL)`,
    },
  ],
} as const;

/** More than any deployment has: bounds the operator's list. */
const DOMAINS_MAX = 1_000;

export interface EnrolledDomain {
  readonly party: PartyId;
  readonly name: Party['name'];
  /** Ed25519 identity key, 32 bytes. */
  readonly signKey: Uint8Array;
  readonly enrolledAtMs: number;
}

/** Reads the table; rows are only written by an enrolment's transaction. */
export class DomainBook {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The domain under this id, or undefined where none has enrolled. */
  async find(party: PartyId): Promise<EnrolledDomain | undefined> {
    const rows = await this.#store.query(`${SELECT} WHERE party = ?`, [party]);
    return rows[0] === undefined ? undefined : domainOf(rows[0]);
  }

  /** All domains in order of their ids. */
  async list(): Promise<readonly EnrolledDomain[]> {
    const rows = await this.#store.query(`${SELECT} ORDER BY party LIMIT ?`, [DOMAINS_MAX]);
    return rows.map(domainOf);
  }
}

/** Adds the domain unless its id or its key is taken: then the batch fails at this statement. */
export function insertDomain(party: Party, enrolledAtMs: number): Statement {
  return {
    sql: `INSERT INTO domain (party, name_zh, name_en, sign_key, enrolled_at_ms)
      SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT)
      WHERE NOT EXISTS (SELECT 1 FROM domain WHERE party = ? OR sign_key = ?)`,
    params: [
      party.id,
      party.name.zh,
      party.name.en,
      party.signKey,
      enrolledAtMs,
      party.id,
      party.signKey,
    ],
    expectChanges: 1,
  };
}

const SELECT = 'SELECT party, name_zh, name_en, sign_key, enrolled_at_ms FROM domain';

function domainOf(row: Row): EnrolledDomain {
  const party = PartySchema.parse({
    id: row['party'],
    name: { zh: row['name_zh'], en: row['name_en'] },
    signKey: row['sign_key'],
  });
  return {
    party: party.id,
    name: party.name,
    signKey: new Uint8Array(Buffer.from(party.signKey, 'base64url')),
    enrolledAtMs: Number(row['enrolled_at_ms']),
  };
}
