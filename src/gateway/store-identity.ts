/**
 * Whose store it is. All gateway processes on one database are one gateway to domains, receipts and
 * billing systems: with another key, a receipt would not verify, and one record would come from two
 * sources.
 */
import { SetupError } from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Store } from '../store/store.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import { fingerprintOf } from '../system/signature-suite.ts';

export const IDENTITY_MIGRATIONS: MigrationList = {
  area: 'gateway-identity',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE gateway_identity (
  place BIGINT PRIMARY KEY CHECK (place = 1), public_key TEXT NOT NULL)`,
    },
  ],
};

/**
 * The first gateway's key is kept; every later one must have the same.
 * @throws SetupError `config-invalid`
 */
export async function claimStore(store: Store, publicKey: Uint8Array): Promise<void> {
  const own = encodeBase64url(publicKey);
  await store.execute([
    {
      sql: 'INSERT INTO gateway_identity (place, public_key) VALUES (1, ?) ON CONFLICT DO NOTHING',
      params: [own],
    },
  ]);
  const [row] = await store.query('SELECT public_key FROM gateway_identity');
  const first = String(row?.['public_key']);
  if (first === own) return;
  const fingerprint = fingerprintOf(decodeBase64url(first, 32));
  throw new SetupError('config-invalid', `The store is of another gateway, ${fingerprint}.`, {
    remedy: 'Use that gateway’s identity key (weir init gateway --identity-key), or another store.',
  });
}
