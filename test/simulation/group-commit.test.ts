/** The writer over a connection that fails where it is told to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/store/database.ts';
import { groupWriter, type WriteRequest } from '../../src/store/group-writer.ts';

let directory: string;
let db: Database;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-group-'));
  db = openDatabase(join(directory, 'store.db'));
  db.exec('CREATE TABLE note (id BIGINT PRIMARY KEY)');
});
afterEach(() => {
  db.close();
  rmSync(directory, { recursive: true });
});

const insert = (id: number): WriteRequest => ({
  kind: 'execute',
  statements: [{ sql: 'INSERT INTO note VALUES (?)', params: [id] }],
});
const ids = (): readonly unknown[] =>
  db.all('SELECT id FROM note ORDER BY id', []).map((r) => r['id']);

/** Counts commits; fails the n-th call of `exec` or `run` that matches. */
function spied(match: (sql: string) => boolean, errcode: number, afterwards: boolean) {
  const seen: string[] = [];
  const fail = (): never => {
    throw Object.assign(new Error('injected'), { errcode });
  };
  const around = (sql: string, act: () => number): number => {
    seen.push(sql);
    if (!match(sql)) return act();
    if (afterwards) act();
    return fail();
  };
  const wrapped: Database = {
    exec: (sql) => void around(sql, () => (db.exec(sql), 0)),
    run: (sql, params) => around(sql, () => db.run(sql, params)),
    all: (sql, params) => db.all(sql, params),
    memo: db.memo,
    get inTransaction() {
      return db.inTransaction;
    },
    close: () => db.close(),
  };
  return { wrapped, seen };
}

describe('group commit', () => {
  it('gives a whole group one transaction and one sync', () => {
    const { wrapped, seen } = spied(() => false, 0, false);
    const replies = groupWriter(wrapped, {}).commit([1, 2, 3, 4, 5].map(insert));
    expect(replies.every((reply) => reply.ok)).toBe(true);
    expect(seen.filter((sql) => sql === 'COMMIT')).toHaveLength(1);
    expect(ids()).toEqual([1n, 2n, 3n, 4n, 5n]);
  });

  it.each([
    ['not persisted', false, []],
    ['persisted but reported failed', true, [1n, 2n]],
  ] as const)('acknowledges nobody when the COMMIT fails: %s', (_, afterwards, left) => {
    const { wrapped } = spied((sql) => sql === 'COMMIT', 10, afterwards);
    const replies = groupWriter(wrapped, {}).commit([insert(1), insert(2)]);
    for (const reply of replies) {
      expect(reply).toMatchObject({ ok: false, error: { code: 'store-unavailable' } });
    }
    expect(ids()).toEqual(left);
    // The writer goes on once the disk does.
    expect(groupWriter(db, {}).commit([insert(9)])).toEqual([{ ok: true, answer: undefined }]);
  });

  it('tells a full disk from another failure', () => {
    const { wrapped } = spied((sql) => sql === 'COMMIT', 13, false);
    expect(groupWriter(wrapped, {}).commit([insert(1)])).toMatchObject([
      { ok: false, error: { code: 'disk-full' } },
    ]);
  });

  it.each([false, true])(
    'keeps a failed write to its own batch (took effect: %s)',
    (afterwards) => {
      let count = 0;
      // The second batch fails as the group first runs, and again as it is run batch by batch.
      const second = (sql: string): boolean => {
        if (!sql.startsWith('INSERT')) return false;
        count += 1;
        return count === 2 || count === 4;
      };
      const { wrapped } = spied(second, 10, afterwards);
      const replies = groupWriter(wrapped, {}).commit([1, 2, 3].map(insert));
      expect(replies.map((reply) => reply.ok)).toEqual([true, false, true]);
      expect(ids()).toEqual([1n, 3n]);
    },
  );

  it('acknowledges nobody when the engine rolled the group back by itself', () => {
    const roguish: Database = {
      ...spied(() => false, 0, false).wrapped,
      get inTransaction() {
        return db.inTransaction;
      },
      run: (sql, params) => {
        if (params[0] !== 2) return db.run(sql, params);
        db.exec('ROLLBACK');
        throw Object.assign(new Error('injected'), { errcode: 13 });
      },
    };
    const replies = groupWriter(roguish, {}).commit([1, 2, 3].map(insert));
    expect(replies.map((reply) => reply.ok)).toEqual([false, false, false]);
    expect(ids()).toEqual([]);
  });
});
