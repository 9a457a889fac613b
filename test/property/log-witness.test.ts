import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS, readExtension } from '../../src/audit/chain-table.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../../src/audit/sqlite-audit.ts';
import type { AuditSink } from '../../src/audit/audit-sink.ts';
import { LOG_WITNESS_MIGRATIONS, openLogWitness } from '../../src/domain/log-witness.ts';
import type { LogWitness } from '../../src/domain/log-witness.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { EXTENSION_MAX } from '../../src/system/hash-link.ts';
import { codeOf, makePlace } from '../fixtures/counting.ts';
import type { Place } from '../fixtures/counting.ts';

const key = new Uint8Array(32).fill(7);
let place: Place;
let gateway: SqliteStore;
let domain: SqliteStore;
let audit: AuditSink;
let witness: LogWitness;
beforeEach(async () => {
  place = await makePlace();
  gateway = await openSqliteStore({
    file: `${place.directory}/gateway.db`,
    migrations: [AUDIT_MIGRATIONS],
    programs: AUDIT_PROGRAMS,
  });
  domain = await openSqliteStore({
    file: `${place.directory}/domain.db`,
    migrations: [LOG_WITNESS_MIGRATIONS],
  });
  audit = sqliteAudit(gateway);
  witness = openLogWitness(domain);
});
afterEach(async () => {
  await gateway.close();
  await domain.close();
  await place.remove();
});

const log = async (count: number): Promise<void> => {
  for (let entry = 0; entry < count; entry += 1) {
    await audit.append({ kind: 'test', atMs: entry, facts: { entry } }, []);
  }
};

describe('the witness of a gateway’s log', () => {
  it('follows a log that grows, from digests alone', async () => {
    await log(3);
    await witness.follow(key, await audit.head(), []);
    await log(4);
    const digests = await readExtension(gateway, 3n);
    expect(digests).toHaveLength(4);
    await witness.follow(key, await audit.head(), digests);
    await witness.follow(key, await audit.head(), []);
    expect(await witness.latest(key)).toEqual(await audit.head());
  });

  it('refuses a log that was rolled back, changed, or does not prove that it goes on', async () => {
    await log(3);
    const early = await audit.head();
    await log(2);
    await witness.follow(key, await audit.head(), []);
    const follow = (
      head: Parameters<LogWitness['follow']>[1],
      digests: Parameters<LogWitness['follow']>[2] = [],
    ): Promise<string> => codeOf(() => witness.follow(key, head, digests));
    expect(await follow(early)).toBe('history-rolled-back');
    expect(await follow({ ...(await audit.head()), hash: early.hash })).toBe('history-rolled-back');
    await log(2);
    const head = await audit.head();
    const digests = await readExtension(gateway, 5n);
    expect(await follow(head)).toBe('history-rolled-back');
    expect(await follow(head, digests.toReversed())).toBe('history-rolled-back');
    expect(await follow(head, digests.slice(1))).toBe('history-rolled-back');
    expect(await follow(head, await readExtension(gateway, 4n))).toBe('history-rolled-back');
    const long = Array.from({ length: EXTENSION_MAX + 1 }, () => head.hash);
    expect(await follow(head, long)).toBe('set-too-large');
    expect(await follow(head, digests)).toBe('accepted');
    await witness.forget(key);
    expect(await follow(early)).toBe('accepted');
  });
});
