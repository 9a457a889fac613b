/**
 * Secret weights that single out one cell. Nobody can see that they do, so what they open is held to
 * everything that a release of each cell is held to; where that is off, they open the victim's cell.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openWeightedSum } from '../../src/client/weights-opener.ts';
import {
  encryptedWeights,
  weightedShape,
  weighingKeyHash,
} from '../../src/client/weights-sender.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import { WeirError } from '../../src/errors.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { encodeBase64url } from '../../src/system/base64url.ts';
import { createExchangeKeys } from '../../src/system/exchange-keys.ts';
import { systemRandom } from '../../src/system/random.ts';
import type { SealingKeys } from '../../protocols/homomorphic/keys.ts';
import { asked, askFor } from '../e2e/support/attack-case.ts';
import { ANALYST } from '../fixtures/contract.ts';
import {
  asking,
  EXACT,
  openWorld,
  patientsOf,
  REGIONS,
  VICTIM,
  type World,
} from './support/patients.ts';

const NO_HASH = '0'.repeat(64);
const recipient = createExchangeKeys(systemRandom);
let pool: Pool;
let key: SealingKeys;
let world: World | undefined;
beforeAll(async () => {
  pool = openPool({ threadsMax: 1 });
  key = await pool.run<SealingKeys>('weights', 'weighingKeysTask', { residues: 1 });
});
afterAll(() => pool.close());
afterEach(async () => {
  await world?.close();
  world = undefined;
});
const opened = async (...parts: Parameters<typeof openWorld>): Promise<World> => {
  world = await openWorld(...parts);
  return world;
};

/** Two patients of the east in all, at the first two hospitals; the victim is in the north. */
const few = (index: number): ReturnType<typeof patientsOf> =>
  patientsOf(index).filter(
    ({ region, person }) => region !== 'east' || (index < 2 && person === `p${index}-2`),
  );
const without = few(0).filter(({ person }) => person !== VICTIM.person);
const sumOf = (region: string): number =>
  [0, 1, 2]
    .flatMap(few)
    .filter((patient) => patient.region === region)
    .reduce((sum, { amount }) => sum + amount, 0);

async function fewOnly(one: World): Promise<void> {
  for (const index of [0, 1, 2]) await one.rewrite(index, few(index));
}

function contractOf(one: World): Contract {
  const named = (hash: string): Contract =>
    askFor(one.attacker.cast, {
      ...asking(one.attacker, ['region'], EXACT),
      protocol: {
        name: 'secret-weights',
        weighingKeyHash: hash as never,
        weights: { maximum: '1', scale: 0 },
      },
      recipient: { id: ANALYST, encryptionKey: encodeBase64url(recipient.publicKey) },
    }).contract.contract;
  const { residues } = weightedShape(named(NO_HASH));
  return named(weighingKeyHash(key.publicKeys, residues));
}

/** The attack: weight 1 for the sum of one region, 0 for everything else; or the refusal's code. */
async function single(one: World, region: string): Promise<Release['rows'][number] | string> {
  const { attacker } = one;
  const contract = contractOf(one);
  const { base } = weightedShape(contract);
  const weights = new BigInt64Array(2 * base.cells);
  weights[base.cells + REGIONS.indexOf(region)] = 1n;
  const attachment = await encryptedWeights(contract, key.publicKeys, weights, (task) =>
    pool.run('weights', 'encryptWeightsTask', task, { transfer: [task.weights.buffer] }),
  );
  await attacker.linked();
  try {
    const ask = asked(attacker.cast, signedBy(one, contract), attachment);
    const { release } = await attacker.runHonestly(ask);
    const table = await openWeightedSum(release, {
      contract,
      recipient,
      weighingKey: key,
      open: (task) =>
        pool.run('weights', 'openWeightedTask', task, { transfer: [task.secretKey.buffer] }),
    });
    return table.rows[1] ?? 'no row';
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
}

function signedBy(one: World, contract: Contract): ReturnType<typeof askFor>['contract'] {
  return askFor(one.attacker.cast, contract).contract;
}

describe('a one-hot encrypted weight vector', () => {
  it('opens a cell that passed control, nothing of one that did not, and no later difference', async () => {
    const one = await opened();
    await fewOnly(one);
    // The east has two patients; one more cell is withheld with it, so that no total gives it back.
    const shown: string[] = [];
    for (const region of REGIONS) {
      const row = await single(one, region);
      if (typeof row === 'string') throw new Error(row);
      const [, sum, counted, withheld] = row;
      // The analyst is told how many cells count, not more.
      expect([counted, withheld]).toEqual([1, 3]);
      if (sum === '0') continue;
      expect(sum).toBe(String(sumOf(region)));
      shown.push(region);
    }
    expect(shown).toHaveLength(1);
    expect(shown).not.toContain('east');
    // One person less in what is shown: the second answer is refused, whatever the weights are.
    const [left = ''] = shown;
    const leaving = few(0).find(({ region }) => region === left);
    await one.rewrite(
      0,
      few(0).filter(({ person }) => person !== leaving?.person),
    );
    expect(await single(one, left)).toBe('cell-too-small');
  });

  it('control: with the defences off it opens the two patients’ cell, and the victim by subtraction', async () => {
    const off = { privacyUnit: undefined };
    const one = await opened(off, {}, { stages: [] });
    await fewOnly(one);
    expect(await single(one, 'east')).toEqual(['total', String(sumOf('east')), 4, 0]);
    const before = await single(one, 'north');
    await one.rewrite(0, without);
    const after = await single(one, 'north');
    expect(Number(before[1]) - Number(after[1])).toBe(VICTIM.amount);
  });
});
