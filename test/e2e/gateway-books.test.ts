/** Tokens, enrolment and metering sums behave alike on both stores. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeEnrolment } from '../../src/contracts/enrolment.ts';
import { DOMAIN_MIGRATIONS, DomainBook } from '../../src/gateway/domains.ts';
import { ENROLMENT_MIGRATIONS, EnrolmentDesk } from '../../src/gateway/enrolment.ts';
import { ledgerMetering } from '../../src/gateway/metering-service.ts';
import { TOKEN_MIGRATIONS, TokenBook } from '../../src/gateway/tokens.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemClock } from '../../src/system/clock.ts';
import { PartyIdSchema } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import { postgresKind, sqliteKind, type TestStore } from '../support/test-stores.ts';

const postgres = await postgresKind();
afterAll(() => postgres.stop());
const LISTS = [TOKEN_MIGRATIONS, DOMAIN_MIGRATIONS, ENROLMENT_MIGRATIONS];
const party = PartyIdSchema.parse('west');

describe.each([sqliteKind, postgres])('on $name', (kind) => {
  let opened: TestStore;
  let nowMs: number;
  const clock = { ...systemClock, now: () => nowMs };
  const skip = kind.missing !== undefined;

  beforeEach(async () => {
    if (skip) return;
    nowMs = Date.parse('2026-06-15T12:34:56Z');
    opened = await kind.open(LISTS);
  });
  afterEach(async () => {
    if (!skip) await opened.remove();
  });

  it.skipIf(skip)('a token works until it is revoked or expires, on every gateway', async () => {
    const { store, audit } = opened;
    const [here, there] = [1, 2].map(() => new TokenBook(store, audit, clock, systemRandom));
    if (here === undefined || there === undefined) throw new Error('two books');
    const request = { role: 'analyst', party, label: 'x', ttlS: 60 } as const;
    const first = await here.create(request);
    const caller = { tokenId: first.id, role: 'analyst', party };
    expect(await here.verify(first.token)).toEqual(caller);
    expect(await there.verify(first.token)).toEqual(caller);
    expect(here.recall(first.token)).toEqual(caller);
    expect((await here.list())[0]?.lastUsedAtMs).toBe(Date.parse('2026-06-15T12:00:00Z'));
    const revoked = await here.revoke(first.id);
    expect(revoked.revokedAtMs).toBe(nowMs);
    expect(here.recall(first.token)).toBeUndefined();
    await expect(here.verify(first.token)).rejects.toMatchObject({ code: 'credential-invalid' });
    // The other gateway forgets within seconds.
    nowMs += 5_000;
    expect(there.recall(first.token)).toBeUndefined();
    expect((await here.revoke(first.id)).revokedAtMs).toBe(revoked.revokedAtMs);
    await expect(here.revoke('none')).rejects.toMatchObject({ code: 'route-unknown' });
    const second = await here.create(request);
    await here.verify(second.token);
    nowMs += 59_999;
    expect(await here.verify(second.token)).toBeDefined();
    nowMs += 1;
    expect(here.recall(second.token)).toBeUndefined();
    await expect(here.verify(second.token)).rejects.toMatchObject({ code: 'credential-expired' });
  });

  it.skipIf(skip)(
    'a token that is revoked while it is looked up is not recalled after',
    async () => {
      const { store, audit } = opened;
      const read = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      let isSlow = false;
      const slow: typeof store = {
        ...store,
        execute: (statements) => store.execute(statements),
        query: async (sql, params) => {
          const rows = await store.query(sql, params);
          if (!isSlow) return rows;
          isSlow = false;
          read.resolve();
          await goOn.promise;
          return rows;
        },
      };
      const book = new TokenBook(slow, audit, clock, systemRandom);
      const { id, token } = await book.create({ role: 'analyst', party, label: 'x', ttlS: 60 });
      isSlow = true;
      const looked = book.verify(token);
      await read.promise;
      await book.revoke(id);
      goOn.resolve();
      // It was good when it was read; from now on it is not.
      await looked;
      expect(book.recall(token)).toBeUndefined();
      await expect(book.verify(token)).rejects.toMatchObject({ code: 'credential-invalid' });
    },
  );

  it.skipIf(skip)('a token is spent by one domain, whoever comes at the same time', async () => {
    const { store, audit } = opened;
    const identity = eddsaSuite.generate(systemRandom);
    const parts = { store, audit, clock, random: systemRandom, suite: eddsaSuite, identity };
    const desks = [new EnrolmentDesk(parts), new EnrolmentDesk(parts)];
    const { token } = await new EnrolmentDesk(parts).createToken({ party, ttlS: 60 });
    const requests = Array.from({ length: 6 }, () => {
      const keys = eddsaSuite.generate(systemRandom);
      const signKey = encodeBase64url(keys.publicKey);
      return encodeEnrolment(
        token,
        { id: party, name: { zh: '西', en: 'W' }, signKey },
        keys,
        eddsaSuite,
      );
    });
    const settled = await Promise.allSettled(
      requests.map(async (request, index) => desks[index % 2]?.enrol(request)),
    );
    const won = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(won).toHaveLength(1);
    for (const one of settled) {
      if (one.status === 'rejected') {
        expect(one.reason).toMatchObject({ code: 'enrolment-token-invalid' });
      }
    }
    const domain = await new DomainBook(store).find(party);
    expect(encodeBase64url(domain?.signKey ?? new Uint8Array())).toBe(won[0]?.signKey);
    expect(await new DomainBook(store).list()).toHaveLength(1);
    expect((await audit.head()).size).toBe(2n);
  });

  it.skipIf(skip)('refused calls are recorded and summed', async () => {
    const { store, ledger } = opened;
    const metering = ledgerMetering(ledger, store, clock, systemRandom);
    for (const code of ['malformed-message', 'quota-exceeded'] as const) {
      await metering.recordDenied({ analyst: party, contractId: undefined, code });
      nowMs += 1_000;
    }
    const records = await metering.records(0n, 10);
    expect(records.map(({ code }) => code)).toEqual(['malformed-message', 'quota-exceeded']);
    const all = { fromMs: undefined, toMs: undefined, analyst: undefined, contractId: undefined };
    const line = {
      analyst: party,
      contractId: undefined,
      outcome: 'denied',
      units: {},
      currency: 'XXX',
      chargeMicros: 0n,
    };
    expect(await metering.usage(all)).toEqual([{ ...line, records: 2n }]);
    expect(await metering.usage({ ...all, toMs: nowMs - 1_000 })).toEqual([
      { ...line, records: 1n },
    ]);
    expect(await metering.usage({ ...all, fromMs: nowMs })).toEqual([]);
    expect(await metering.usage({ ...all, analyst: PartyIdSchema.parse('east') })).toEqual([]);
  });
});
