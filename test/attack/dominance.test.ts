/** A cell that is mostly one person's: its total, and who would learn that person's amount from it. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Contract } from '../../src/contracts/contract.ts';
import {
  answer,
  asking,
  EXACT,
  openWorld,
  patientsOf,
  valueOf,
  VICTIM,
  type World,
} from './support/patients.ts';

const RULES = { percent: 10, largest: 1, share: 80 };
const WITH: Contract['disclosure'] = { ...EXACT, dominance: RULES };

let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

/** In the north of the first hospital everybody but the victim has 1. */
async function opened(registration: object = {}): Promise<World> {
  const one = await openWorld(registration);
  world = one;
  await one.rewrite(
    0,
    patientsOf(0).map((patient) =>
      patient.region === 'north' && patient.person !== VICTIM.person
        ? { ...patient, amount: 1 }
        : patient,
    ),
  );
  return one;
}

/** What the other two hospitals have in the north: they know, or are told. */
const OTHERS = [1, 2]
  .flatMap(patientsOf)
  .filter(({ region }) => region === 'north')
  .reduce((sum, { amount }) => sum + amount, 0);

describe('two holders subtract their own parts from a total that one person dominates', () => {
  it('gets nothing: the sum is withheld, and another one of its line', async () => {
    const one = await opened();
    const rows = await answer(one, asking(one.attacker, ['region'], WITH));
    if (typeof rows === 'string') throw new Error(rows);
    expect(rows.find(([region]) => region === 'north')).toEqual(['north', 61, null]);
    expect(rows.filter((row) => row[2] === null)).toHaveLength(2);
    expect(rows.filter((row) => row[2] !== null)).toHaveLength(1);
  });

  it('control: without the terms the difference is the victim’s amount within 10%', async () => {
    const one = await opened();
    const rows = await answer(one, asking(one.attacker, ['region']));
    const estimate = valueOf(rows, ['north'], 1) - OTHERS;
    expect(Math.abs(estimate - VICTIM.amount) / VICTIM.amount).toBeLessThan(0.1);
  });

  it('a dataset that demands terms is not summed under milder ones', async () => {
    const one = await opened({ dominance: RULES });
    expect(await answer(one, asking(one.attacker, ['region']))).toBe('cell-too-small');
    const milder = { ...EXACT, dominance: { ...RULES, share: 90 } };
    expect(await answer(one, asking(one.attacker, ['region'], milder))).toBe('cell-too-small');
    const rows = await answer(one, asking(one.attacker, ['region'], WITH));
    expect(valueOf(rows, ['north'], 0)).toBe(61);
  });
});

describe('rounding', () => {
  it('shows multiples of the agreed bases and nothing finer', async () => {
    const one = await opened();
    const rounding = [
      { as: 'patients', base: '10' },
      { as: 'total', base: '1000' },
    ];
    const exact = await answer(one, asking(one.attacker, ['region']));
    const rows = await answer(one, asking(one.attacker, ['region'], { ...EXACT, rounding }));
    expect(valueOf(exact, ['north'], 0)).toBe(61);
    expect(valueOf(rows, ['north'], 0)).toBe(60);
    for (const region of ['north', 'south', 'east']) {
      const [full, rounded] = [valueOf(exact, [region], 1), valueOf(rows, [region], 1)];
      expect(rounded % 1000).toBe(0);
      expect(Math.abs(full - rounded)).toBeLessThanOrEqual(500);
    }
  });
});
