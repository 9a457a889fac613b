/** The chain's table: how an entry is appended inside an open transaction, and read back. */
import type { Database } from '../store/database.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Row, Store } from '../store/store.ts';
import { entryHash, EXTENSION_MAX } from '../system/hash-link.ts';
import type { Hash } from '../system/ids.ts';
import type { AuditHead } from './audit-sink.ts';
import {
  EMPTY_HEAD,
  GENESIS_HASH,
  leafHash,
  verifyChain,
  type ChainVerdict,
  type StoredEntry,
} from './hash-chain.ts';

/** Entries read at a time: memory stays flat however long the chain is. */
const PAGE_ENTRIES = 1_000;

/** Tables of the audit chain. */
export const AUDIT_MIGRATIONS: MigrationList = {
  area: 'audit',
  migrations: [
    {
      number: 1,
      sql: 'CREATE TABLE audit_entry (position INTEGER PRIMARY KEY, hash TEXT NOT NULL, entry TEXT NOT NULL)',
      // The one row is what gateways take turns at: who appends holds it until the commit.
      postgres: `
CREATE TABLE audit_entry (position BIGINT PRIMARY KEY, hash TEXT NOT NULL, entry TEXT NOT NULL);
CREATE TABLE audit_head (only_one BOOLEAN PRIMARY KEY CHECK (only_one), size BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO audit_head VALUES (true, 0, '${GENESIS_HASH}')`,
    },
  ],
};

const LAST = 'SELECT position, hash FROM audit_entry ORDER BY position DESC LIMIT 1';

/** Every program that appends over one connection shares it. */
const HEAD_MEMO = 'audit head';

/** Appends canonical JSON to the chain, in whatever transaction is open. */
export function appendEncoded(db: Database, entry: string): AuditHead {
  const head = currentHead(db);
  const hash = leafHash(head.hash, head.size, entry);
  db.run('INSERT INTO audit_entry (position, hash, entry) VALUES (?, ?, ?)', [
    head.size,
    hash,
    entry,
  ]);
  const next = { size: head.size + 1n, hash };
  db.memo.set(HEAD_MEMO, next);
  return next;
}

/** The chain's head in whatever transaction is open. */
export function currentHead(db: Database): AuditHead {
  const known = db.memo.get(HEAD_MEMO) as AuditHead | undefined;
  if (known !== undefined) return known;
  const head = headOf(db.all(LAST, []));
  db.memo.set(HEAD_MEMO, head);
  return head;
}

/** The chain's head as committed. */
export async function readHead(store: Store): Promise<AuditHead> {
  return headOf(await store.query(LAST));
}

/** Entries from `from` on, in pages, as they are stored. */
export async function* readEntries(store: Store, from = 0n): AsyncGenerator<StoredEntry> {
  let next = from;
  for (;;) {
    const rows = await store.query(
      'SELECT position, hash, entry FROM audit_entry WHERE position >= ? ORDER BY position LIMIT ?',
      [next, PAGE_ENTRIES],
    );
    for (const row of rows) {
      const index = BigInt(row['position'] as bigint);
      yield { index, hash: String(row['hash']) as Hash, entry: String(row['entry']) };
      next = index + 1n;
    }
    if (rows.length < PAGE_ENTRIES) return;
  }
}

/**
 * Proof that the chain goes on from `fromSize`: the digests of the entries after it, in order, at
 * most `EXTENSION_MAX`, and the head they lead to, for a witness to follow (`extendHead`). Where
 * the chain does not reach `fromSize`, no entries and the present head.
 */
export async function readExtension(
  store: Store,
  fromSize: bigint,
): Promise<{ readonly head: AuditHead; readonly entries: readonly Hash[] }> {
  // From the entry before: its hash is the head where nothing has come after it.
  const rows = await store.query(
    `SELECT position, hash, entry FROM audit_entry WHERE position >= ?
     ORDER BY position LIMIT ?`,
    [fromSize - 1n, EXTENSION_MAX + (fromSize > 0n ? 1 : 0)],
  );
  const last = rows.at(-1);
  if (last === undefined) return { head: await readHead(store), entries: [] };
  const after = rows.filter((row) => BigInt(row['position'] as bigint) >= fromSize);
  return {
    head: headOf([last]),
    entries: after.map((row) => entryHash(String(row['entry']))),
  };
}

/** Recomputes the stored chain; names the first wrong entry. */
export function verifyStoredChain(store: Store, witnessed?: AuditHead): Promise<ChainVerdict> {
  return verifyChain(readEntries(store), witnessed);
}

function headOf(rows: readonly Row[]): AuditHead {
  const last = rows[0];
  if (last === undefined) return EMPTY_HEAD;
  return { size: BigInt(last['position'] as bigint) + 1n, hash: String(last['hash']) as Hash };
}
