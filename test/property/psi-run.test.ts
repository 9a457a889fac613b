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
import { openResult } from '../../src/contracts/sealed-result.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST } from '../fixtures/contract.ts';
import { EAST, WEST, matchContract } from '../fixtures/match.ts';
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
const contractOf = (plan: Partial<MatchPlan>, smallestCell = 3): Contract =>
  matchContract(plan, { recipient, disclosure: { smallestCell, smallestContributors: 1 } });

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
      const { release, domains, steps } = await runMatch(contractOf({ receiver }), sources(), pool);
      expect(release).toMatchObject({
        value: { columns: ['shared'], rows: [[SHARED]], suppressedCells: 0, releasedCells: 1 },
      });
      for (const domain of domains.values()) expect(domain.status).toBe('fulfilled');
      expect(steps.toSorted()).toEqual(
        [`${EAST} psi.points`, `${WEST} psi.points`, `${receiver} psi.result`].toSorted(),
      );
    }
    const { release } = await runMatch(contractOf({ duplicates: 'distinct' }), sources(), pool);
    expect(release).toMatchObject({ value: { rows: [[SHARED - 1]] } });
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
      const { release } = await runMatch(contractOf({}, smallestCell), sources(), pool);
      expect(release).toMatchObject({
        value: { rows: [[shared]], suppressedCells: shared === null ? 1 : 0 },
      });
    }
  });

  it('shows nothing of any key to the gateway', async () => {
    for (const ask of ['cardinality', 'intersection'] as const) {
      const { network, release } = await runMatch(contractOf({ ask }), sources(), pool);
      const seen = Buffer.concat(network.transcript.map(({ payload }) => Buffer.from(payload)));
      const text = `${seen.toString('latin1')} ${JSON.stringify(release)}`.toLowerCase();
      // Two frames in all: what the parties exchange is sealed and not of this channel.
      expect(network.transcript.map(({ kind }) => kind).toSorted()).toEqual([
        'psi.done',
        'psi.result',
      ]);
      for (const secret of ['jfkennedy', 'losangeles', '2001-01', '200101'])
        expect(text).not.toContain(secret);
    }
  });
});

describe('an intersection', () => {
  const open = async (contract: Contract, sourcesOf: ReadonlyMap<PartyId, DataSource>) => {
    const descriptor = describeMatch(contract);
    const { release } = await runMatch(contract, sourcesOf, pool, { descriptor });
    if (release.status !== 'fulfilled') throw release.reason as Error;
    expect(release.value.columns).toEqual(['psi-keys/1']);
    const sealed = String(release.value.rows[0]?.[0]);
    const { runId, contractHash } = descriptor;
    return {
      sealed,
      place: { runId, contractHash },
      opened: await openResult(sealed, { runId, contractHash }, recipientKeys),
    };
  };
  const EXPECTED = [1, 1, 3, 4, 5, 6].map((day) => [dashed(day), 'jfkennedy']);

  it('is the shared keys in canonical form, which only the recipient opens', async () => {
    for (const receiver of [EAST, WEST]) {
      const { opened, sealed, place } = await open(
        contractOf({ ask: 'intersection', receiver }),
        sources(),
      );
      expect(opened.release).toEqual({
        columns: ['day', 'route'],
        rows: EXPECTED,
        suppressedCells: 0,
        releasedCells: EXPECTED.length,
      });
      const other = { secretKey: systemRandom.bytes(32), publicKey: recipientKeys.publicKey };
      await expect(openResult(sealed, place, other)).rejects.toMatchObject({
        code: 'decryption-failed',
      });
    }
  });

  it('reveals no other key where the source gives its rows in another order the second time', async () => {
    const turned = sources(EAST_ROWS, WEST_ROWS, (rows, reading) =>
      reading > 0 ? rows.toReversed() : rows,
    );
    const { opened } = await open(contractOf({ ask: 'intersection' }), turned);
    expect(opened.release.rows).toEqual(EXPECTED);
  });

  it('of fewer keys than the smallest cell is sealed and empty', async () => {
    const { opened } = await open(contractOf({ ask: 'intersection' }, 7), sources());
    expect(opened.release).toMatchObject({ rows: [], suppressedCells: 1 });
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
      const { release, domains } = await runMatch(contract, sources(), pool, {
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
    const { domains } = await runMatch(contractOf({}), sources(many), pool);
    expect(domains.get(EAST)).toMatchObject({
      reason: { code: 'transcript-mismatch', facts: { rule: 'set-too-large' } },
    });
  });

  it('when a domain fails at any step, and leaves nothing on the disk', async () => {
    for (const at of ['psi.points', 'psi.result']) {
      const { release } = await runMatch(contractOf({}), sources(), pool, {
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
      // 2025 rows · 2 columns · 2 µs + 3072 items · 80 µs
      'compute-milli-units': 254n,
    });
    expect(learns.map(({ party }) => party)).toEqual(['gateway', WEST, EAST, ANALYST]);
  });
});
