/** Webhooks in the store: who is told, what is still to be told, what could not be. */
import type { MigrationList } from '../store/migrations.ts';
import type { Row, Statement, Store } from '../store/store.ts';

export const ENDPOINTS_MAX = 16;
/** Deliveries listed or claimed by one call. */
export const DELIVERIES_MAX = 1_000;

export const WEBHOOK_MIGRATIONS: MigrationList = {
  area: 'webhooks',
  migrations: [
    {
      number: 1,
      sql: `
CREATE TABLE webhook_endpoint (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, secret TEXT NOT NULL, state TEXT NOT NULL,
  label TEXT NOT NULL, created_at_ms BIGINT NOT NULL);
CREATE TABLE webhook_delivery (
  endpoint_id TEXT NOT NULL, seq BIGINT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL,
  next_at_ms BIGINT NOT NULL, answer TEXT NOT NULL, updated_at_ms BIGINT NOT NULL,
  PRIMARY KEY (endpoint_id, seq));
CREATE INDEX webhook_due ON webhook_delivery (endpoint_id, next_at_ms) WHERE state = 'pending'`,
    },
  ],
};

export type EndpointState = 'active' | 'disabled';

export interface WebhookEndpoint {
  readonly id: string;
  readonly url: string;
  /** Secret: signs what is sent; never listed or logged. */
  readonly secret: string;
  readonly state: EndpointState;
  readonly label: string;
  readonly createdAtMs: number;
}

/** `dead`: every attempt failed; waits for somebody to have it sent again. */
export type DeliveryState = 'pending' | 'delivered' | 'dead';

export interface WebhookDelivery {
  readonly endpointId: string;
  readonly seq: bigint;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly nextAtMs: number;
  /** What the last attempt met: a status, or a word for what went wrong. */
  readonly answer: string;
  readonly updatedAtMs: number;
}

export async function readEndpoints(store: Store): Promise<readonly WebhookEndpoint[]> {
  const rows = await store.query('SELECT * FROM webhook_endpoint ORDER BY id LIMIT ?', [
    ENDPOINTS_MAX,
  ]);
  return rows.map((row) => ({
    id: String(row['id']),
    url: String(row['url']),
    secret: String(row['secret']),
    state: String(row['state']) as EndpointState,
    label: String(row['label']),
    createdAtMs: Number(row['created_at_ms']),
  }));
}

export function insertEndpoint(endpoint: WebhookEndpoint): Statement {
  const { id, url, secret, state, label, createdAtMs } = endpoint;
  return {
    sql: `INSERT INTO webhook_endpoint (id, url, secret, state, label, created_at_ms)
      VALUES (?, ?, ?, ?, ?, ?)`,
    params: [id, url, secret, state, label, createdAtMs],
  };
}

export function setEndpointState(id: string, state: EndpointState): Statement {
  const sql = 'UPDATE webhook_endpoint SET state = ? WHERE id = ?';
  return { sql, params: [state, id], expectChanges: 1 };
}

/** The endpoint and all that was to be told to it. */
export function deleteEndpoint(id: string): readonly Statement[] {
  return [
    { sql: 'DELETE FROM webhook_endpoint WHERE id = ?', params: [id], expectChanges: 1 },
    { sql: 'DELETE FROM webhook_delivery WHERE endpoint_id = ?', params: [id] },
  ];
}

/**
 * Makes deliveries of the records not taken up yet, up to `seq`, one an active endpoint. Records get
 * their numbers and are committed in one order, so nothing below `seq` can still appear.
 */
export function fanOut(seq: bigint, nowMs: number): readonly Statement[] {
  return [
    {
      sql: `INSERT INTO webhook_delivery
        (endpoint_id, seq, state, attempts, next_at_ms, answer, updated_at_ms)
        SELECT e.id, r.seq, 'pending', 0, ?, '', ? FROM webhook_endpoint AS e
        CROSS JOIN ledger_record AS r WHERE e.state = 'active'
        AND r.seq > (SELECT t.seq FROM ledger_told AS t) AND r.seq <= ?
        ON CONFLICT DO NOTHING`,
      params: [nowMs, nowMs, seq],
    },
    // Another gateway may be further already.
    { sql: 'UPDATE ledger_told SET seq = ? WHERE seq < ?', params: [seq, seq] },
  ];
}

/** The last number of the first `most` records not taken up yet; undefined where there is none. */
export async function readUntold(store: Store, most: number): Promise<bigint | undefined> {
  const [row] = await store.query(
    `SELECT max(seq) AS last FROM (SELECT seq FROM ledger_record
     WHERE seq > (SELECT t.seq FROM ledger_told AS t) ORDER BY seq LIMIT ?) AS first`,
    [most],
  );
  const last = row?.['last'];
  return typeof last === 'bigint' ? last : undefined;
}

/** An endpoint's deliveries whose time has come. */
export async function readDue(
  store: Store,
  endpointId: string,
  nowMs: number,
  most: number,
): Promise<readonly WebhookDelivery[]> {
  const rows = await store.query(
    `SELECT * FROM webhook_delivery WHERE state = 'pending' AND endpoint_id = ? AND next_at_ms <= ?
     ORDER BY next_at_ms, seq LIMIT ?`,
    [endpointId, nowMs, Math.min(most, DELIVERIES_MAX)],
  );
  return rows.map(parseDelivery);
}

/** Deliveries in a state, by number. */
export async function readDeliveries(
  store: Store,
  state: DeliveryState,
  afterSeq: bigint,
  most: number,
): Promise<readonly WebhookDelivery[]> {
  const rows = await store.query(
    `SELECT * FROM webhook_delivery WHERE state = ? AND seq > ? ORDER BY seq, endpoint_id LIMIT ?`,
    [state, afterSeq, Math.min(most, DELIVERIES_MAX)],
  );
  return rows.map(parseDelivery);
}

/**
 * Takes a delivery for one attempt: the same attempt of another gateway changes no row, and whoever
 * dies with it leaves it due again at `leaseUntilMs`.
 */
export function claim(delivery: WebhookDelivery, leaseUntilMs: number, nowMs: number): Statement {
  const { endpointId, seq, attempts } = delivery;
  return {
    sql: `UPDATE webhook_delivery SET attempts = ?, next_at_ms = ?, updated_at_ms = ?
      WHERE endpoint_id = ? AND seq = ? AND state = 'pending' AND attempts = ?`,
    params: [attempts + 1, leaseUntilMs, nowMs, endpointId, seq, attempts],
    expectChanges: 1,
  };
}

/** What a claimed attempt came to; changes nothing where the claim was lost meanwhile. */
export function conclude(delivery: WebhookDelivery): Statement {
  const { endpointId, seq, state, attempts, nextAtMs, answer, updatedAtMs } = delivery;
  return {
    sql: `UPDATE webhook_delivery SET state = ?, next_at_ms = ?, answer = ?, updated_at_ms = ?
      WHERE endpoint_id = ? AND seq = ? AND state = 'pending' AND attempts = ?`,
    params: [state, nextAtMs, answer, updatedAtMs, endpointId, seq, attempts],
  };
}

/** Has a delivery sent again from its first attempt on, whatever became of it. */
export function sendAgain(endpointId: string, seq: bigint, nowMs: number): Statement {
  return {
    sql: `INSERT INTO webhook_delivery
      (endpoint_id, seq, state, attempts, next_at_ms, answer, updated_at_ms)
      SELECT e.id, r.seq, 'pending', 0, ?, '', ? FROM webhook_endpoint AS e
      CROSS JOIN ledger_record AS r WHERE e.id = ? AND r.seq = ?
      ON CONFLICT (endpoint_id, seq) DO UPDATE SET state = 'pending', attempts = 0,
        next_at_ms = excluded.next_at_ms, updated_at_ms = excluded.updated_at_ms`,
    params: [nowMs, nowMs, endpointId, seq],
    expectChanges: 1,
  };
}

export function forgetDelivered(beforeMs: number): Statement {
  return {
    sql: `DELETE FROM webhook_delivery WHERE state = 'delivered' AND updated_at_ms < ?`,
    params: [beforeMs],
  };
}

function parseDelivery(row: Row): WebhookDelivery {
  return {
    endpointId: String(row['endpoint_id']),
    seq: row['seq'] as bigint,
    state: String(row['state']) as DeliveryState,
    attempts: Number(row['attempts']),
    nextAtMs: Number(row['next_at_ms']),
    answer: String(row['answer']),
    updatedAtMs: Number(row['updated_at_ms']),
  };
}
