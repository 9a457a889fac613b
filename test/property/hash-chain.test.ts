import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS, readEntries, verifyStoredChain } from '../../src/audit/chain-table.ts';
import {
  encodeEntry,
  leafHash,
  verifyChain,
  type StoredEntry,
} from '../../src/audit/hash-chain.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../../src/audit/sqlite-audit.ts';
import type { AuditSink } from '../../src/audit/audit-sink.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { StoreConflict } from '../../src/store/store.ts';
import type { Hash } from '../../src/system/ids.ts';

const ENTRIES = 12;
let directory: string;
let store: SqliteStore;
let sink: AuditSink;
let chain: StoredEntry[];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-chain-'));
  store = await openSqliteStore({
    file: join(directory, 'store.db'),
    migrations: [AUDIT_MIGRATIONS],
    programs: AUDIT_PROGRAMS,
  });
  sink = sqliteAudit(store);
  await Promise.all(
    Array.from({ length: ENTRIES }, (_, index) =>
      sink.append({ kind: 'test.entry', atMs: index, facts: { index, note: 'ü' } }, []),
    ),
  );
  chain = [];
  for await (const entry of readEntries(store)) chain.push(entry);
});
afterAll(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

async function* from(entries: readonly StoredEntry[]): AsyncGenerator<StoredEntry> {
  yield* entries;
}

describe('audit chain', () => {
  it('is SHA-256 over the hash before, the place and the digest of the canonical entry', () => {
    const entry = encodeEntry({ kind: 'a', atMs: 5, facts: { b: 1, a: 'x' } });
    expect(entry).toBe('{"atMs":5,"facts":{"a":"x","b":1},"kind":"a"}');
    const previous = 'ab'.repeat(32) as Hash;
    const bytes = Buffer.concat([
      Buffer.from(previous, 'hex'),
      Buffer.from([0, 0, 0, 0, 0, 0, 1, 2]),
      createHash('sha256').update(entry).digest(),
    ]);
    expect(leafHash(previous, 258n, entry)).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('verifies what was appended, up to its head', async () => {
    expect(await verifyStoredChain(store)).toEqual({ ok: true, head: await sink.head() });
    expect((await sink.head()).size).toBe(BigInt(ENTRIES));
  });

  it('names the first entry that was changed, dropped, inserted or moved', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(ENTRIES - 1),
        fc.constantFrom('entry', 'hash', 'drop', 'insert', 'swap'),
        async (at, how) => {
          const broken = [...chain];
          const victim = chain[at]!;
          if (how === 'entry')
            broken[at] = { ...victim, entry: victim.entry.replace('test', 'tEst') };
          if (how === 'hash') broken[at] = { ...victim, hash: leafHash(victim.hash, 0n, '') };
          if (how === 'drop') broken.splice(at, 1);
          if (how === 'insert') broken.splice(at, 0, { ...victim, index: victim.index - 1n });
          if (how === 'swap') {
            if (at + 1 === ENTRIES) return;
            broken.splice(at, 2, chain[at + 1]!, victim);
          }
          const verdict = await verifyChain(from(broken), await sink.head());
          expect(verdict).toMatchObject({ ok: false, index: BigInt(at) });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('notices a cut end and a rewritten chain by a head that was witnessed', async () => {
    const head = await sink.head();
    const cut = chain.slice(0, -1);
    expect(await verifyChain(from(cut))).toMatchObject({ ok: true });
    expect(await verifyChain(from(cut), head)).toMatchObject({ ok: false, index: head.size - 1n });
    const witnessed = { size: 3n, hash: leafHash(head.hash, 0n, 'another history') };
    expect(await verifyChain(from(chain), witnessed)).toMatchObject({ ok: false, index: 2n });
  });

  it('appends nothing where what stands alongside fails', async () => {
    const before = await sink.head();
    const alongside = [
      { sql: 'DELETE FROM audit_entry WHERE position = -1', params: [], expectChanges: 1 },
    ];
    await expect(sink.append({ kind: 'x', atMs: 0, facts: {} }, alongside)).rejects.toThrow(
      StoreConflict,
    );
    expect(await sink.head()).toEqual(before);
  });
});
