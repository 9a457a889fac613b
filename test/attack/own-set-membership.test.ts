/**
 * Membership by chosen inputs: an analyst that knows thirty of a holder's patients adds one more id
 * to them. Every threshold is passed; whether the number is thirty or thirty-one tells whether the
 * last one is a patient. Against the real gateway and domain.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContractBody } from '../../src/contracts/api.ts';
import { agreeOwnSet, clinicHolders, sharedOf, startMatch } from '../e2e/support/clinic.ts';
import { startWeir, type TestWeir } from '../e2e/support/weir.ts';
import { runOwnSet } from '../fixtures/own-set.ts';

const VICTIM = 'the victim';
const OUTSIDER = 'an outsider';
const KNOWN = Array.from({ length: 30 }, (_, i) => `patient ${i}`);
const PATIENTS = [VICTIM, ...KNOWN, ...Array.from({ length: 9 }, (_, i) => `another ${i}`)];
/** What each run costs by the draft's own terms, and what the holder lets go in all. */
const MICRO_RHO = 10_000;
const RUNS = 16;

let weir: TestWeir;
beforeAll(async () => {
  const domain = { noiseBudgetMicroRho: RUNS * MICRO_RHO };
  weir = await startWeir({ holders: clinicHolders(PATIENTS), config: { domain } });
}, 120_000);
afterAll(() => weir?.close());

const agree = (): Promise<ContractBody> => agreeOwnSet(weir, 64);

const numberOf = async (contract: ContractBody, ids: readonly string[]): Promise<number> =>
  sharedOf(await startMatch(weir.analyst, contract, ids).run);

const paddedWith = (target: string): string[] => [...KNOWN, target];
const saysMember = (number: number): boolean => number > KNOWN.length + 0.5;
const targetOf = (run: number): string => (run % 2 === 0 ? VICTIM : OUTSIDER);

describe('a known set padded around one target', () => {
  it('does not tell whether the target is there, and the budget ends the asking', async () => {
    const contract = await agree();
    const { noise } = await weir.analyst.explain(contract.contract.id, { items: ['32'] });
    const deviation = noise?.deviations[0]?.deviation ?? 0;
    // Averaged over every run that the budget pays for, half of them each way: still three persons.
    expect(deviation * Math.sqrt(4 / RUNS)).toBeGreaterThan(3);
    const numbers: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      numbers.push(await numberOf(contract, paddedWith(targetOf(run))));
    }
    const right = numbers.filter(
      (number, run) => saysMember(number) === (targetOf(run) === VICTIM),
    );
    // A guess is right in 53 of 100 runs: in all sixteen once in 25,000.
    expect(right.length).toBeLessThan(RUNS);
    // The same set again is fresh noise: one answer repeated would be no noise at all.
    expect(new Set(numbers.filter((_, run) => run % 2 === 0)).size).toBeGreaterThan(1);

    const code = { code: 'quota-exceeded' };
    await expect(numberOf(contract, paddedWith(VICTIM))).rejects.toMatchObject(code);
    // Nor does another contract with the same holder buy more.
    await expect(numberOf(await agree(), paddedWith(VICTIM))).rejects.toMatchObject(code);
  });

  it('control: the number as the holder counts it, before its noise, tells every time', async () => {
    const sizes = { holderItems: 64, analystItems: 32 };
    for (let run = 0; run < RUNS; run++) {
      const { shared } = await runOwnSet(PATIENTS, paddedWith(targetOf(run)), sizes);
      expect(shared).toBeGreaterThanOrEqual(3);
      expect(saysMember(shared)).toBe(targetOf(run) === VICTIM);
    }
  });
});
