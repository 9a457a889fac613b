/** The audit sink on PostgreSQL: whoever appends holds the head's row until the commit. */
import type { PostgresStore, Transaction } from '../store/postgres-store.ts';
import type { Hash } from '../system/ids.ts';
import type { AuditHead, AuditSink } from './audit-sink.ts';
import { readHead } from './chain-table.ts';
import { encodeEntry, leafHash } from './hash-chain.ts';

/** @param store - opened with `AUDIT_MIGRATIONS`. */
export function postgresAudit(store: PostgresStore): AuditSink {
  return {
    append: (entry, alongside) => {
      const encoded = encodeEntry(entry);
      return store.transact(async (transaction) => {
        await transaction.run(alongside);
        return append(transaction, encoded);
      });
    },
    head: () => readHead(store),
  };
}

async function append(transaction: Transaction, entry: string): Promise<AuditHead> {
  const [row] = await transaction.query('SELECT size, hash FROM audit_head FOR UPDATE');
  const size = row?.['size'] as bigint;
  const hash = leafHash(String(row?.['hash']) as Hash, size, entry);
  const head: AuditHead = { size: size + 1n, hash };
  await transaction.run([
    {
      sql: 'INSERT INTO audit_entry (position, hash, entry) VALUES (?, ?, ?)',
      params: [size, hash, entry],
    },
    {
      sql: 'UPDATE audit_head SET size = ?, hash = ?',
      params: [head.size, hash],
      expectChanges: 1,
    },
  ]);
  return head;
}
