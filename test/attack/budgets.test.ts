/** Attacks on noised answers: averaging, paraphrases, subtracting; and questions that cost nothing. */
import { afterEach, describe, expect, it } from 'vitest';
import { planRefusals } from '../../src/catalog/check-plan.ts';
import { DatasetRegistrationSchema } from '../../src/catalog/dataset.ts';
import { publishedOf, type PublishedDataset } from '../../src/catalog/published.ts';
import { estimateSecureSum } from '../../src/computations/secure-sum/estimate.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { AggregatePlan } from '../../src/contracts/plan.ts';
import { noiseKey, wordStream } from '../../src/disclosure/noise-stream.ts';
import { gaussianSampler } from '../../src/disclosure/sampler.ts';
import { HOLDERS, makeCast, makeContract } from '../fixtures/contract.ts';
import {
  answer,
  asking,
  csvOf,
  EXACT,
  NOISE,
  openWorld,
  patientsOf,
  registrationOf,
  valueOf,
  VICTIM,
  type World,
} from './support/patients.ts';

const IMPORTANT = { grade: 'important' };
const NOISED: Contract['disclosure'] = { smallestCell: 10, smallestContributors: 1, noise: NOISE };

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});
const opened = async (...parts: Parameters<typeof openWorld>): Promise<World> => {
  world = await openWorld(...parts);
  return world;
};

/** Little noise: cells of thirty stay over a threshold of ten. */
const QUIET = { ...NOISE, microRhoPerRun: 5_000_000 };

/** The same question in other words. */
function paraphrased(contract: Partial<Contract>): Partial<Contract> {
  const plan = contract.plan as AggregatePlan;
  return {
    ...contract,
    title: { zh: '另一份', en: 'Another one' },
    disclosure: { ...NOISED, smallestCell: 11, noise: QUIET },
    plan: {
      ...plan,
      groups: plan.groups.toReversed(),
      measures: [
        { as: 'mean', fn: 'avg', column: 'amount' },
        { as: 'sum', fn: 'sum', column: 'amount' },
        { as: 'n', fn: 'count' },
      ],
    },
    dictionaries: (contract.dictionaries ?? []).toReversed(),
  };
}

describe('averaging repeated noisy answers', () => {
  it('averages nothing: each repeat is the first answer, in whatever words', async () => {
    // Budget for one question: a repeat that were charged would be refused.
    const one = await opened(IMPORTANT, { noiseBudgetMicroRho: QUIET.microRhoPerRun });
    const quiet = { ...NOISED, noise: QUIET };
    const contract = asking(one.attacker, ['region', 'age'], quiet);
    const first = await answer(one, contract);
    expect(await answer(one, contract)).toEqual(first);
    const other = await answer(one, paraphrased(contract));
    // Cells of nobody may come out over a threshold by noise alone, and not over another one.
    const listed = (rows: unknown[][]): string[] =>
      rows
        .filter(([region, age]) => region !== '(other)' && age !== '(other)')
        .map((row) => row.join(' '))
        .toSorted();
    const same = (rows: Release['rows']): string[] =>
      listed(rows.map(([region, age, n, sum]) => [region, age, Number(n), Number(sum)]));
    const turned = (rows: Release['rows']): string[] =>
      listed(rows.map(([age, region, , sum, n]) => [region, age, Number(n), Number(sum)]));
    expect(turned(other as Release['rows'])).toEqual(same(first as Release['rows']));
    expect(same(first as Release['rows'])).toHaveLength(6);
    // And it is not the plain answer.
    const plain = [0, 1, 2].flatMap(patientsOf).filter(({ region }) => region === 'north');
    const total = valueOf(first, ['north', 'old'], 1) + valueOf(first, ['north', 'young'], 1);
    expect(total).not.toBe(plain.reduce((sum, { amount }) => sum + amount, 0));
  });

  it('control: with fresh noise for each repeat the average comes within one of the truth', () => {
    const sample = gaussianSampler(400n);
    let sum = 0;
    for (let repeat = 0; repeat < 2000; repeat += 1) {
      const stream = wordStream(noiseKey(new Uint8Array(32), `repeat ${repeat}`, 'rows'));
      sum += 61 + sample(stream);
    }
    expect(Math.abs(sum / 2000 - 61)).toBeLessThan(1.5);
  });
});

describe('evading the budget', () => {
  it('every question that is not the same is charged, to all analysts and contracts together', async () => {
    const one = await opened(IMPORTANT, { noiseBudgetMicroRho: 2 * NOISE.microRhoPerRun });
    const { attacker } = one;
    expect(await answer(one, asking(attacker, ['region'], NOISED))).not.toBeTypeOf('string');
    expect(await answer(one, asking(attacker, ['age'], NOISED))).not.toBeTypeOf('string');
    expect(await answer(one, asking(attacker, ['region', 'age'], NOISED))).toBe('quota-exceeded');
    // A tenth of the price is more noise and another question, and still more than is left.
    const cheap = { ...NOISED, noise: { ...NOISE, microRhoPerRun: NOISE.microRhoPerRun / 10 } };
    expect(await answer(one, asking(attacker, ['region'], cheap))).toBe('quota-exceeded');
    expect(await answer(one, asking(attacker, ['region'], NOISED))).not.toBeTypeOf('string');
  });

  it('changed data is another question: one person less is asked for at full price', async () => {
    const one = await opened(IMPORTANT, { noiseBudgetMicroRho: NOISE.microRhoPerRun });
    const contract = asking(one.attacker, ['region'], NOISED);
    expect(await answer(one, contract)).not.toBeTypeOf('string');
    await one.rewrite(
      0,
      patientsOf(0).filter(({ person }) => person !== VICTIM.person),
    );
    expect(await answer(one, contract)).toBe('quota-exceeded');
  });

  it('control: with budget left the same two answers differ by fresh noise, not by the person', async () => {
    const one = await opened(IMPORTANT, { noiseBudgetMicroRho: 10 * NOISE.microRhoPerRun });
    const contract = asking(one.attacker, ['region'], NOISED);
    const before = await answer(one, contract);
    await one.rewrite(
      0,
      patientsOf(0).filter(({ person }) => person !== VICTIM.person),
    );
    const after = await answer(one, contract);
    const south = valueOf(before, ['south'], 1) - valueOf(after, ['south'], 1);
    // Nobody in the south changed, and yet its sum did: the difference carries no certain news.
    expect(south).not.toBe(0);
    expect(valueOf(before, ['north'], 1) - valueOf(after, ['north'], 1)).not.toBe(VICTIM.amount);
  });

  it('important data without noise is refused, and answered exactly where the grade is off (control)', async () => {
    const one = await opened(IMPORTANT);
    const exact = { ...EXACT, smallestCell: 10 };
    expect(await answer(one, asking(one.attacker, ['region'], exact))).toBe('noise-required');
    await one.close();
    const general = await opened({});
    expect(
      valueOf(await answer(general, asking(general.attacker, ['region'], exact)), ['north'], 0),
    ).toBe(61);
  });
});

describe('explain as an oracle', () => {
  const cast = makeCast();
  /** Everything that explain and mock runs read of a hospital. */
  const publishedWith = (patients: ReturnType<typeof patientsOf>): PublishedDataset => {
    const registration = DatasetRegistrationSchema.parse(registrationOf({}));
    return publishedOf(
      registration,
      // The version's bytes are keyed before they are published.
      { columns: [], rowCount: patients.length, versionMaterial: Buffer.from(csvOf(patients)) },
      { holder: HOLDERS[0]!, fingerprintSecret: new Uint8Array(32).fill(3) },
      '2026-01-01T00:00:00Z',
    );
  };
  const contract: Contract = {
    ...makeContract(cast),
    ...asking({ cast } as World['attacker'], ['region'], NOISED),
  };

  it('says the same with and without the victim, whatever is asked', () => {
    const [with_, without] = [
      publishedWith(patientsOf(0)),
      publishedWith(patientsOf(0).filter(({ person }) => person !== VICTIM.person)),
    ];
    const explained = (published: PublishedDataset, asked: Contract): unknown => [
      estimateSecureSum(asked, {}),
      planRefusals(asked, [published], [HOLDERS[0]!]).map(({ code, facts }) => [code, facts]),
    ];
    for (const disclosure of [NOISED, EXACT]) {
      const asked = { ...contract, disclosure };
      expect(explained(with_, asked)).toEqual(explained(without, asked));
    }
    expect(with_.rowsMax).toBe(without.rowsMax);
  });

  it('control: an exact row count would tell', () => {
    const counts = [patientsOf(0).length, patientsOf(0).length - 1];
    expect(new Set(counts).size).toBe(2);
    const buckets = counts.map((rows) => 2 ** Math.ceil(Math.log2(rows)));
    expect(new Set(buckets).size).toBe(1);
  });
});
