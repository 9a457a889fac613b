import { describe, expect, it } from 'vitest';
import { settleElements } from '../../protocols/psi/vole/settled-elements.ts';
import { psi } from '../../src/computations/psi/psi.ts';
import { runVoleThread } from '../../src/computations/psi/vole-thread.ts';
import type { MatchPlan } from '../../src/contracts/plan.ts';
import { checkContract } from '../../src/contracts/check-contract.ts';
import { CapacityError } from '../../src/errors.ts';
import { openPool } from '../../src/pool/piscina-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { systemRandom } from '../../src/system/random.ts';
import { EAST, MATCHERS, matchContract, WEST } from '../fixtures/match.ts';
import { digestsOf, linkedChannels } from '../fixtures/psi.ts';
import { VOLE_PARAMS, texts } from '../fixtures/psi-vole.ts';

const sized = (rowsMax: number, plan: Partial<MatchPlan>) =>
  matchContract(plan, {
    datasets: MATCHERS.map((holder) => ({
      holder,
      dataset: 'departures',
      version: 'any',
      rowsMax,
    })),
  });
const estimateOf = (rowsMax: number, plan: Partial<MatchPlan>) =>
  psi.estimate(sized(rowsMax, plan), {});

describe('the engine of a match', () => {
  it.each([
    [1024, 'psi-ecdh/4'],
    [65_536, 'psi-vole/2'],
    [2 ** 20, 'psi-vole/2'],
    [2 ** 24, 'psi-vole/2'],
    // Its elements would not fit in memory.
    [2 ** 25, 'psi-ecdh/4'],
  ])('that reveals keys of %i rows is the one of less compute', (rowsMax, engine) => {
    expect(estimateOf(rowsMax, { ask: 'intersection' }).engine).toBe(engine);
    expect(estimateOf(rowsMax, { ask: 'intersection', engine: 'auto' }).engine).toBe(engine);
  });

  it('is charged, and shown beside the others', () => {
    const { units, engines = [] } = estimateOf(2 ** 20, { ask: 'intersection' });
    expect(engines.map(({ engine }) => engine)).toEqual(['psi-ecdh/4', 'psi-vole/2', 'psi-oprf/1']);
    const [ecdh, vole] = engines;
    expect(units['compute-milli-units']).toBe(vole?.computeMilliUnits);
    expect(units.bytes).toBe(vole?.bytes);
    expect(ecdh?.computeMilliUnits).toBeGreaterThan(vole?.computeMilliUnits ?? 0n);
    expect(Number(vole?.bytes)).toBeLessThan(32e6);
    expect(Number(ecdh?.bytes)).toBe(80 * 2 ** 20);
  });

  it('keeps a filter where sizes are far apart, runs repeat, and the small side matches', () => {
    const chosen = (small: number, large: number, runsTotal: number, receiver = WEST) => {
      const contract = matchContract({ ask: 'intersection', receiver });
      const datasets = contract.datasets.map((own) => ({
        ...own,
        rowsMax: own.holder === WEST ? small : large,
      }));
      const limits = { ...contract.limits, runsTotal };
      return psi.estimate({ ...contract, datasets, limits }, {});
    };
    const kept = chosen(1024, 2 ** 18, 100);
    expect(kept.engine).toBe('psi-oprf/1');
    expect(kept.units['padded-items']).toBe(1024n);
    // The filter's 6.5 bytes an item over 100 runs, and 64 for each item that is asked.
    expect(kept.units.bytes).toBe(BigInt(Math.ceil((6.5 * 2 ** 18) / 100) + 64 * 1024));
    expect(kept.learns.some(({ en }) => en.includes('filter (at most 1703936 bytes)'))).toBe(true);
    expect(chosen(1024, 1024 * 16, 100).engine).toBe('psi-oprf/1');
    expect(chosen(1024, 1024 * 8, 100).engine).not.toBe('psi-oprf/1');
    expect(chosen(1024, 2 ** 18, 1).engine).not.toBe('psi-oprf/1');
    expect(chosen(1024, 2 ** 18, 100, EAST).engine).not.toBe('psi-oprf/1');
  });

  it('is the one the contract pins', () => {
    const pinned = (engine: MatchPlan['engine'], rowsMax: number) =>
      estimateOf(rowsMax, { ask: 'intersection', engine }).engine;
    expect(pinned('ecdh', 2 ** 20)).toBe('psi-ecdh/4');
    expect(pinned('vole', 16)).toBe('psi-vole/2');
    expect(pinned('vole-without-lpn', 2 ** 20)).toBe('psi-vole-ot/1');
    expect(pinned('unbalanced', 16)).toBe('psi-oprf/1');
    expect(() => pinned('vole', 2 ** 25)).toThrow(/cannot answer/);
  });

  it('of a number is always ECDH, and a contract that pins another is refused', () => {
    expect(estimateOf(2 ** 20, { ask: 'cardinality' }).engine).toBe('psi-ecdh/4');
    expect(estimateOf(2 ** 20, { ask: 'cardinality' }).engines).toHaveLength(1);
    expect(() => checkContract(sized(1024, { ask: 'intersection', engine: 'vole' }))).not.toThrow();
    for (const engine of ['vole', 'vole-without-lpn', 'unbalanced'] as const) {
      expect(() => checkContract(sized(1024, { engine }))).toThrow(
        expect.objectContaining({ code: 'malformed-message' }),
      );
    }
  });
});

const random = (count: number): Uint8Array => systemRandom.bytes(count);
const settled = (from: number, to: number) =>
  settleElements(VOLE_PARAMS, random, digestsOf(texts(from, to)));

describe('threads of a match by VOLE', () => {
  const withPool = async (work: (pool: Pool) => Promise<void>): Promise<void> => {
    const pool = openPool({ threadsMax: 1 });
    try {
      await work(pool);
    } finally {
      await pool.close();
    }
  };
  const threadOf = (pool: Pool, channel: ReturnType<typeof linkedChannels>['sender']) => ({
    pool,
    channel: channel as never,
    signal: new AbortController().signal,
    onProgress: () => {},
  });

  it('never wait for each other, however few threads there are for tasks', async () => {
    await withPool(async (pool) => {
      const ends = linkedChannels();
      const [sender, receiver] = await Promise.all([
        runVoleThread(threadOf(pool, ends.sender), 'sender', VOLE_PARAMS, await settled(0, 90)),
        runVoleThread(
          threadOf(pool, ends.receiver),
          'receiver',
          VOLE_PARAMS,
          await settled(60, 150),
        ),
      ]);
      expect(receiver.numbers).toEqual(Uint32Array.from({ length: 30 }, (_, i) => i));
      expect(sender).toEqual({ numbers: undefined, peerItems: 90 });
    });
  });

  it('end with their channel, and what a peer sends wrong ends them with its code', async () => {
    await withPool(async (pool) => {
      const gone = linkedChannels();
      const run = runVoleThread(
        threadOf(pool, gone.sender),
        'sender',
        VOLE_PARAMS,
        await settled(0, 5),
      );
      gone.close(new Error('the peer left'));
      await expect(run).rejects.toThrow('the peer left');
      const ends = linkedChannels();
      await ends.receiver.send('psi.vole-hello', new Uint8Array(3));
      await expect(
        runVoleThread(threadOf(pool, ends.sender), 'sender', VOLE_PARAMS, await settled(0, 5)),
      ).rejects.toMatchObject({ code: 'length-wrong' });
    });
  });

  it('are so many and no more: the next is refused, not kept waiting', async () => {
    await withPool(async (pool) => {
      const ends = Array.from({ length: 9 }, () => linkedChannels());
      const runs = ends.map(async ({ sender }) =>
        runVoleThread(threadOf(pool, sender), 'sender', VOLE_PARAMS, await settled(0, 5)),
      );
      const outcomes = Promise.allSettled(runs);
      await expect(Promise.race(runs)).rejects.toBeInstanceOf(CapacityError);
      for (const { close } of ends) close(new Error('enough'));
      const refused = (await outcomes).filter(
        ({ status, ...rest }) =>
          status === 'rejected' && 'reason' in rest && rest.reason instanceof CapacityError,
      );
      expect(refused).toHaveLength(1);
    });
  });
});
