/** Attacks that subtract two exact answers; each is refused, and works where the defence is off. */
import { afterEach, describe, expect, it } from 'vitest';
import { HOLDERS } from '../fixtures/contract.ts';
import {
  answer,
  asking,
  openWorld,
  patientsOf,
  valueOf,
  VICTIM,
  type World,
} from './support/patients.ts';

const DEFENCE_OFF = { privacyUnit: undefined };
let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});
const opened = async (...parts: Parameters<typeof openWorld>): Promise<World> => {
  world = await openWorld(...parts);
  return world;
};

describe('one withdrawal of consent between two runs', () => {
  const withdraw = (one: World): Promise<void> =>
    one.rewrite(
      0,
      patientsOf(0).map((patient) =>
        patient.person === VICTIM.person ? { ...patient, consent: 'no' } : patient,
      ),
    );

  it('shows nobody: the second answer is refused', async () => {
    const one = await opened();
    const contract = asking(one.attacker, ['region']);
    expect(valueOf(await answer(one, contract), ['north'], 0)).toBe(61);
    // Unchanged data may be asked for again.
    expect(valueOf(await answer(one, contract), ['north'], 0)).toBe(61);
    await withdraw(one);
    expect(await answer(one, contract)).toBe('cell-too-small');
  });

  it('control: without the check the difference is the victim’s amount', async () => {
    const one = await opened(DEFENCE_OFF);
    const contract = asking(one.attacker, ['region']);
    const before = await answer(one, contract);
    await withdraw(one);
    const after = await answer(one, contract);
    expect(valueOf(before, ['north'], 1) - valueOf(after, ['north'], 1)).toBe(VICTIM.amount);
  });
});

describe('a tracker: two analysts, two partitions, one person more in between', () => {
  const without = patientsOf(0).filter(({ person }) => person !== VICTIM.person);

  it('the finer table’s sums are compared with the coarser one’s cells', async () => {
    const one = await opened();
    const coarse = asking(one.attacker, ['region']);
    const fine = asking(one.attacker, ['region', 'age']);
    expect(valueOf(await answer(one, coarse), ['north'], 0)).toBe(61);
    await one.rewrite(0, without);
    expect(await answer(one, fine)).toBe('cell-too-small');
  });

  it('and the other way round', async () => {
    const one = await opened();
    expect(
      valueOf(await answer(one, asking(one.attacker, ['region', 'age'])), ['north', 'old'], 0),
    ).toBe(31);
    await one.rewrite(0, without);
    expect(await answer(one, asking(one.attacker, ['region']))).toBe('cell-too-small');
  });

  it('control: without the check the sums of the finer table give the victim', async () => {
    const one = await opened(DEFENCE_OFF);
    const coarse = await answer(one, asking(one.attacker, ['region']));
    await one.rewrite(0, without);
    const fine = await answer(one, asking(one.attacker, ['region', 'age']));
    const north = valueOf(fine, ['north', 'young'], 1) + valueOf(fine, ['north', 'old'], 1);
    expect(valueOf(coarse, ['north'], 1) - north).toBe(VICTIM.amount);
  });

  it('a partition that no holder lists is refused before anything is read', async () => {
    const one = await opened();
    expect(await answer(one, asking(one.attacker, ['age']))).toBe('column-usage-forbids');
    await one.close();
    const listed = await opened({ partitions: [['age']] });
    expect(valueOf(await answer(listed, asking(listed.attacker, ['age'])), ['old'], 0)).toBe(91);
  });
});

describe('the same cells with one hospital less', () => {
  const [first, second] = [HOLDERS[0]!, HOLDERS[1]!];
  const pair = { minimumParties: 2 };

  it('are refused: the difference would be what that hospital has', async () => {
    const one = await opened();
    const contract = asking(one.attacker, ['region'], undefined, pair);
    expect(valueOf(await answer(one, contract), ['north'], 0)).toBe(61);
    expect(await answer(one, contract, [first, second])).toBe('cell-too-small');
  });

  it('control: without the check the difference is its part', async () => {
    const one = await opened(DEFENCE_OFF);
    const contract = asking(one.attacker, ['region'], undefined, pair);
    const all = await answer(one, contract);
    const two = await answer(one, contract, [first, second]);
    const part = patientsOf(2).filter(({ region }) => region === 'north');
    expect(valueOf(all, ['north'], 1) - valueOf(two, ['north'], 1)).toBe(
      part.reduce((sum, { amount }) => sum + amount, 0),
    );
  });
});

describe('a total against one withheld cell', () => {
  // Two patients of the east in all: under the threshold.
  const few = (index: number): ReturnType<typeof patientsOf> =>
    patientsOf(index).filter(({ region, person }) => region !== 'east' || person === `p${index}-2`);
  const total = [0, 1, 2].flatMap(few).reduce((sum, { amount }) => sum + amount, 0);
  const east = [0, 1].flatMap(few).filter(({ region }) => region === 'east');
  const fewOnly = async (one: World): Promise<void> => {
    for (const index of [0, 1, 2]) {
      const rows = few(index);
      await one.rewrite(index, index === 2 ? rows.filter(({ region }) => region !== 'east') : rows);
    }
  };
  const known = total - few(2).filter(({ region }) => region === 'east')[0]!.amount;
  const remainder = (rows: Awaited<ReturnType<typeof answer>>): number => {
    if (typeof rows === 'string') throw new Error(rows);
    return known - rows.reduce((sum, row) => sum + Number(row[2]), 0);
  };

  it('does not give it back: another cell is withheld with it', async () => {
    const one = await opened();
    await fewOnly(one);
    const rows = await answer(one, asking(one.attacker, ['region']));
    expect(rows).toHaveLength(1);
    expect(remainder(rows)).not.toBe(east.reduce((sum, { amount }) => sum + amount, 0));
  });

  it('control: with the threshold alone it does', async () => {
    const one = await opened(DEFENCE_OFF);
    await fewOnly(one);
    const threshold = { smallestCell: 3, smallestContributors: 1 };
    const rows = await answer(one, asking(one.attacker, ['region'], threshold));
    expect(rows).toHaveLength(2);
    expect(remainder(rows)).toBe(east.reduce((sum, { amount }) => sum + amount, 0));
  });
});

describe('one person with many rows', () => {
  const alone = async (one: World): Promise<void> => {
    for (const index of [0, 1, 2]) {
      const others = patientsOf(index).filter(({ region }) => region !== 'east');
      const stays = Array.from({ length: 5 }, () => ({ ...VICTIM, region: 'east' }));
      await one.rewrite(index, index === 0 ? [...others, ...stays] : others);
    }
  };
  const labels = (rows: Awaited<ReturnType<typeof answer>>): unknown[] =>
    typeof rows === 'string' ? [rows] : rows.map(([region]) => region);

  it('is one person to the threshold', async () => {
    const one = await opened();
    await alone(one);
    const rows = labels(await answer(one, asking(one.attacker, ['region'])));
    expect(rows).toHaveLength(1);
    expect(rows).not.toContain('east');
  });

  it('control: where rows are counted the cell is let out', async () => {
    const one = await opened(DEFENCE_OFF);
    await alone(one);
    const rows = await answer(one, asking(one.attacker, ['region']));
    expect(valueOf(rows, ['east'], 1)).toBe(5 * VICTIM.amount);
  });
});
