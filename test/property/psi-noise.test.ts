import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import { openMatch } from '../../src/client/match-opener.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import { matchShapeOf } from '../../src/computations/psi/shape.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { wordStream, type WordStream } from '../../src/disclosure/noise-stream.ts';
import { questionOf } from '../../src/disclosure/question.ts';
import { discreteGaussian } from '../../src/disclosure/sampler.ts';
import { microRhoOf } from '../../src/disclosure/zcdp.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import type { PartyId } from '../../src/system/ids.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { systemRandom } from '../../src/system/random.ts';
import { ANALYST, makeCast } from '../fixtures/contract.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { publishFlights } from '../support/published-flights.ts';
import { describeMatch, rowSource, runMatch, type Rows } from '../support/psi-run.ts';

let pool: Pool;
let directory: string;
beforeAll(async () => {
  pool = openPool({ threadsMax: 2 });
  directory = await mkdtemp(join(tmpdir(), 'weir-psi-noise-'));
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
  microRhoPerRun: 60_000,
  deltaExponent: 9,
  cellsPerUnit: 1,
  rowsPerCell: 1,
  honestDomains: 1,
};
const PERSON: MatchPlan['key'] = [
  {
    as: 'person',
    type: 'text',
    columns: [
      { holder: EAST, column: 'person' },
      { holder: WEST, column: 'person' },
    ],
  },
];
const BOUNDS: Contract['bounds'] = [{ column: 'cost', minimum: '0', maximum: '10', scale: 0 }];
const LIMITS = { ...matchContract().limits, microRhoTotal: 1_000_000 };

function noisedContract(plan: Partial<MatchPlan> = {}, further: Partial<Contract> = {}): Contract {
  return matchContract(
    { key: PERSON, duplicates: 'distinct', ...plan },
    {
      recipient,
      limits: LIMITS,
      disclosure: { smallestCell: 10, smallestContributors: 2, noise: TERMS },
      ...further,
    },
    cast,
  );
}

const people = (from: number, to: number): Rows =>
  Array.from({ length: to - from }, (_, i) => [`person ${from + i}`, '3']);
const SOURCES = () =>
  new Map([
    [EAST, rowSource(['person', 'cost'], people(0, 60), directory)],
    [WEST, rowSource(['person'], people(20, 80), directory)],
  ]);
const SHARED = 40;

/** Each party's own stream of a seed: what its noise book would give for one question. */
const noiseFrom =
  (seed: string) =>
  (party: PartyId) =>
  (label: string): WordStream =>
    wordStream(createHash('sha256').update(`${seed} ${party} ${label}`).digest());
const shareOf = (
  contract: Contract,
  seed: string,
  party: PartyId,
  which: 'rows' | 'sum',
): number => {
  const { noise } = matchShapeOf(contract, {});
  const vector = which === 'rows' ? noise!.rows : noise!.columns[0]!.sum;
  return discreteGaussian(noiseFrom(seed)(party)(vector.label), vector.variance);
};

describe('a noised match', () => {
  it('releases the number with both holders’ shares on it, whichever side matches', async () => {
    const seen = new Set<number>();
    for (const seed of ['a', 'b', 'c', 'd']) {
      for (const receiver of [EAST, WEST]) {
        const contract = noisedContract({ receiver });
        const expected =
          SHARED + shareOf(contract, seed, EAST, 'rows') + shareOf(contract, seed, WEST, 'rows');
        const { release } = await runMatch(contract, SOURCES(), pool, cast, {
          noiseOf: noiseFrom(seed),
        });
        expect(release).toMatchObject({ value: { rows: [[expected]] } });
        seen.add(expected);
      }
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it('noises the sum alike, each half by its own holder', async () => {
    const contract = noisedContract(
      { ask: 'sum', receiver: WEST, sum: { as: 'total', column: 'cost' } },
      { bounds: BOUNDS },
    );
    const descriptor = describeMatch(contract);
    const { release } = await runMatch(contract, SOURCES(), pool, cast, {
      descriptor,
      noiseOf: noiseFrom('s'),
    });
    if (release.status !== 'fulfilled') throw release.reason as Error;
    const { runId, contractHash } = descriptor;
    const opened = await openMatch(release.value, { runId, contractHash }, contract, recipientKeys);
    const shares = (which: 'rows' | 'sum'): number =>
      shareOf(contract, 's', EAST, which) + shareOf(contract, 's', WEST, which);
    expect(opened.rows).toEqual([[SHARED + shares('rows'), String(3 * SHARED + shares('sum'))]]);
  });

  it('is judged by its noised number', async () => {
    const contract = noisedContract();
    const number =
      SHARED + shareOf(contract, 't', EAST, 'rows') + shareOf(contract, 't', WEST, 'rows');
    for (const [smallestCell, shown] of [
      [number, number],
      [number + 1, null],
    ] as const) {
      const disclosure = { smallestCell, smallestContributors: 2, noise: TERMS };
      const { release } = await runMatch(
        noisedContract({}, { disclosure }),
        SOURCES(),
        pool,
        cast,
        {
          noiseOf: noiseFrom('t'),
        },
      );
      expect(release).toMatchObject({ value: { rows: [[shown]] } });
    }
  });

  it('ends before anything leaves where a domain has no noise to add', async () => {
    const { domains } = await runMatch(noisedContract(), SOURCES(), pool, cast);
    for (const domain of domains.values()) {
      expect(domain).toMatchObject({ reason: { code: 'internal' } });
    }
  });

  it('keeps the loss of one holder’s share within the budget of the run', () => {
    const summed = noisedContract(
      { ask: 'sum', sum: { as: 't', column: 'cost' } },
      { bounds: BOUNDS },
    );
    const { noise } = matchShapeOf(summed, {});
    const loss =
      microRhoOf({ squaredSensitivity: 1n, cells: 1 }, noise!.rows.variance, 1) +
      microRhoOf({ squaredSensitivity: 100n, cells: 1 }, noise!.columns[0]!.sum.variance, 1);
    expect(loss).toBeLessThanOrEqual(BigInt(TERMS.microRhoPerRun));
    const estimate = psi.estimate(summed, {});
    expect(estimate).toMatchObject({ exact: false, units: { 'micro-rho': 60_000n } });
    expect(estimate.noise?.deviations.map(({ of }) => of)).toEqual(['shared keys', 'sum of cost']);
  });
});

describe('what a noised match may be', () => {
  const codeOf = (contract: Contract): string => {
    try {
      checkContract(contract);
      return 'accepted';
    } catch (error) {
      return String((error as { code?: unknown }).code);
    }
  };
  const terms = (changes: Partial<NoiseTerms>): Partial<Contract> => ({
    disclosure: { smallestCell: 10, smallestContributors: 2, noise: { ...TERMS, ...changes } },
  });

  it('is over one key that is the unit, counted once, and never reveals', () => {
    expect(codeOf(noisedContract())).toBe('accepted');
    const bad: Contract[] = [
      noisedContract({ ask: 'intersection' }),
      noisedContract({ duplicates: 'multiplicity' }),
      noisedContract({ key: [...PERSON, { ...PERSON[0]!, as: 'again' }] }),
      noisedContract({}, terms({ rowsPerCell: 2 })),
      noisedContract({}, terms({ cellsPerUnit: 2 })),
      noisedContract({}, terms({ honestDomains: 2 })),
      noisedContract({}, { limits: { ...LIMITS, microRhoTotal: 1 } }),
    ];
    for (const contract of bad) expect(codeOf(contract)).toBe('malformed-message');
  });

  it('admits important data, joined on its privacy unit alone', () => {
    const person = { name: 'person', type: 'text' as const, usage: ['join' as const] };
    const other = { ...person, name: 'other' };
    const publish = (privacyUnit?: string) =>
      MATCHERS.map((holder) =>
        publishFlights(
          holder,
          {
            grade: 'important',
            columns: [person, other],
            partitions: [],
            ...(privacyUnit === undefined ? {} : { privacyUnit }),
          },
          100,
        ),
      );
    const codes = (contract: Contract, unit?: string): unknown[] =>
      planRefusals(contract, publish(unit)).map(({ code }) => code);
    expect(codes(noisedContract(), 'person')).toEqual([]);
    expect(codes(noisedContract(), 'other')).toEqual(['noise-required', 'noise-required']);
    expect(codes(noisedContract())).toEqual(['noise-required', 'noise-required']);
    const exact = { smallestCell: 10, smallestContributors: 2 };
    expect(codes(noisedContract({}, { disclosure: exact }), 'person')).toEqual([
      'noise-required',
      'noise-required',
    ]);
  });

  it('is one question whatever it is called and whoever matches, unless something is summed', () => {
    const ask = (contract: Contract): string => questionOf(contract, describeMatch(contract));
    const parties = describeMatch(noisedContract()).parties;
    const asked = (contract: Contract): string =>
      questionOf(contract, { ...describeMatch(contract), parties });
    const base = asked(noisedContract());
    expect(asked(noisedContract({ key: [{ ...PERSON[0]!, as: 'who' }] }))).toBe(base);
    expect(asked(noisedContract({ receiver: EAST }))).toBe(base);
    expect(asked(noisedContract({ key: [{ ...PERSON[0]!, type: 'text-exact' }] }))).not.toBe(base);
    expect(asked(noisedContract({}, terms({ microRhoPerRun: 1000 })))).not.toBe(base);
    const sum = { ask: 'sum', sum: { as: 't', column: 'cost' } } as const;
    const [west, east] = [WEST, EAST].map((receiver) =>
      asked(noisedContract({ ...sum, receiver }, { bounds: BOUNDS })),
    );
    expect(new Set([base, west, east]).size).toBe(3);
    expect(ask(noisedContract())).toHaveLength(64);
  });
});
