/** Noise on a match by groups: on each number, on each sum, and on what the sender sees of sizes. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMatch } from '../../src/client/match-opener.ts';
import type { Release } from '../../src/computations/computation.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import { matchShapeOf } from '../../src/computations/psi/shape.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import type { VectorNoise } from '../../src/disclosure/noise-plan.ts';
import { wordStream, type WordStream } from '../../src/disclosure/noise-stream.ts';
import { noiseShares } from '../../src/disclosure/noise-vector.ts';
import { microRhoOf } from '../../src/disclosure/zcdp.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast } from '../fixtures/contract.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { memoryNetwork } from '../support/memory-network.ts';
import { describeMatch, rowSource, runMatch, type Rows } from '../support/psi-run.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-group-noise-'));
});
afterAll(async () => {
  await pool.close();
  await rm(directory, { recursive: true });
});

const cast = makeCast(MATCHERS);
const secretKey = systemRandom.bytes(32);
const recipientKeys = { secretKey, publicKey: x25519.getPublicKey(secretKey) };
const recipient = { id: ANALYST, encryptionKey: encodeBase64url(recipientKeys.publicKey) };
const TERMS: NoiseTerms = {
  mechanism: 'discrete-gaussian',
  microRhoPerRun: 80_000,
  deltaExponent: 9,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 1,
};
const LABELS = ['young', 'old', 'none'];
const KEY: MatchPlan['key'] = [
  {
    as: 'person',
    type: 'text',
    columns: MATCHERS.map((holder) => ({ holder, column: 'person' })),
  },
];
const SMALLEST = 10;

function noisedContract(plan: Partial<MatchPlan> = {}, further: Partial<Contract> = {}): Contract {
  return matchContract(
    {
      key: KEY,
      duplicates: 'distinct',
      receiver: WEST,
      group: { as: 'age', column: 'age' },
      ...plan,
    },
    {
      recipient,
      dictionaries: [{ column: 'age', labels: LABELS }],
      limits: { ...matchContract().limits, microRhoTotal: 1_000_000 },
      disclosure: { smallestCell: SMALLEST, smallestContributors: 2, noise: TERMS },
      ...further,
    },
    cast,
  );
}
const summedContract = (): Contract =>
  noisedContract(
    { ask: 'sum', sum: { as: 'total', column: 'cost' } },
    { bounds: [{ column: 'cost', minimum: '0', maximum: '10', scale: 0 }] },
  );

const people = (from: number, to: number, beside: string): Rows =>
  Array.from({ length: to - from }, (_, i) => [`person ${from + i}`, beside]);
/** A person twice at the receiver, in two groups: the first row's counts. */
const WEST_ROWS: Rows = [
  ...people(20, 120, 'young'),
  ...people(120, 200, 'old'),
  ...people(20, 30, 'old'),
  ...people(200, 205, 'middle'),
];
const EAST_ROWS = people(0, 160, '3');
const SHARED = [100, 40, 0, 0];

/** Each party's own stream of a seed: what its noise book would give for one question. */
const noiseFrom =
  (seed: string) =>
  (party: PartyId) =>
  (label: string): WordStream =>
    wordStream(createHash('sha256').update(`${seed} ${party} ${label}`).digest());
const sharesOf = (seed: string, party: PartyId, noise: VectorNoise): Promise<Float64Array> =>
  noiseShares(noise, noiseFrom(seed)(party)(noise.label), SHARED.length);

async function run(contract: Contract, seed: string): Promise<{ opened: Release; tags: number[] }> {
  const descriptor = describeMatch(contract);
  const sources = new Map([
    [EAST, rowSource(['person', 'cost'], EAST_ROWS, directory)],
    [WEST, rowSource(['person', 'age'], WEST_ROWS, directory)],
  ]);
  const plain = memoryNetwork();
  const tags = [0, 0, 0, 0];
  const network = {
    ...plain,
    sealed: (self: PartyId, peer: PartyId) => {
      const channel = plain.sealed(self, peer);
      return {
        ...channel,
        send: (kind: string, payload: Uint8Array) => {
          for (
            let at = 40;
            self === WEST && kind === 'psi.points' && at < payload.length;
            at += 33
          ) {
            tags[payload[at] ?? 0]! += 1;
          }
          return channel.send(kind, payload);
        },
      };
    },
  };
  const { release } = await runMatch(contract, sources, pool, cast, {
    descriptor,
    network,
    noiseOf: noiseFrom(seed),
  });
  if (release.status !== 'fulfilled') throw release.reason as Error;
  const { runId, contractHash } = descriptor;
  return {
    opened: await openMatch(release.value, { runId, contractHash }, contract, recipientKeys),
    tags,
  };
}

describe('a noised match by groups', () => {
  it('has both holders’ shares on each number and sum, and folds nothing', async () => {
    for (const [contract, seed] of [
      [noisedContract(), 'a'],
      [summedContract(), 'b'],
    ] as const) {
      const { noise, plan } = matchShapeOf(contract, {});
      const [ofEast, ofWest] = [
        await sharesOf(seed, EAST, noise!.rows),
        await sharesOf(seed, WEST, noise!.rows),
      ];
      const vector = noise!.columns[0]?.sum;
      const sums = await Promise.all(
        vector === undefined ? [] : [EAST, WEST].map((party) => sharesOf(seed, party, vector)),
      );
      const expected = [...LABELS, '(other)'].flatMap((label, cell) => {
        const number = SHARED[cell]! + ofEast[cell]! + ofWest[cell]!;
        const sum = 3 * SHARED[cell]! + Number(sums[0]?.[cell]) + Number(sums[1]?.[cell]);
        if (number < SMALLEST) return [];
        return [[label, number, ...(plan.sum === undefined ? [] : [String(sum)])]];
      });
      const { opened } = await run(contract, seed);
      expect(opened.rows).toEqual(expected);
      expect(opened.rows.map(([label]) => label)).toEqual(expect.arrayContaining(['young', 'old']));
      expect(opened.suppressedCells).toBe(4 - expected.length);
    }
  });

  it('shows the sender no group’s size without the receiver’s share on it', async () => {
    const contract = noisedContract();
    const { noise } = matchShapeOf(contract, {});
    const tail = Number(noise!.rows.tail);
    const own = [100, 80, 0, 5];
    const seen = new Set<string>();
    for (const seed of ['c', 'd']) {
      const shares = await sharesOf(seed, WEST, { ...noise!.rows, label: 'group-sizes' });
      const { tags } = await run(contract, seed);
      expect(tags).toEqual(own.map((items, cell) => items + 3 * tail + shares[cell]!));
      seen.add(tags.join());
    }
    expect(seen.size).toBe(2);
  });

  it('keeps the loss of one holder’s shares, on sizes, numbers and sums, within the budget', () => {
    for (const contract of [noisedContract(), summedContract()]) {
      expect(() => checkContract(contract)).not.toThrow();
      const { noise, cells } = matchShapeOf(contract, {});
      const one = { squaredSensitivity: 1n, cells };
      const sum = noise!.columns[0]?.sum;
      const loss =
        2n * microRhoOf(one, noise!.rows.variance, 1) +
        (sum === undefined ? 0n : microRhoOf({ squaredSensitivity: 100n, cells }, sum.variance, 1));
      expect(loss).toBeLessThanOrEqual(BigInt(TERMS.microRhoPerRun));
      const estimate = psi.estimate(contract, {});
      expect(estimate).toMatchObject({ exact: false, cells: 4, units: { 'micro-rho': 80_000n } });
      expect(estimate.noise?.deviations[0]?.of).toBe('shared keys of a group');
      expect(estimate.learns.map(({ en }) => en).join('\n')).toContain(
        'nobody sees an exact number',
      );
    }
  });
});
