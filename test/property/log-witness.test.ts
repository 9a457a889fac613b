import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AUDIT_MIGRATIONS, readExtension } from '../../src/audit/chain-table.ts';
import { AUDIT_PROGRAMS, sqliteAudit } from '../../src/audit/sqlite-audit.ts';
import type { AuditSink } from '../../src/audit/audit-sink.ts';
import { DOMAIN_ASKS, LogQuerySchema } from '../../src/contracts/link-messages.ts';
import { GatewayLog } from '../../src/domain/gateway-log.ts';
import type { Asking } from '../../src/domain/gateway-log.ts';
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
  const entries = Array.from({ length: count }, (_, entry) => ({
    kind: 'test',
    atMs: entry,
    facts: { entry },
  }));
  await Promise.all(entries.map((entry) => audit.append(entry, [])));
};

describe('the witness of a gateway’s log', () => {
  it('follows a log that grows, from digests alone', async () => {
    await log(3);
    await witness.follow(key, await audit.head(), []);
    await log(4);
    const { head, entries: digests } = await readExtension(gateway, 3n);
    expect(digests).toHaveLength(4);
    expect(head).toEqual(await audit.head());
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
    const { entries: digests } = await readExtension(gateway, 5n);
    expect(await follow(head)).toBe('history-rolled-back');
    expect(await follow(head, digests.toReversed())).toBe('history-rolled-back');
    expect(await follow(head, digests.slice(1))).toBe('history-rolled-back');
    expect(await follow(head, (await readExtension(gateway, 4n)).entries)).toBe(
      'history-rolled-back',
    );
    const long = Array.from({ length: EXTENSION_MAX + 1 }, () => head.hash);
    expect(await follow(head, long)).toBe('set-too-large');
    expect(await follow(head, digests)).toBe('accepted');
    await witness.forget(key);
    expect(await follow(early)).toBe('accepted');
  });
});

describe('a domain that follows its gateway’s log over the link', () => {
  /** The gateway's side of the link, over the same functions as its desk. */
  const linkTo = (store: SqliteStore, sink: AuditSink): Asking & { asked: number } => ({
    asked: 0,
    async request(method, body) {
      expect(method).toBe(DOMAIN_ASKS.log);
      this.asked += 1;
      const { fromSize } = LogQuerySchema.parse(body);
      const { head, entries } =
        fromSize === null
          ? { head: await sink.head(), entries: [] }
          : await readExtension(store, BigInt(fromSize));
      return { size: String(head.size), hash: head.hash, entries: [...entries] };
    },
  });

  it('asks once a link, from the first entry on or from what it saw last', async () => {
    const gatewayLog = new GatewayLog(witness, key);
    const link = linkTo(gateway, audit);
    await Promise.all([gatewayLog.ensure(link), gatewayLog.ensure(link)]);
    expect(link.asked).toBe(1);
    await log(EXTENSION_MAX + 3);
    const next = linkTo(gateway, audit);
    await gatewayLog.ensure(next);
    expect(next.asked).toBe(2);
    expect(await witness.latest(key)).toEqual(await audit.head());
  });

  it('vouches for heads of the log, earlier and later ones, and for no other', async () => {
    const gatewayLog = new GatewayLog(witness, key);
    await log(2);
    const early = await audit.head();
    await log(2);
    const middle = await audit.head();
    await log(2);
    const link = linkTo(gateway, audit);
    const vouch = (head: typeof early): Promise<string> =>
      codeOf(() => gatewayLog.vouch(link, head));
    expect(await vouch(middle)).toBe('accepted');
    expect(await witness.latest(key)).toEqual(middle);
    expect(await Promise.all([vouch(early), vouch(await audit.head()), vouch(middle)])).toEqual([
      'accepted',
      'accepted',
      'accepted',
    ]);
    expect(await vouch({ ...early, hash: middle.hash })).toBe('history-rolled-back');
    expect(await vouch({ ...(await audit.head()), hash: early.hash })).toBe('history-rolled-back');
    const beyond = { size: 9n, hash: early.hash };
    expect(await vouch(beyond)).toBe('history-rolled-back');
  });

  it('refuses a gateway that comes back with an older or another log, until the officer accepts', async () => {
    await log(3);
    const copy = `${place.directory}/copy.db`;
    await gateway.copyTo(copy);
    await log(2);
    const gatewayLog = new GatewayLog(witness, key);
    await gatewayLog.ensure(linkTo(gateway, audit));
    const restored = await openSqliteStore({
      file: copy,
      migrations: [AUDIT_MIGRATIONS],
      programs: AUDIT_PROGRAMS,
    });
    const sink = sqliteAudit(restored);
    const ensure = (): Promise<string> => codeOf(() => gatewayLog.ensure(linkTo(restored, sink)));
    expect(await ensure()).toBe('history-rolled-back');
    for (let entry = 0; entry < 4; entry += 1) {
      await sink.append({ kind: 'other', atMs: entry, facts: {} }, []);
    }
    // Longer than what was seen, and another: no proof leads there.
    expect(await ensure()).toBe('history-rolled-back');
    await gatewayLog.forget();
    expect(await ensure()).toBe('accepted');
    await restored.close();
  });
});
