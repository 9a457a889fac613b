/** What a finished run shows: by what its contract says, never by what the gateway made of the result. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openedRun, type ReleaseOpeners } from '../../src/cli/sealing.ts';
import type { FinishedRun } from '../../src/client/analyst.ts';
import { openMatch } from '../../src/client/match-opener.ts';
import { releaseKindOf } from '../../src/client/release-kind.ts';
import { verifiedDescriptor } from '../../src/client/released-descriptor.ts';
import { openWeightedSum } from '../../src/client/weights-opener.ts';
import type { Contract } from '../../src/contracts/contract.ts';
import type { Release } from '../../src/computations/computation.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { makeCast, makeContract } from '../fixtures/contract.ts';
import { EAST, MATCHERS, WEST, matchContract } from '../fixtures/match.ts';
import { FIXED_CASE, testPool } from '../support/secure-sum-run.ts';
import {
  makeRecipient,
  openWith,
  prepareSealed,
  runSealed,
  type Recipient,
} from '../support/sealed-sum-run.ts';

let pool: Pool;
let recipient: Recipient;
beforeAll(async () => {
  pool = testPool();
  recipient = await makeRecipient(pool);
});
afterAll(() => pool.close());

/** As a gateway could encrypt it to any recipient. */
const MADE_UP: Release = {
  columns: ['hour', 'flights'],
  rows: [['7', 1000]],
  suppressedCells: 0,
  releasedCells: 1,
};

function finished(release: Release): FinishedRun {
  return { result: { release } } as unknown as FinishedRun;
}

/** The real openers, with the keys of this test. */
function openersOf(prepared: ReturnType<typeof prepareSealed>): ReleaseOpeners {
  const { requestHash, runId, contractHash } = prepared.descriptor;
  return {
    openSealed: (_contract, run) => openWith(pool, prepared, recipient, run.result.release),
    openMatch: (contract, run) =>
      openMatch(run.result.release, { runId, contractHash, requestHash }, contract, recipient.keys),
    openWeighted: (contract, run, weighingKey) =>
      openWeightedSum(run.result.release, {
        contract,
        requestHash,
        recipient: recipient.keys,
        weighingKey,
        open: () => Promise.reject(new Error('nothing is to be opened')),
      }),
  };
}

/** A copy: whoever opens with it wipes it. */
const key = (): Recipient['sealingKey'] => structuredClone(recipient.sealingKey);

describe('the descriptor that comes with a sealed result', () => {
  it('is of holders of the contract, each once, and of enough of them', () => {
    const { contract, descriptor } = prepareSealed(FIXED_CASE, recipient);
    const { parties } = descriptor;
    const least = parties.slice(0, contract.minimumParties);
    const told = (changed: typeof parties) => (): unknown =>
      verifiedDescriptor(JSON.stringify({ ...descriptor, parties: changed }), contract, undefined);
    const analyst = { ...parties[0]!, id: contract.analyst.id };
    for (const changed of [[...parties, parties[0]!], [...least, analyst], least.slice(1)]) {
      expect(told(changed)).toThrow(
        expect.objectContaining({
          code: 'descriptor-mismatch',
          facts: expect.objectContaining({ rule: 'parties' }),
        }),
      );
    }
    expect(told(least)).not.toThrow();
  });
});

describe('a finished run', () => {
  it('of a sealed sum shows the sums that its holders sealed', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const { release } = await runSealed(FIXED_CASE, prepared, pool);
    if (release.status === 'rejected') throw release.reason;
    const run = finished(release.value);
    const shown = await openedRun(openersOf(prepared), prepared.contract, run, key);
    expect(shown.result.release.releasedCells).toBeGreaterThan(3);
  });

  it('shows no table that a gateway put in the place of a sealed one', async () => {
    const prepared = prepareSealed(FIXED_CASE, recipient);
    const openers = openersOf(prepared);
    const sealed = openedRun(openers, prepared.contract, finished(MADE_UP), key);
    await expect(sealed).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    const matched = matchContract(
      { ask: 'sum', receiver: WEST, sum: { as: 'total', column: 'delay' } },
      { bounds: [{ column: 'delay', minimum: '-500', maximum: '500', scale: 0 }] },
      makeCast(MATCHERS),
    );
    const shared = openedRun(openers, matched, finished(MADE_UP), key);
    await expect(shared).rejects.toMatchObject({ code: 'transcript-mismatch' });
    const weighted: Contract = {
      ...prepared.contract,
      protocol: {
        name: 'secret-weights',
        weighingKeyHash: prepared.descriptor.contractHash,
        weights: { maximum: '10', scale: 0 },
      },
    };
    const weighed = openedRun(openers, weighted, finished(MADE_UP), key);
    await expect(weighed).rejects.toMatchObject({ code: 'descriptor-mismatch' });
    // The control: where a table is due, the gateway has it, and it is shown as it is.
    const plain = await openedRun(openers, makeContract(makeCast()), finished(MADE_UP), key);
    expect(plain.result.release).toEqual(MADE_UP);
  });

  it('is opened wherever its contract seals it', () => {
    const match = (plan: object): Contract => matchContract(plan, {}, makeCast(MATCHERS));
    expect(releaseKindOf(match({ ask: 'cardinality', receiver: EAST }))).toBe('table');
    expect(releaseKindOf(match({ ask: 'intersection', receiver: EAST }))).toBe('match');
    const group = { as: 'band', column: 'band' };
    expect(releaseKindOf(match({ ask: 'cardinality', receiver: EAST, group }))).toBe('match');
  });
});
