/**
 * Enrolment of domains: one-time tokens for one named domain, spent in the very transaction that
 * stores the domain's key. A retry of the same enrolment (the answer was lost) is answered alike;
 * anything else with a spent token is refused.
 */
import {
  ENROLMENT_TOKEN,
  encodeEnrolmentAnswer,
  enrolmentTokenHash,
} from '../contracts/enrolment.ts';
import { verifyEnrolment } from '../contracts/enrolment.ts';
import type { EnrolmentAnswer, EnrolmentRequest } from '../contracts/enrolment.ts';
import type { EnrolmentTokenRequest } from '../contracts/api.ts';
import type { AuditSink } from '../audit/audit-sink.ts';
import { IdentityError, StateError } from '../errors.ts';
import { StoreConflict, type Row, type Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type Hash, type PartyId } from '../system/ids.ts';
import { uuidV7, type Random } from '../system/random.ts';
import type { KeyPair, SignatureSuite } from '../system/signature-suite.ts';
import { insertDomain } from './domains.ts';

/** Schema changes of the area `enrolment`, in order. */
export const ENROLMENT_MIGRATIONS = {
  area: 'enrolment',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE enrolment_token (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, party TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL, expires_at_ms BIGINT NOT NULL,
        used_at_ms BIGINT, used_key TEXT)`,
    },
  ],
} as const;

const TOKEN_BYTES = 32;

export interface EnrolmentToken {
  readonly id: string;
  readonly party: PartyId;
  /** Clear text, shown this once. */
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface EnrolmentParts {
  readonly store: Store;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly suite: SignatureSuite;
  /** The gateway's own identity. */
  readonly identity: KeyPair;
}

/** Owns nothing but its parts: all state is in the store. */
export class EnrolmentDesk {
  readonly #parts: EnrolmentParts;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /** A token with which the named domain, and no other, can enrol once. */
  async createToken(request: EnrolmentTokenRequest): Promise<EnrolmentToken> {
    const { audit, clock, random } = this.#parts;
    if (request.party === GATEWAY) {
      throw new StateError('already-exists', 'The name gateway is the gateway’s own.');
    }
    const token = `weir_enrol_${Buffer.from(random.bytes(TOKEN_BYTES)).toString('base64url')}`;
    const nowMs = clock.now();
    const expiresAtMs = nowMs + request.ttlS * 1000;
    const id = uuidV7(clock, random);
    const { party } = request;
    await audit.append(
      { kind: 'enrolment-token.created', atMs: nowMs, facts: { id, party, expiresAtMs } },
      [
        {
          sql: `INSERT INTO enrolment_token (id, hash, party, created_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?)`,
          params: [id, enrolmentTokenHash(token), party, nowMs, expiresAtMs],
        },
      ],
    );
    return { id, party: request.party, token, expiresAtMs };
  }

  /**
   * Spends the token and stores the domain, both or neither, then answers with the gateway's key.
   * @throws IdentityError `enrolment-token-invalid` (unknown, spent or another domain's),
   *   `enrolment-token-expired`, `signature-invalid`; StateError `already-exists` where the id or
   *   the key is enrolled already (the token then stays unspent).
   */
  async enrol(request: EnrolmentRequest): Promise<EnrolmentAnswer> {
    const { suite, identity } = this.#parts;
    if (!ENROLMENT_TOKEN.test(request.token)) throw invalid();
    const tokenHash = verifyEnrolment(request, suite);
    const row = await this.#tokenRow(tokenHash);
    if (row === undefined || row['party'] !== request.party.id) throw invalid();
    if (row['used_at_ms'] === null) await this.#spend(tokenHash, row, request);
    else if (row['used_key'] !== request.party.signKey) throw invalid();
    return encodeEnrolmentAnswer(tokenHash, request.party, identity, suite);
  }

  async #spend(tokenHash: Hash, row: Row, request: EnrolmentRequest): Promise<void> {
    const { audit, clock } = this.#parts;
    const nowMs = clock.now();
    if (nowMs >= Number(row['expires_at_ms'])) {
      throw new IdentityError('enrolment-token-expired', 'The enrolment token has expired.', {
        remedy: 'Ask the gateway’s operator for a new one.',
      });
    }
    try {
      const { id, signKey } = request.party;
      const facts = { party: id, signKey };
      await audit.append({ kind: 'domain.enrolled', atMs: nowMs, facts }, [
        {
          sql: `UPDATE enrolment_token SET used_at_ms = ?, used_key = ?
            WHERE hash = ? AND used_at_ms IS NULL`,
          params: [nowMs, signKey, tokenHash],
          expectChanges: 1,
        },
        insertDomain(request.party, nowMs),
      ]);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      // Another enrolment won between the look and the write; the same one won if its key did.
      if (error.index === 0) return this.#confirmSpentBy(tokenHash, request.party.signKey);
      throw new StateError(
        'already-exists',
        'A domain with this name or key has enrolled already.',
        {
          party: request.party.id,
        },
      );
    }
  }

  async #confirmSpentBy(tokenHash: Hash, signKey: string): Promise<void> {
    const row = await this.#tokenRow(tokenHash);
    if (row?.['used_key'] !== signKey) throw invalid();
  }

  async #tokenRow(tokenHash: Hash): Promise<Row | undefined> {
    const rows = await this.#parts.store.query(
      'SELECT party, expires_at_ms, used_at_ms, used_key FROM enrolment_token WHERE hash = ?',
      [tokenHash],
    );
    return rows[0];
  }
}

function invalid(): IdentityError {
  return new IdentityError('enrolment-token-invalid', 'The enrolment token is not valid.', {
    remedy: 'Ask the gateway’s operator for a new one.',
  });
}
