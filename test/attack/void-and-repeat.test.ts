/**
 * A gateway that voids runs once it has what it came for and asks again: what left is remembered by
 * the domains, not by the gateway's ledger.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Release } from '../../src/computations/computation.ts';
import { secureSum } from '../../src/computations/secure-sum/secure-sum.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import type { Contract, SignedContract } from '../../src/contracts/contract.ts';
import { WeirError } from '../../src/errors.ts';
import type { RunChannel } from '../../src/link/channel.ts';
import { HOLDERS, makeContract } from '../fixtures/contract.ts';
import { askFor, asked, voided } from '../e2e/support/attack-case.ts';
import {
  answer,
  asking,
  NOISE,
  openWorld,
  patientsOf,
  valueOf,
  VICTIM,
} from './support/patients.ts';
import type { World } from './support/patients.ts';

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

const withdraw = (one: World): Promise<void> =>
  one.rewrite(
    0,
    patientsOf(0).filter(({ person }) => person !== VICTIM.person),
  );

/**
 * A run that the gateway voids: after the answer is in its hands, or before it takes the message of
 * the kind `until` of the domain that has the victim.
 */
async function voidedRun(
  { attacker }: World,
  contract: Partial<Contract> | SignedContract,
  until?: string,
): Promise<Release['rows'] | string> {
  await attacker.linked();
  const { cast } = attacker;
  const ask = 'signatures' in contract ? asked(cast, contract) : askFor(cast, contract);
  const before = attacker.endCounts();
  let answered = false;
  try {
    const { descriptor, signatures, channel } = await attacker.agreed(ask);
    await Promise.all(HOLDERS.map((party) => attacker.start(party, ask, signatures)));
    const impatient: RunChannel = {
      ...channel,
      self: channel.self,
      signal: channel.signal,
      send: (...parts) => channel.send(...parts),
      receive: async (from, kind) => {
        const payload = await channel.receive(from, kind);
        // The victim's own domain: another's may be there before this one has come so far.
        if (kind === until && from === HOLDERS[0]) channel.abort(voided());
        return payload;
      },
    };
    try {
      const release = await secureSum.runGateway({
        contract: ask.contract.contract,
        descriptor,
        channel: impatient,
        pool: attacker.pool,
        progress: () => undefined,
      });
      answered = true;
      return release.rows;
    } finally {
      channel.abort(voided());
      // A domain whose part is done has nothing to end.
      if (!answered) await attacker.ends(before);
    }
  } catch (error) {
    if (error instanceof WeirError) return error.code;
    throw error;
  }
}

describe('a gateway that voids and repeats', () => {
  it('holds the answer, voids the run, and gets none that one withdrawal tells apart', async () => {
    const one = await opened();
    const contract = asking(one.attacker, ['region']);
    expect(valueOf(await voidedRun(one, contract), ['north'], 0)).toBe(61);
    await withdraw(one);
    expect(await answer(one, contract)).toBe('cell-too-small');
  });

  it('voids as soon as the suppression maps are in: the cells count as released', async () => {
    const one = await opened();
    const contract = asking(one.attacker, ['region']);
    expect(await voidedRun(one, contract, KINDS.map)).toBe('run-cancelled');
    await withdraw(one);
    expect(await answer(one, contract)).toBe('cell-too-small');
  });

  it('control: without the memory of what left, a voided answer and the next one give the victim', async () => {
    const one = await opened(DEFENCE_OFF);
    const contract = asking(one.attacker, ['region']);
    const first = await voidedRun(one, contract);
    await withdraw(one);
    const second = await answer(one, contract);
    expect(valueOf(first, ['north'], 1) - valueOf(second, ['north'], 1)).toBe(VICTIM.amount);
  });

  it.each([
    {
      runsPerDay: 2,
      third: 'contract-counter-exhausted',
      what: 'beyond the contract’s runs: domains count starts',
    },
    { runsPerDay: 3, third: 'run-cancelled', what: 'within them (control)' },
  ])('repeats and voids $what', async ({ runsPerDay, third }) => {
    const one = await opened();
    const { limits } = makeContract(one.attacker.cast);
    const terms = asking(one.attacker, ['region'], undefined, {
      limits: { ...limits, runsPerDay },
    });
    const { contract } = askFor(one.attacker.cast, terms);
    expect(await voidedRun(one, contract, KINDS.counts)).toBe('run-cancelled');
    expect(await voidedRun(one, contract, KINDS.counts)).toBe('run-cancelled');
    expect(await voidedRun(one, contract, KINDS.counts)).toBe(third);
  });

  it('voids noised answers and repeats: there is nothing to average', async () => {
    const noised = { smallestCell: 10, smallestContributors: 1, noise: NOISE };
    const one = await opened({ grade: 'important' }, { noiseBudgetMicroRho: NOISE.microRhoPerRun });
    const contract = asking(one.attacker, ['region'], noised);
    const first = await voidedRun(one, contract);
    expect(first).not.toBeTypeOf('string');
    expect(await voidedRun(one, contract)).toEqual(first);
    expect(await answer(one, contract)).toEqual(first);
    // Another question finds no budget left, though no run was ever posted.
    expect(await answer(one, asking(one.attacker, ['age'], noised))).toBe('quota-exceeded');
  });
});
