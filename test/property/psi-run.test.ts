import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { psi } from '../../src/computations/psi/psi.ts';
import type { DataSource } from '../../src/catalog/data-source.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { openMatch } from '../../src/client/match-opener.ts';
import type { Release } from '../../src/computations/computation.ts';
import { encodeStatement } from '../../src/computations/psi/statement.ts';
import type { ResultPlace } from '../../src/contracts/sealed-result.ts';
import { HashSchema, RunIdSchema } from '../../src/system/ids.ts';
import { eddsaSuite } from '../../src/system/signature-suite.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast } from '../fixtures/contract.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { describeMatch, rowSource, runMatch, type Rows } from '../support/psi-run.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-run-'));
});
afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});

const secretKey = systemRandom.bytes(32);
const recipientKeys = { secretKey, publicKey: x25519.getPublicKey(secretKey) };
const recipient = { id: ANALYST, encryptionKey: encodeBase64url(recipientKeys.publicKey) };
const cast = makeCast(MATCHERS);
const contractOf = (
  plan: Partial<MatchPlan>,
  smallestCell = 3,
  bounds: Contract['bounds'] = [],
): Contract =>
  matchContract(
    plan,
    { recipient, bounds, disclosure: { smallestCell, smallestContributors: 1 } },
    cast,
  );

const ZERO_HASH = HashSchema.parse('0'.repeat(64));

/** East writes dates with dashes, west without: the same days and routes all the same. */
const dashed = (day: number): string => `2001-01-${String(day).padStart(2, '0')}`;
const compact = (day: number): string => dashed(day).replaceAll('-', '');
const EAST_ROWS: Rows = [
  ...[1, 2, 3, 4, 5, 6].map((day) => [dashed(day), 'jfkennedy']),
  [dashed(1), 'JFKENNEDY'],
  [dashed(2), null],
  [null, 'jfkennedy'],
  ['not a day', 'jfkennedy'],
];
const WEST_ROWS: Rows = [
  ...[3, 4, 5, 6, 7, 8, 9].map((day) => [compact(day), ' JFKENNEDY']),
  [compact(1), 'jfkennedy'],
  [compact(1), 'JFKENNEDY '],
  [compact(1), 'JfKennedy'],
  [compact(2), null],
  [compact(2), 'losangeles'],
];
/** Days 3 to 6 once, day 1 twice at both. */
const SHARED = 6;

const sources = (
  east: Rows = EAST_ROWS,
  west: Rows = WEST_ROWS,
  orderOf?: (rows: Rows, reading: number) => Rows,
): ReadonlyMap<PartyId, DataSource> =>
  new Map([
    [EAST, rowSource(['date', 'origin'], east, directory, orderOf)],
    [WEST, rowSource(['day', 'origin'], west, directory, orderOf)],
  ]);

describe('a match of two holders', () => {
  it('counts shared keys whichever side matches; each side writes as it is used to', async () => {
    for (const receiver of [EAST, WEST]) {
      const { release, domains, steps } = await runMatch(
        contractOf({ receiver }),
        sources(),
        pool,
        cast,
      );
      expect(release).toMatchObject({
        value: { columns: ['shared'], rows: [[SHARED]], suppressedCells: 0, releasedCells: 1 },
      });
      for (const domain of domains.values()) expect(domain.status).toBe('fulfilled');
      expect(steps.toSorted()).toEqual(
        [`${EAST} psi.points`, `${WEST} psi.points`, `${receiver} psi.result`].toSorted(),
      );
    }
    const { release } = await runMatch(
      contractOf({ duplicates: 'distinct' }),
      sources(),
      pool,
      cast,
    );
    expect(release).toMatchObject({ value: { rows: [[SHARED - 1]] } });
  });

  it('tells each domain’s own log how many rows had no key, and how many were duplicates', async () => {
    const told = new Map<PartyId, unknown>();
    await runMatch(contractOf({}), sources(), pool, cast, {
      note: (party, facts) => told.set(party, facts),
    });
    const east = { rowCount: 10, keyCount: 7, nulls: 2, malformed: 1, duplicates: 1 };
    const west = { rowCount: 12, keyCount: 11, nulls: 1, malformed: 0, duplicates: 2 };
    expect([told.get(EAST), told.get(WEST)]).toEqual([east, west]);
  });

  it('equals a naive join for random rows', async () => {
    const row = fc.tuple(
      fc.option(fc.integer({ min: 1, max: 9 })),
      fc.constantFrom('a', 'b', null),
    );
    const written = (
      rows: readonly (readonly [number | null, string | null])[],
      how: typeof dashed,
    ) => rows.map(([day, route]) => [day === null ? null : how(day), route]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 40 }),
        fc.array(row, { maxLength: 40 }),
        async (east, west) => {
          const count = (rows: typeof east, key: string): number =>
            rows.filter(
              ([day, route]) => day !== null && route !== null && `${day} ${route}` === key,
            ).length;
          const keys = new Set(east.map(([day, route]) => `${day} ${route}`));
          let naive = 0;
          for (const key of keys) naive += Math.min(count(east, key), count(west, key));
          const { release } = await runMatch(
            contractOf({}),
            sources(written(east, dashed), written(west, compact)),
            pool,
            cast,
          );
          expect(release).toMatchObject({ value: { rows: [[naive < 3 ? null : naive]] } });
        },
      ),
      { numRuns: 15 },
    );
  });

  it('withholds a number below the smallest cell, and says that it does', async () => {
    for (const [smallestCell, shared] of [
      [SHARED, SHARED],
      [SHARED + 1, null],
    ] as const) {
      const { release } = await runMatch(contractOf({}, smallestCell), sources(), pool, cast);
      expect(release).toMatchObject({
        value: { rows: [[shared]], suppressedCells: shared === null ? 1 : 0 },
      });
    }
  });

  it('shows nothing of any key to the gateway', async () => {
    for (const plan of [
      { ask: 'cardinality' },
      { ask: 'intersection' },
      { ask: 'intersection', engine: 'vole' },
      { ask: 'intersection', engine: 'vole-without-lpn' },
      { ask: 'intersection', engine: 'unbalanced' },
    ] as const) {
      const { network, release } = await runMatch(contractOf(plan), sources(), pool, cast);
      const seen = Buffer.concat(network.transcript.map(({ payload }) => Buffer.from(payload)));
      const text = `${seen.toString('latin1')} ${JSON.stringify(release)}`.toLowerCase();
      // What the parties exchange is sealed and not of this channel.
      const kinds = network.transcript.map(({ kind }) => kind).toSorted();
      expect(kinds.filter((kind) => kind !== 'psi.progress')).toEqual(['psi.done', 'psi.result']);
      for (const secret of ['jfkennedy', 'losangeles', '2001-01', '200101'])
        expect(text).not.toContain(secret);
    }
  });
});

/** Runs a match whose result is sealed, and opens it as the recipient does. */
async function openedRun(
  contract: Contract,
  sourcesOf: ReadonlyMap<PartyId, DataSource>,
): Promise<{ release: Release; opened: Release; place: ResultPlace }> {
  const descriptor = describeMatch(contract);
  const { release } = await runMatch(contract, sourcesOf, pool, cast, { descriptor });
  if (release.status !== 'fulfilled') throw release.reason as Error;
  const { runId, contractHash } = descriptor;
  const place = { runId, contractHash };
  const opened = await openMatch(release.value, place, contract, recipientKeys);
  return { release: release.value, opened, place };
}

describe.each(['ecdh', 'vole', 'vole-without-lpn', 'unbalanced'] as const)(
  'an intersection by %s',
  (engine) => {
    const EXPECTED = [1, 1, 3, 4, 5, 6].map((day) => [dashed(day), 'jfkennedy']);

    it('is the shared keys in canonical form, which only the recipient opens', async () => {
      for (const receiver of [EAST, WEST]) {
        const contract = contractOf({ ask: 'intersection', engine, receiver });
        const { opened, release, place } = await openedRun(contract, sources());
        expect(release.columns).toEqual(['psi-keys/1']);
        expect(opened).toEqual({
          columns: ['day', 'route'],
          rows: EXPECTED,
          suppressedCells: 0,
          releasedCells: EXPECTED.length,
        });
        const other = { secretKey: systemRandom.bytes(32), publicKey: recipientKeys.publicKey };
        await expect(openMatch(release, place, contract, other)).rejects.toMatchObject({
          code: 'decryption-failed',
        });
      }
    });

    it('reads its rows once, also where keys are revealed', async () => {
      const once = sources(EAST_ROWS, WEST_ROWS, (rows, reading) => {
        if (reading > 0) throw new Error('the rows were read again');
        return rows;
      });
      const { opened } = await openedRun(contractOf({ ask: 'intersection', engine }), once);
      expect(opened.rows).toEqual(EXPECTED);
    });

    it('of fewer keys than the smallest cell is sealed and empty', async () => {
      const { opened } = await openedRun(contractOf({ ask: 'intersection', engine }, 7), sources());
      expect(opened).toMatchObject({ rows: [], suppressedCells: 1 });
    });
  },
);

describe('a sum over the join', () => {
  const BOUNDS: Contract['bounds'] = [
    { column: 'delay', minimum: '-500', maximum: '500', scale: 1 },
  ];
  const SUM = { ask: 'sum', receiver: WEST, sum: { as: 'total', column: 'delay' } } as const;
  const delays = [7, -13, null, 4, 'x', 900, 2, 1, 1, 1] as const;
  const east = EAST_ROWS.map((row, i) => [...row, delays[i] === null ? null : String(delays[i])]);
  const summed = (rows: Rows): ReadonlyMap<PartyId, DataSource> =>
    new Map([
      [EAST, rowSource(['date', 'origin', 'delay'], rows, directory)],
      [WEST, rowSource(['day', 'origin'], WEST_ROWS, directory)],
    ]);

  it('adds the shared items’ values, clamped, missing ones as zero, to the recipient alone', async () => {
    // Days 1 (twice: 7 and 2), 3 (missing), 4 (4), 5 (no number), 6 (900, clamped to 50.0).
    const { opened, release } = await openedRun(contractOf(SUM, 3, BOUNDS), summed(east));
    expect(opened).toEqual({
      columns: ['shared', 'total'],
      rows: [[SHARED, '63.0']],
      suppressedCells: 0,
      releasedCells: 2,
    });
    expect(release.columns).toEqual(['psi-sum/1']);
    expect(JSON.stringify(release)).not.toContain('63.0');
    const negative = east.map(([day, route, delay]) => [
      day ?? null,
      route ?? null,
      delay === '4' ? '-40' : (delay ?? null),
    ]);
    const { opened: below } = await openedRun(contractOf(SUM, 3, BOUNDS), summed(negative));
    expect(below.rows).toEqual([[SHARED, '19.0']]);
  });

  it('is withheld with its number below the smallest cell', async () => {
    const { opened } = await openedRun(contractOf(SUM, SHARED + 1, BOUNDS), summed(east));
    expect(opened).toMatchObject({ rows: [[null, null]], suppressedCells: 2, releasedCells: 0 });
  });

  it('is not opened where a half is missing, exchanged, of another run, or made up by the gateway', async () => {
    const contract = contractOf(SUM, 3, BOUNDS);
    const { release, place } = await openedRun(contract, summed(east));
    const open = (rows: Release['rows'], at = place): Promise<Release> =>
      openMatch({ ...release, rows }, at, contract, recipientKeys);
    await expect(open(release.rows)).resolves.toMatchObject({ releasedCells: 2 });
    await expect(open(release.rows.slice(0, 1))).rejects.toMatchObject({
      code: 'transcript-mismatch',
    });
    await expect(open(release.rows.toReversed())).rejects.toMatchObject({
      code: 'signature-invalid',
    });
    const elsewhere = {
      ...place,
      runId: RunIdSchema.parse('01890a5d-ac96-774b-bcce-b302099a8059'),
    };
    await expect(open(release.rows, elsewhere)).rejects.toMatchObject({
      code: 'transcript-mismatch',
    });
    const forged = await encodeStatement(
      { ...place, requestHash: ZERO_HASH, descriptorHash: ZERO_HASH },
      EAST,
      { columns: ['half'], rows: [['1']], suppressedCells: 0, releasedCells: 0 },
      contract.recipient,
      eddsaSuite.generate(systemRandom),
    );
    await expect(open([release.rows[0] ?? [], [forged]])).rejects.toMatchObject({
      code: 'signature-invalid',
    });
  });

  it('is refused before it runs where it could exceed what it is held in', () => {
    const wide = [{ column: 'delay', minimum: '0', maximum: String(2 ** 26), scale: 0 }];
    expect(() => psi.estimate(contractOf(SUM, 3, wide), {})).toThrow(/exceed 36 bits/);
    const fits = [{ column: 'delay', minimum: '0', maximum: String(2 ** 24), scale: 0 }];
    expect(psi.estimate(contractOf(SUM, 3, fits), {}).learns).toHaveLength(4);
  });
});

describe('a match ends without a result', () => {
  it('when the descriptor is of another run, protocol or size', async () => {
    const contract = contractOf({});
    const planned = describeMatch(contract);
    for (const wrong of [
      { protocol: 'secure-sum' as const },
      { engine: 'psi-ecdh/0' },
      { shape: { cells: 1, lanes: 1 } },
    ]) {
      const { release, domains } = await runMatch(contract, sources(), pool, cast, {
        descriptor: { ...planned, ...wrong },
      });
      expect(release.status).toBe('rejected');
      expect([...domains.values()].map((domain) => domain.status)).toEqual([
        'rejected',
        'rejected',
      ]);
      expect(domains.get(EAST)).toMatchObject({ reason: { code: 'descriptor-mismatch' } });
    }
  });

  it('when a holder has more rows than its cap allows for', async () => {
    const many = Array.from({ length: 1025 }, (_, i) => [dashed(1), `r${i}`]);
    const { domains } = await runMatch(contractOf({}), sources(many), pool, cast);
    expect(domains.get(EAST)).toMatchObject({
      reason: { code: 'transcript-mismatch', facts: { rule: 'set-too-large' } },
    });
  });

  it('when a domain fails at any step, and leaves nothing on the disk', async () => {
    for (const at of ['psi.points', 'psi.result']) {
      const { release } = await runMatch(contractOf({}), sources(), pool, cast, {
        step: (_party, name) => {
          if (name === at) throw new Error('the domain dies here');
        },
      });
      expect(release.status).toBe('rejected');
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('when a plan has arguments or does not match', () => {
    const codeOf = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (error) {
        return (error as { code: unknown }).code;
      }
    };
    expect(codeOf(() => psi.estimate(contractOf({}), { hours: ['1'] }))).toBe('parameter-invalid');
  });
});

describe('the estimate', () => {
  it('counts public buckets, by the formula', () => {
    const contract = matchContract(
      {},
      {
        datasets: [EAST, WEST].map((holder, i) => ({
          holder,
          dataset: 'departures',
          version: 'any' as const,
          rowsMax: i === 0 ? 1000 : 1025,
        })),
      },
    );
    const { units, lanes, learns } = psi.estimate(contract, {});
    expect(lanes).toBe(1024 + 2048);
    expect(units).toMatchObject({
      rows: 2025n,
      'padded-items': 3072n,
      // 32 bytes an item of either; 16 more an item of the receiver's.
      bytes: 32n * 3072n + 16n * 2048n,
      // 2025 rows · 2 columns · 2 µs + 3072 items · 80 µs
      'compute-milli-units': 254n,
    });
    expect(learns.map(({ party }) => party)).toEqual(['gateway', WEST, EAST, ANALYST]);
  });
});
