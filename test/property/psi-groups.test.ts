/** Numbers and sums by groups of the receiver's, against a naive reference; and what ends a run. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMatch } from '../../src/client/match-opener.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import type { PartyId } from '../../src/system/ids.ts';
import {
  FAR,
  LABELS,
  NEAR,
  NEVER,
  cast,
  groupedContract,
  recipientKeys,
  summedContract,
} from '../fixtures/groups.ts';
import { EAST, WEST } from '../fixtures/match.ts';
import { memoryNetwork, type MemoryNetwork } from '../support/memory-network.ts';
import { describeMatch, rowSource, runMatch, type Rows } from '../support/psi-run.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-groups-'));
});
afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});

async function opened(contract: Contract, east: Rows, west: Rows): Promise<Release> {
  const descriptor = describeMatch(contract);
  const sources = new Map([
    [EAST, rowSource(['flight', 'delay'], east, directory)],
    [WEST, rowSource(['flight', 'distance'], west, directory)],
  ]);
  const { release } = await runMatch(contract, sources, pool, cast, { descriptor });
  if (release.status !== 'fulfilled') throw release.reason as Error;
  const { runId, contractHash } = descriptor;
  return openMatch(release.value, { runId, contractHash }, contract, recipientKeys);
}

/** A network whose frames between the holders a test sees, and may change. */
function tappedNetwork(
  tap: (frame: { from: PartyId; kind: string; payload: Uint8Array }) => Uint8Array,
): MemoryNetwork {
  const network = memoryNetwork();
  return {
    ...network,
    sealed: (self, peer) => {
      const channel = network.sealed(self, peer);
      const send = (kind: string, payload: Uint8Array): Promise<void> =>
        channel.send(kind, tap({ from: self, kind, payload }));
      return { ...channel, send };
    },
  };
}

/** The exact number and sum of each group, keys matched occurrence by occurrence. */
function naiveGroups(east: Rows, west: Rows): Map<string, { shared: number; sum: number }> {
  const found = new Map<string, { shared: number; sum: number }>();
  const left = new Map<string, number[]>();
  for (const [flight, delay] of east) {
    if (typeof flight === 'string') left.set(flight, [...(left.get(flight) ?? []), Number(delay)]);
  }
  for (const [flight, distance] of west) {
    const delay = typeof flight === 'string' ? left.get(flight)?.shift() : undefined;
    if (delay === undefined) continue;
    const label = LABELS.includes(distance ?? '') ? String(distance) : '(other)';
    const { shared, sum } = found.get(label) ?? { shared: 0, sum: 0 };
    found.set(label, { shared: shared + 1, sum: sum + delay });
  }
  return found;
}

/** Each row as the reference has it, but `(other)`: all rows together are the whole, or none is. */
function checkRows(
  rows: Release['rows'],
  naive: ReturnType<typeof naiveGroups>,
  ask: unknown,
): void {
  const shown = { shared: 0, sum: 0 };
  for (const [label, shared, sum] of rows) {
    shown.shared += Number(shared);
    shown.sum += Number(sum);
    expect(shared).toBeGreaterThanOrEqual(3);
    if (label === '(other)') continue;
    expect(shared).toBe(naive.get(String(label))?.shared);
    if (ask === 'sum') expect(Number(sum)).toBe(naive.get(String(label))?.sum);
  }
  let [total, totalSum] = [0, 0];
  for (const { shared, sum } of naive.values())
    [total, totalSum] = [total + shared, totalSum + sum];
  if (rows.length === 0) expect(total).toBeLessThan(3);
  else expect(shown.shared).toBe(total);
  if (rows.length > 0 && ask === 'sum') expect(shown.sum).toBe(totalSum);
}

const flights = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `f${from + i}`);
/** 20 near, 15 far, 2 unlisted: of whichever is shared. */
const WEST_ROWS: Rows = [
  ...flights(0, 20).map((flight) => [flight, NEAR]),
  ...flights(20, 35).map((flight) => [flight, FAR]),
  ...flights(35, 45).map((flight) => [flight, 'elsewhere']),
];
const eastOf = (...parts: readonly string[][]): Rows =>
  parts.flat().map((flight) => [flight, String(Number(flight.slice(1)) * 2)]);

describe('a match by groups', () => {
  it('gives each group its number and sum, and the rest to (other)', async () => {
    const east = eastOf(flights(5, 40), flights(100, 120));
    const naive = naiveGroups(east, WEST_ROWS);
    const row = (label: string) => [label, naive.get(label)?.shared, String(naive.get(label)?.sum)];
    expect(await opened(summedContract(), east, WEST_ROWS)).toEqual({
      columns: ['band', 'shared', 'total'],
      rows: [row(NEAR), row(FAR), row('(other)')],
      suppressedCells: 1,
      releasedCells: 3,
    });
    expect((await opened(groupedContract(), east, WEST_ROWS)).rows).toEqual(
      [row(NEAR), row(FAR), row('(other)')].map((each) => each.slice(0, 2)),
    );
  });

  it('equals the naive reference for random groups, duplicates and gaps', async () => {
    const flight = fc.option(fc.constantFrom(...flights(0, 12)), { freq: 12 });
    const distance = fc.constantFrom(...LABELS, 'elsewhere', null);
    const delay = fc.integer({ min: -400, max: 400 }).map(String);
    const sides = [
      fc.array(fc.tuple(flight, delay), { maxLength: 60 }),
      fc.array(fc.tuple(flight, distance), { maxLength: 60 }),
    ] as const;
    for (const [contract, numRuns] of [
      [groupedContract(), 16],
      [summedContract(), 3],
    ] as const) {
      const equals = fc.asyncProperty(...sides, async (east, west) => {
        const { rows } = await opened(contract, east, west);
        checkRows(
          rows,
          naiveGroups(east, west),
          contract.plan.kind === 'match' && contract.plan.ask,
        );
      });
      await fc.assert(equals, { numRuns });
    }
  });

  it('is one number in (other) where no label of the dictionary occurs, and nothing for empty sets', async () => {
    const west = flights(0, 30).map((flight) => [flight, 'elsewhere']);
    const { rows } = await opened(summedContract(), eastOf(flights(0, 10)), west);
    expect(rows).toEqual([['(other)', 10, '90']]);
    expect((await opened(groupedContract(), [], [])).rows).toEqual([]);
    expect((await opened(groupedContract(), eastOf(flights(0, 9)), [])).rows).toEqual([]);
  });

  it('adds a group below the threshold to (other), with the next one where it would stand alone', async () => {
    // near 20, far 2, other 5: far goes to other.
    const withOther = eastOf(flights(0, 22), flights(35, 40));
    expect((await opened(summedContract(), withOther, WEST_ROWS)).rows).toEqual([
      [NEAR, 20, '380'],
      ['(other)', 7, String(2 * (20 + 21) + 2 * (35 + 36 + 37 + 38 + 39))],
    ]);
    // near 20, far 2, other 0: far alone would be given back by the total, so near goes with it.
    const alone = eastOf(flights(0, 22));
    expect((await opened(summedContract(), alone, WEST_ROWS)).rows).toEqual([
      ['(other)', 22, String(380 + 82)],
    ]);
    // All together below the threshold: nothing at all.
    expect((await opened(groupedContract(), eastOf(flights(0, 2)), WEST_ROWS)).rows).toEqual([]);
  });

  it('tells no number of a group of few of the receiver’s own keys, whatever matches', async () => {
    const few: Rows = [...WEST_ROWS, ['f50', NEVER], ['f51', NEVER]];
    const east = eastOf(flights(0, 52));
    const labels = (await opened(groupedContract(), east, few)).rows.map(([label]) => label);
    expect(labels).toEqual([NEAR, FAR, '(other)']);
    const enough: Rows = [...few, ['f52', NEVER]];
    const { rows } = await opened(groupedContract(), eastOf(flights(0, 53)), enough);
    expect(rows.map(([label]) => label)).toEqual([NEAR, FAR, NEVER, '(other)']);
  });

  it('has one length for the gateway whatever is shown, and no number of any group', async () => {
    const seen = async (contract: Contract, east: Rows): Promise<number[]> => {
      const sources = new Map([
        [EAST, rowSource(['flight', 'delay'], east, directory)],
        [WEST, rowSource(['flight', 'distance'], WEST_ROWS, directory)],
      ]);
      const { release, network } = await runMatch(contract, sources, pool, cast);
      if (release.status !== 'fulfilled') throw release.reason as Error;
      const text = JSON.stringify(release.value);
      for (const word of LABELS) expect(text).not.toContain(word);
      expect(release.value.columns).toEqual(['psi-groups/1']);
      const results = network.transcript.filter(({ kind }) => kind !== 'psi.progress');
      expect(results).toHaveLength(2);
      return results.map(({ payload }) => payload.length).toSorted((a, b) => a - b);
    };
    for (const contract of [groupedContract(), summedContract()]) {
      const all = await seen(contract, eastOf(flights(0, 45)));
      expect(await seen(contract, eastOf(flights(0, 2)))).toEqual(all);
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('shows the matching holder’s officer every group before the result leaves', async () => {
    const reviews = new Map<PartyId, unknown>();
    const sources = new Map([
      [EAST, rowSource(['flight', 'delay'], eastOf(flights(0, 22), flights(35, 40)), directory)],
      [WEST, rowSource(['flight', 'distance'], WEST_ROWS, directory)],
    ]);
    await runMatch(groupedContract(), sources, pool, cast, {
      review: (party, review) => reviews.set(party, review),
    });
    expect(reviews.get(WEST)).toMatchObject({
      table: {
        rows: [
          [NEAR, 20, 'released · 公布'],
          [FAR, 2, 'in (other) · 并入 (other)'],
          [NEVER, 0, 'in (other) · 并入 (other)'],
          ['(other)', 5, 'released · 公布'],
        ],
      },
    });
    expect(reviews.get(EAST)).not.toHaveProperty('table');
  });

  it('has the receiver compare its groups with earlier matches, and the sender its whole set', async () => {
    const asked = new Map<PartyId, unknown>();
    const sources = new Map([
      [EAST, rowSource(['flight', 'delay'], [], directory)],
      [WEST, rowSource(['flight', 'distance'], WEST_ROWS, directory)],
    ]);
    await runMatch(groupedContract(), sources, pool, cast, {
      admit: (party, { groups, radices, selected, matchedWith }) =>
        asked.set(party, { groups, radices, cells: selected.length, matchedWith }),
    });
    expect(asked.get(EAST)).toEqual({ groups: [], radices: [], cells: 1, matchedWith: WEST });
    expect(asked.get(WEST)).toEqual({
      groups: [{ column: 'distance', labels: LABELS }],
      radices: [4],
      cells: 4,
      matchedWith: EAST,
    });
  });

  it('tells the sender sizes of the receiver’s groups by buckets alone', async () => {
    const frames = async (west: Rows): Promise<string[]> => {
      const sources = new Map([
        [EAST, rowSource(['flight', 'delay'], eastOf(flights(0, 9)), directory)],
        [WEST, rowSource(['flight', 'distance'], west, directory)],
      ]);
      const seen: string[] = [];
      const network = tappedNetwork(({ from, kind, payload }) => {
        if (from !== WEST) return payload;
        const tags = [0, 0, 0, 0];
        for (let at = 8; at < payload.length; at += 33) tags[payload[at + 32] ?? 0]! += 1;
        seen.push(kind === 'psi.points' ? `${kind} ${tags.join(' ')}` : kind);
        return payload;
      });
      const { release } = await runMatch(groupedContract(), sources, pool, cast, { network });
      expect(release.status).toBe('fulfilled');
      return seen;
    };
    const small = await frames(WEST_ROWS);
    expect(small).toContain('psi.points 64 64 64 64');
    expect(await frames([])).toEqual(small);
    const many = flights(0, 65).map((flight) => [flight, FAR]);
    expect(await frames(many)).toContain('psi.points 64 128 64 64');
  });
});

describe('a match by groups ends without a result', () => {
  const SENT: Rows = eastOf(flights(0, 45));
  const ended = async (
    from: PartyId,
    kind: string,
    change: (payload: Uint8Array) => void,
    contract = summedContract(),
  ): Promise<unknown> => {
    const sources = new Map([
      [EAST, rowSource(['flight', 'delay'], SENT, directory)],
      [WEST, rowSource(['flight', 'distance'], WEST_ROWS, directory)],
    ]);
    let changed = 0;
    const network = tappedNetwork((frame) => {
      if (frame.from !== from || frame.kind !== kind) return frame.payload;
      const payload = frame.payload.slice();
      if (changed++ === 0) change(payload);
      return payload;
    });
    const { domains, release } = await runMatch(contract, sources, pool, cast, { network });
    expect(changed).toBeGreaterThan(0);
    if (release.status === 'fulfilled') return 'fulfilled';
    const met = domains.get(from === EAST ? WEST : EAST);
    const reason =
      met?.status === 'rejected' ? (met.reason as { code: string; facts: object }) : {};
    return reason;
  };
  const aborted = (rule: string) => ({ code: 'transcript-mismatch', facts: { rule } });

  it('where nothing was changed there is one: the control', async () => {
    expect(await ended(WEST, 'psi.points', () => {})).toBe('fulfilled');
  });

  it.each([
    ['a point of a group that there is not', WEST, 'psi.points', 8 + 32, 4, 'message-malformed'],
    ['groups that are not padded', WEST, 'psi.points', 8 + 32, undefined, 'length-wrong'],
    [
      'an answer of a group that there is not',
      EAST,
      'psi.evaluated',
      8 + 16,
      4,
      'message-malformed',
    ],
    ['answers of other groups', EAST, 'psi.evaluated', 8 + 16, undefined, 'message-malformed'],
    ['another number of a masked sum', WEST, 'psi.masked', 0, 7, 'message-unexpected'],
    ['another mode', WEST, 'psi.hello', 1, 3, 'transcript-mismatch'],
  ] as const)('%s', async (_name, from, kind, at, to, rule) => {
    const change = (payload: Uint8Array): void => {
      payload[at] = to ?? ((payload[at] ?? 0) + 1) % 4;
    };
    expect(await ended(from, kind, change)).toMatchObject(aborted(rule));
  });

  it('a masked sum that is no ciphertext', async () => {
    const bad = await ended(WEST, 'psi.masked', (payload) => {
      payload.fill(255, 8);
    });
    expect(bad).toMatchObject(aborted('ciphertext-invalid'));
  });

  it('a receiver that puts one item in two groups', async () => {
    const twice = (payload: Uint8Array): void => {
      payload.copyWithin(8 + 33, 8, 8 + 32);
    };
    expect(await ended(WEST, 'psi.points', twice)).toMatchObject(aborted('point-repeated'));
  });
});
