/**
 * The domain as a witness of each gateway's audit log: it remembers the head it saw last and
 * refuses a log that is not a continuation of it. A gateway restored from a backup, or one that
 * shows two histories, is noticed by every domain it worked with.
 */
import { InputError, StateError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import { StoreConflict } from '../store/store.ts';
import type { Store } from '../store/store.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { EXTENSION_MAX, extendHead } from '../system/hash-link.ts';
import type { ChainHead } from '../system/hash-link.ts';
import { HashSchema } from '../system/ids.ts';
import type { Hash } from '../system/ids.ts';

export const LOG_WITNESS_MIGRATIONS: MigrationList = {
  area: 'log-witness',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE witnessed_log (
  gateway_key TEXT NOT NULL PRIMARY KEY, size BIGINT NOT NULL, hash TEXT NOT NULL)`,
    },
  ],
};

export interface LogWitness {
  /** The head seen last of the gateway with this key, raw. */
  latest(gatewayKey: Uint8Array): Promise<ChainHead | undefined>;
  /**
   * Follows a gateway's log to `head`, durably. The first head of a gateway is taken as it is.
   * @param digests - of the entries between the head seen last and `head`, in order.
   * @throws StateError `history-rolled-back` where `head` does not continue what was seen;
   *   InputError `set-too-large` beyond `EXTENSION_MAX` digests: follow in steps
   */
  follow(gatewayKey: Uint8Array, head: ChainHead, digests: readonly Hash[]): Promise<void>;
  /** The officer accepts that this gateway's log was lost; the next head is taken as the first was. */
  forget(gatewayKey: Uint8Array): Promise<void>;
}

/** @param store - holds `LOG_WITNESS_MIGRATIONS`. */
export function openLogWitness(store: Store): LogWitness {
  const latest = async (key: string): Promise<ChainHead | undefined> => {
    const sql = 'SELECT size, hash FROM witnessed_log WHERE gateway_key = ?';
    const row = (await store.query(sql, [key]))[0];
    if (row === undefined) return undefined;
    return { size: BigInt(row['size'] as bigint), hash: HashSchema.parse(row['hash']) };
  };
  return {
    latest: (gatewayKey) => latest(encodeBase64url(gatewayKey)),
    async follow(gatewayKey, head, digests) {
      if (digests.length > EXTENSION_MAX) {
        throw new InputError('set-too-large', 'Too many digests at once.', {
          rule: `at most ${EXTENSION_MAX}`,
        });
      }
      const key = encodeBase64url(gatewayKey);
      const seen = await latest(key);
      if (seen !== undefined) {
        const reached = extendHead(seen, digests);
        if (reached.size !== head.size || reached.hash !== head.hash) throw anotherHistory();
        if (digests.length === 0) return;
      }
      const statement =
        seen === undefined
          ? {
              sql: 'INSERT INTO witnessed_log (gateway_key, size, hash) VALUES (?, ?, ?)',
              params: [key, head.size, head.hash],
            }
          : {
              sql: `UPDATE witnessed_log SET size = ?, hash = ?
                    WHERE gateway_key = ? AND size = ? AND hash = ?`,
              params: [head.size, head.hash, key, seen.size, seen.hash],
              expectChanges: 1,
            };
      try {
        await store.execute([statement]);
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
        // Another call moved on: the caller asks for the latest head and follows from there.
        throw new StateError('round-mismatch', 'The log was followed further meanwhile.', {
          rule: 'one follower at a time',
          remedy: 'Follow again from the latest head.',
        });
      }
    },
    forget: (gatewayKey) =>
      store.execute([
        {
          sql: 'DELETE FROM witnessed_log WHERE gateway_key = ?',
          params: [encodeBase64url(gatewayKey)],
        },
      ]),
  };
}

function anotherHistory(): StateError {
  return new StateError(
    'history-rolled-back',
    'The gateway’s audit log is not the one seen before.',
    {
      party: 'gateway',
      rule: 'an audit log only grows',
      remedy: 'The gateway’s operator explains; the officer may accept a new history.',
    },
  );
}
