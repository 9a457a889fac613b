/**
 * API tokens: 32 random bytes behind a role's prefix, stored as their SHA-256 only, so that who
 * reads the store cannot call the API. Scoped to one role and one party, expiring, revocable.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { AuditSink } from '../audit/audit-sink.ts';
import { IdentityError, StateError } from '../errors.ts';
import { RoleSchema, type Role, type TokenRequest } from '../contracts/api.ts';
import { StoreConflict, type Row, type Store } from '../store/store.ts';
import type { Clock } from '../system/clock.ts';
import { PartyIdSchema, type PartyId } from '../system/ids.ts';
import { uuidV7, type Random } from '../system/random.ts';

/** Schema changes of the area `tokens`, in order. */
export const TOKEN_MIGRATIONS = {
  area: 'tokens',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE api_token (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, role TEXT NOT NULL, party TEXT NOT NULL,
        label TEXT NOT NULL, created_at_ms BIGINT NOT NULL, expires_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT, last_used_at_ms BIGINT)`,
    },
  ],
} as const;

const TOKEN = /^weir_(?:analyst|billing|operator)_[A-Za-z0-9_-]{43}$/;
const TOKEN_BYTES = 32;
/** How long another gateway on the same store may honour a token that was revoked here. */
const CACHE_TTL_MS = 5_000;
const CACHE_MAX = 4_096;
/** Last use is kept to the hour: enough to find unused tokens, too coarse to follow anybody. */
const LAST_USED_GRAIN_MS = 3_600_000;
const LIST_MAX = 1_000;

/** Who a valid token speaks for. */
export interface Caller {
  readonly tokenId: string;
  readonly role: Role;
  readonly party: PartyId;
}

export interface TokenRecord {
  readonly id: string;
  readonly role: Role;
  readonly party: PartyId;
  readonly label: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly revokedAtMs: number | undefined;
  readonly lastUsedAtMs: number | undefined;
}

interface Cached {
  readonly caller: Caller;
  readonly expiresAtMs: number;
  readonly staleAtMs: number;
}

/** Owns the cache of tokens that were valid a moment ago. */
export class TokenBook {
  readonly #store: Store;
  readonly #audit: AuditSink;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #cache = new Map<string, Cached>();
  /** Counts revocations: a look-up that began before one must not fill the cache after it. */
  #revocations = 0;

  constructor(store: Store, audit: AuditSink, clock: Clock, random: Random) {
    this.#store = store;
    this.#audit = audit;
    this.#clock = clock;
    this.#random = random;
  }

  /** A new token, durable before it is shown; the clear text is returned this once. */
  async create(request: TokenRequest): Promise<TokenRecord & { readonly token: string }> {
    const secret = Buffer.from(this.#random.bytes(TOKEN_BYTES)).toString('base64url');
    const token = `weir_${request.role}_${secret}`;
    const nowMs = this.#clock.now();
    const record: TokenRecord = {
      id: uuidV7(this.#clock, this.#random),
      role: request.role,
      party: request.party,
      label: request.label,
      createdAtMs: nowMs,
      expiresAtMs: nowMs + request.ttlS * 1000,
      revokedAtMs: undefined,
      lastUsedAtMs: undefined,
    };
    const { id, role, party, createdAtMs, expiresAtMs } = record;
    await this.#audit.append(
      { kind: 'token.created', atMs: nowMs, facts: { id, role, party, expiresAtMs } },
      [
        {
          sql: `INSERT INTO api_token (id, hash, role, party, label, created_at_ms, expires_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?)`,
          params: [id, tokenHash(token), role, party, record.label, createdAtMs, expiresAtMs],
        },
      ],
    );
    return { ...record, token };
  }

  /** Ends a token, durably, before it resolves; once more changes nothing. @throws StateError `route-unknown` */
  async revoke(id: string): Promise<TokenRecord> {
    const nowMs = this.#clock.now();
    try {
      await this.#audit.append({ kind: 'token.revoked', atMs: nowMs, facts: { id } }, [
        {
          sql: 'UPDATE api_token SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms IS NULL',
          params: [nowMs, id],
          expectChanges: 1,
        },
      ]);
    } catch (error) {
      // Unknown, or revoked before: the row tells which.
      if (!(error instanceof StoreConflict)) throw error;
    }
    this.#revocations += 1;
    for (const [key, cached] of this.#cache) {
      if (cached.caller.tokenId === id) this.#cache.delete(key);
    }
    const rows = await this.#store.query(`${SELECT} WHERE id = ?`, [id]);
    if (rows[0] === undefined) throw new StateError('route-unknown', 'There is no such token.');
    return recordOf(rows[0]);
  }

  /** Every token without its secret, newest first; at most {@link LIST_MAX}. */
  async list(): Promise<readonly TokenRecord[]> {
    const rows = await this.#store.query(`${SELECT} ORDER BY id DESC LIMIT ?`, [LIST_MAX]);
    return rows.map(recordOf);
  }

  /** The caller of a token that was valid within the last seconds, without asking the store. */
  recall(token: string): Caller | undefined {
    const cached = this.#cache.get(tokenHash(token));
    const nowMs = this.#clock.now();
    if (cached === undefined || nowMs >= cached.staleAtMs || nowMs >= cached.expiresAtMs) {
      return undefined;
    }
    return cached.caller;
  }

  /** @throws IdentityError `credential-invalid` (unknown or revoked), `credential-expired` */
  async verify(token: string): Promise<Caller> {
    if (!TOKEN.test(token)) throw invalid();
    const key = tokenHash(token);
    const revocations = this.#revocations;
    const rows = await this.#store.query(`${SELECT} WHERE hash = ?`, [key]);
    const row = rows[0];
    if (row === undefined || !isSame(String(row['hash']), key)) throw invalid();
    const record = recordOf(row);
    if (record.revokedAtMs !== undefined) throw invalid();
    const nowMs = this.#clock.now();
    if (nowMs >= record.expiresAtMs) {
      throw new IdentityError('credential-expired', 'The token has expired: ask for a new one.');
    }
    const caller = { tokenId: record.id, role: record.role, party: record.party };
    if (revocations === this.#revocations) this.#remember(key, caller, record.expiresAtMs, nowMs);
    await this.#noteUse(record, nowMs);
    return caller;
  }

  #remember(key: string, caller: Caller, expiresAtMs: number, nowMs: number): void {
    this.#cache.delete(key);
    this.#cache.set(key, { caller, expiresAtMs, staleAtMs: nowMs + CACHE_TTL_MS });
    if (this.#cache.size <= CACHE_MAX) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      return;
    }
  }

  async #noteUse(record: TokenRecord, nowMs: number): Promise<void> {
    const hourMs = nowMs - (nowMs % LAST_USED_GRAIN_MS);
    if (record.lastUsedAtMs !== undefined && record.lastUsedAtMs >= hourMs) return;
    const params = [hourMs, record.id];
    const sql = 'UPDATE api_token SET last_used_at_ms = ? WHERE id = ?';
    try {
      await this.#store.execute([{ sql, params }]);
    } catch {
      // A full disk must not lock out reads: the next call of this hour tries again.
    }
  }
}

const SELECT = `SELECT id, hash, role, party, label, created_at_ms, expires_at_ms, revoked_at_ms,
  last_used_at_ms FROM api_token`;

function tokenHash(token: string): string {
  return hash('sha256', token, 'hex');
}

/** The index already found it by hash; this closes the last way to learn a hash by timing. */
function isSame(stored: string, computed: string): boolean {
  return (
    stored.length === computed.length && timingSafeEqual(Buffer.from(stored), Buffer.from(computed))
  );
}

function invalid(): IdentityError {
  return new IdentityError('credential-invalid', 'The token is not valid.', {
    remedy:
      'It was withdrawn, has expired, or is another gateway’s: ask whoever runs this one for a new one.',
  });
}

function recordOf(row: Row): TokenRecord {
  const revokedAtMs = row['revoked_at_ms'];
  const lastUsedAtMs = row['last_used_at_ms'];
  return {
    id: String(row['id']),
    role: RoleSchema.parse(row['role']),
    party: PartyIdSchema.parse(row['party']),
    label: String(row['label']),
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: Number(row['expires_at_ms']),
    revokedAtMs: revokedAtMs === null ? undefined : Number(revokedAtMs),
    lastUsedAtMs: lastUsedAtMs === null ? undefined : Number(lastUsedAtMs),
  };
}
