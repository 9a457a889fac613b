/** What lies unread for one party over all its runs: bounded, shared, and given back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CapacityError } from '../../src/errors.ts';
import { InboxRoom, type Share } from '../../src/link/inbox-room.ts';
import {
  CROWDED_WINDOW_BYTES_MIN,
  PARTY_INBOX_BYTES_MAX,
  RUNS_AT_DOMAIN_MAX,
  windowBytes,
} from '../../src/link/limits.ts';
import { PartyIdSchema, type PartyId } from '../../src/system/ids.ts';

const ALL = Array.from({ length: 256 }, (_, at) => PartyIdSchema.parse(`party-${at}`));

/** As many runs of these parties as fit; together they fit. */
function fill(room: InboxRoom, parties: readonly PartyId[]): Share[] {
  const shares: Share[] = [];
  for (;;) {
    try {
      shares.push(room.take(parties));
    } catch (error) {
      expect(error).toBeInstanceOf(CapacityError);
      expect(error).toMatchObject({
        code: 'queue-full',
        message: expect.stringContaining(`${parties[0]} has ${shares.length} runs at work`),
        facts: { party: parties[0], remedy: expect.any(String), retryAfterS: 2 },
      });
      const bytes = shares.map(({ windowBytes: window }) => parties.length * window);
      expect(bytes.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(PARTY_INBOX_BYTES_MAX);
      return shares;
    }
  }
}

describe('the room of a party', () => {
  it('gives the first run all it can use, and 64 runs of few holders some', () => {
    for (const domains of [1, 2, 3, 5, 8]) {
      const shares = fill(new InboxRoom(), ALL.slice(0, domains));
      expect(shares).toHaveLength(RUNS_AT_DOMAIN_MAX);
      expect(shares[0]?.windowBytes).toBe(windowBytes(domains));
      for (const share of shares)
        expect(share.windowBytes).toBeGreaterThanOrEqual(CROWDED_WINDOW_BYTES_MIN);
    }
    for (const [domains, least] of [
      [64, 40],
      [256, 24],
    ] as const) {
      const shares = fill(new InboxRoom(), ALL.slice(0, domains));
      expect(shares.length).toBeGreaterThanOrEqual(least);
    }
  });

  it('is never more than it is, whatever opens, ends and drains in whatever order', () => {
    const step = fc.record({
      what: fc.constantFrom('open', 'open', 'open', 'end', 'drain'),
      parties: fc.uniqueArray(fc.nat({ max: 11 }), { minLength: 1, maxLength: 12 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const room = new InboxRoom();
        const open: { share: Share; parties: PartyId[] }[] = [];
        const draining: { share: Share; party: PartyId; bytes: number }[] = [];
        const unread = (party: PartyId): number => {
          let bytes = 0;
          for (const { share, parties } of open)
            if (parties.includes(party)) bytes += parties.length * share.windowBytes;
          for (const one of draining) if (one.party === party) bytes += one.bytes;
          return bytes;
        };
        for (const { what, parties: places, pick } of steps) {
          const parties = places.map((place) => ALL[place]!);
          if (what === 'open') {
            try {
              open.push({ share: room.take(parties), parties });
            } catch (error) {
              expect(error).toBeInstanceOf(CapacityError);
            }
          } else if (what === 'end' && open.length > 0) {
            const [{ share, parties: of }] = open.splice(pick % open.length, 1) as [
              (typeof open)[0],
            ];
            share.end();
            const bytes = of.length * share.windowBytes;
            draining.push(...of.map((party) => ({ share, party, bytes })));
          } else if (what === 'drain' && draining.length > 0) {
            const [{ share, party }] = draining.splice(pick % draining.length, 1) as [
              (typeof draining)[0],
            ];
            share.drained(party);
          }
          for (const party of ALL.slice(0, 12))
            expect(unread(party)).toBeLessThanOrEqual(PARTY_INBOX_BYTES_MAX);
        }
        // All of it is given back.
        for (const { share, parties } of open) {
          share.end();
          for (const party of parties) share.drained(party);
        }
        for (const { share, party } of draining) share.drained(party);
        for (const party of ALL.slice(0, 12))
          expect(room.take([party]).windowBytes).toBe(windowBytes(1));
      }),
      { numRuns: 60 },
    );
  });

  it('of one party leaves the others theirs; a run takes what its fullest party has left', () => {
    const [a, b, c] = ALL as [PartyId, PartyId, PartyId];
    const room = new InboxRoom();
    fill(room, [a, b]);
    expect(() => room.take([b, c])).toThrow(CapacityError);
    expect(room.take([c]).windowBytes).toBe(windowBytes(1));
    const half = new InboxRoom();
    for (let run = 0; run < 20; run += 1) half.take([a, b]);
    const shared = half.take([b, c]).windowBytes;
    expect(shared).toBeLessThan(windowBytes(2) / 2);
    expect(half.take([c]).windowBytes).toBe(windowBytes(1));
  });
});
