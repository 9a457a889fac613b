/** Weighted sums over whole runs in memory: exact against the naive answer, and against attackers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { weightedShape } from '../../src/client/weights-sender.ts';
import type { Release } from '../../src/computations/computation.ts';
import { estimateSecretWeights } from '../../src/computations/secret-weights/estimate.ts';
import { weightedShapeOf } from '../../src/computations/secret-weights/shape.ts';
import { WEIGHTED_KINDS } from '../../src/computations/secret-weights/wire.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import { checkPlanned } from '../../src/contracts/check-contract.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { decodeBase64url, encodeBase64url } from '../../src/system/base64url.ts';
import type { Frame } from '../../src/link/channel.ts';
import type { Recipient } from '../support/sealed-sum-run.ts';
import { FIXED_CASE, prepare, runAll, testPool, type RunCase } from '../support/secure-sum-run.ts';
import {
  encrypted,
  makeWeigher,
  naiveSums,
  openWeightedWith,
  prepareWeighted,
  runWeighted,
  weightedPlan,
  type WeightOf,
} from '../support/weighted-run.ts';

let pool: Pool;
let recipient: Recipient;
let stranger: Recipient;
beforeAll(async () => {
  pool = testPool();
  recipient = await makeWeigher(pool);
  stranger = await makeWeigher(pool);
});
afterAll(() => pool.close());

/** Sums of two columns, without squares, which no weighted sum has. */
const CASE: RunCase = {
  ...FIXED_CASE,
  columns: [
    { minimum: -1000n, maximum: 1000n, scale: 2, squares: false },
    { minimum: 0n, maximum: 1_000_000n, scale: 0, squares: false },
  ],
  parts: FIXED_CASE.parts.map((rows) =>
    rows.map(({ cell, values }, row) => ({ cell, values: [values[0], BigInt(row) * 9973n] })),
  ),
};

const someWeights: WeightOf = (output, cell) => ((cell * 7919 + output * 104_729) % 2001) - 1000;

async function opened(
  run: RunCase,
  weightOf: WeightOf,
  terms: Partial<Contract> = {},
): Promise<Release> {
  const prepared = prepareWeighted(run, recipient, terms);
  const attachment = await encrypted(pool, prepared.contract, recipient, weightOf);
  const { release } = await runWeighted(run, prepared, pool, attachment);
  if (release.status === 'rejected') throw release.reason;
  expect(release.value.columns).toEqual(['secret-weights/1']);
  return openWeightedWith(pool, prepared, recipient, release.value);
}

/** The same cells as a secure sum releases them. */
async function table(run: RunCase, terms: Partial<Contract> = {}): Promise<Release> {
  const plain = prepare(run, {}, { plan: weightedPlan(run), ...terms });
  const { release } = await runAll(run, plain, pool);
  if (release.status === 'rejected') throw release.reason;
  return release.value;
}

/** A weighted sum in units of its scale. */
function unitsOf(release: Release): bigint[] {
  return release.rows.map(([, sum]) => BigInt(String(sum).replace('.', '')));
}

describe('a weighted sum run', () => {
  it('opens to exactly Σ weight · cell over the cells a secure sum would release', async () => {
    const { contract } = prepareWeighted(CASE, recipient);
    const naive = naiveSums(weightedShape(contract), await table(CASE), someWeights);
    const release = await opened(CASE, someWeights);
    expect(release.rows.map(([name]) => name)).toEqual(['n', 'sum0', 'sum1']);
    expect(unitsOf(release)).toEqual(naive);
    expect(naive.every((sum) => sum !== 0n)).toBe(true);
  });

  it('counts no cell that control withholds, and says how many it counts', async () => {
    const strict = { ...CASE, smallestCell: 16 };
    const { contract } = prepareWeighted(strict, recipient);
    const released = await table(strict);
    const release = await opened(strict, someWeights);
    expect(unitsOf(release)).toEqual(naiveSums(weightedShape(contract), released, someWeights));
    const [rows] = release.rows;
    expect(rows?.slice(2)).toEqual([released.rows.length, 12 - released.rows.length]);
    expect(released.rows.length).toBeLessThan(12);
    // The control: under the usual threshold more cells count, and the sums are others.
    const more = await opened(CASE, someWeights);
    expect(Number(more.rows[0]?.[2])).toBeGreaterThan(released.rows.length);
    expect(unitsOf(more)).not.toEqual(unitsOf(release));
  });

  it('weighs cells with their noise, charged as releasing all of them', async () => {
    const noise: NoiseTerms = {
      mechanism: 'discrete-gaussian',
      microRhoPerRun: 5_000_000,
      deltaExponent: 9,
      cellsPerUnit: 1,
      rowsPerCell: 1,
      honestDomains: 2,
    };
    const run = { ...CASE, noiseSeed: 'noise' };
    const disclosure = { smallestCell: 3, smallestContributors: 1, noise };
    const limits = { ...prepare(run).contract.limits, microRhoTotal: 10_000_000 };
    const terms = { disclosure, limits };
    const { contract } = prepareWeighted(run, recipient, terms);
    const release = await opened(run, someWeights, terms);
    const noised = naiveSums(weightedShape(contract), await table(run, terms), someWeights);
    expect(unitsOf(release)).toEqual(noised);
    const exact = naiveSums(weightedShape(contract), await table(CASE), someWeights);
    expect(noised).not.toEqual(exact);
    const explained = estimateSecretWeights(contract, {});
    expect(explained.units['micro-rho']).toBe(5_000_000n);
    const named = explained.noise?.deviations.map(({ of }) => of);
    expect(named).toContain('sum0 weighted, if every weight were the largest');
    expect(named).toContain('sum of x0');
    expect(explained.exact).toBe(false);
  });

  it('tells before a run what each party learns, and that any cell may be singled out', () => {
    const { learns, units, exact } = estimateSecretWeights(
      prepareWeighted(CASE, recipient).contract,
      {},
    );
    expect(exact).toBe(true);
    expect(learns.map(({ party }) => party)).toEqual([
      'gateway',
      'holder-a',
      'holder-b',
      'holder-c',
      'analyst',
    ]);
    expect(learns.at(-1)?.en).toContain('releasing every cell');
    expect(units['bytes']).toBeGreaterThan(3_000_000n);
  });
});

describe('weights on their way to the holders', () => {
  /** Frames that depend on data. */
  const derived = (transcript: readonly Frame[]): readonly Frame[] =>
    transcript.filter(({ kind }) => kind === KINDS.counts || kind === WEIGHTED_KINDS.weighted);

  async function ended(attachment: Uint8Array, signed: Uint8Array | undefined): Promise<unknown[]> {
    const prepared = prepareWeighted(CASE, recipient);
    const outcome = await runWeighted(CASE, prepared, pool, attachment, signed);
    expect(outcome.release.status).toBe('rejected');
    expect(derived(outcome.network.transcript)).toEqual([]);
    return outcome.domains.map((domain) =>
      domain.status === 'rejected' ? domain.reason.code : 'fulfilled',
    );
  }

  it('are those of the signed request, or no domain sends a thing', async () => {
    const prepared = prepareWeighted(CASE, recipient);
    const { contract } = prepared;
    const good = await encrypted(pool, contract, recipient, someWeights);
    const turned = good.slice();
    turned[good.length - 100]! ^= 1;
    expect(await ended(turned, good)).toContain('transcript-mismatch');
    const others = await encrypted(pool, contract, recipient, () => 1);
    expect(await ended(others, good)).toContain('transcript-mismatch');
    expect(await ended(good.subarray(0, -8), good)).toContain('transcript-mismatch');
    // Weights under a key of another recipient, signed or not: the contract names its own.
    const elsewhere = prepareWeighted(CASE, stranger).contract;
    const foreign = await encrypted(pool, elsewhere, stranger, someWeights);
    expect(await ended(foreign, foreign)).toContain('transcript-mismatch');
    // The control: untouched they are used.
    const outcome = await runWeighted(CASE, prepared, pool, good);
    expect(derived(outcome.network.transcript).length).toBeGreaterThan(5);
  });

  it('are fresh ciphertexts, whatever the analyst signed: not open, out of range or seeded', async () => {
    const { contract } = prepareWeighted(CASE, recipient);
    const good = await encrypted(pool, contract, recipient, someWeights);
    const { places } = weightedShape(contract);
    const ciphertextBytes = 524_288;
    const first = good.length - places.length * ciphertextBytes;
    const open = good.slice();
    open.fill(0, first + ciphertextBytes / 2, first + ciphertextBytes);
    const high = good.slice();
    high.fill(0xff, first, first + 8);
    // A seeded one has one polynomial and a seed; a compressed one some other length.
    const seeded = Buffer.concat([
      good.subarray(0, first + ciphertextBytes / 2 + 96),
      good.subarray(first + ciphertextBytes),
    ]);
    for (const bad of [open, high, seeded])
      expect(await ended(bad, bad)).toContain('transcript-mismatch');
  });
});

describe('what the gateway hands over of a weighted sum', () => {
  it('opens for its recipient alone, and only as the holders made it', async () => {
    const prepared = prepareWeighted(CASE, recipient);
    const attachment = await encrypted(pool, prepared.contract, recipient, someWeights);
    const { release } = await runWeighted(CASE, prepared, pool, attachment);
    if (release.status === 'rejected') throw release.reason;
    const { value } = release;
    const failed = expect.objectContaining({ code: 'decryption-failed' });
    const { publicKeys } = recipient.sealingKey;
    for (const without of [
      { ...recipient, sealingKey: { ...stranger.sealingKey, publicKeys } },
      { keys: stranger.keys, sealingKey: recipient.sealingKey },
      stranger,
    ])
      await expect(openWeightedWith(pool, prepared, without, value)).rejects.toThrow(failed);
    const changed = (index: number, change: (bytes: Uint8Array) => void): Release => {
      const bytes = decodeBase64url(String(value.rows[index]?.[0]));
      change(bytes);
      return { ...value, rows: value.rows.with(index, [encodeBase64url(bytes)]) };
    };
    const turned = changed(2, (bytes) => {
      bytes[100]! ^= 1;
    });
    await expect(openWeightedWith(pool, prepared, recipient, turned)).rejects.toThrow(failed);
    const swapped = { ...value, rows: value.rows.with(2, value.rows[3]!).with(3, value.rows[2]!) };
    await expect(openWeightedWith(pool, prepared, recipient, swapped)).rejects.toThrow(failed);
    const otherRun = expect.objectContaining({ code: 'descriptor-mismatch' });
    const short = { ...value, rows: value.rows.slice(0, -1) };
    await expect(openWeightedWith(pool, prepared, recipient, short)).rejects.toThrow(otherRun);
    // The control: as it came it opens.
    await expect(openWeightedWith(pool, prepared, recipient, value)).resolves.toBeDefined();
  });
});

describe('planning a weighted sum', () => {
  const contract = (): Contract => prepareWeighted(CASE, recipient).contract;
  const refused = (change: Partial<Contract>): unknown => {
    try {
      weightedShapeOf({ ...contract(), ...change }, {});
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it('refuses what is no weighted sum, is too large, or might not fit', () => {
    expect(refused({})).toBeUndefined();
    expect(refused({ protocol: { name: 'secure-sum' } })).toBe('query-not-supported');
    const plan = weightedPlan(CASE);
    if (plan.kind !== 'aggregate') throw new Error('not an aggregate');
    const mean = { as: 'mean', fn: 'avg' as const, column: 'x0' };
    const withMean = { plan: { ...plan, measures: [...plan.measures, mean] } };
    expect(refused(withMean)).toBe('query-not-supported');
    expect(() => checkPlanned({ ...contract(), ...withMean })).toThrow(
      expect.objectContaining({ code: 'query-not-supported' }),
    );
    const labels = Array.from({ length: 6000 }, (_, label) => String(label));
    const [, second] = contract().dictionaries;
    expect(refused({ dictionaries: [{ column: 'g0', labels }, second!] })).toBe('too-many-cells');
    const { protocol } = contract();
    if (protocol.name !== 'secret-weights') throw new Error('not weighted');
    const wide = { ...protocol, weights: { maximum: '9'.repeat(18), scale: 0 } };
    const bound = String(2n ** 52n);
    const bounds = contract().bounds.map((each) => ({
      ...each,
      minimum: `-${bound}`,
      maximum: bound,
    }));
    expect(refused({ protocol: wide, bounds })).toBe('overflow-possible');
  });
});
