import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { noblePrimitives } from '../../protocols/common/noble-primitives.ts';
import {
  commitTo,
  degreeOf,
  graphSeed,
  neighboursOf,
} from '../../protocols/secure-sum/neighbours.ts';
import { KINDS } from '../../src/computations/secure-sum/wire.ts';
import type { Tamper } from '../support/memory-network.ts';
import { prepare, runAll, testPool, type RunCase } from '../support/secure-sum-run.ts';

const pool = testPool();
afterAll(() => pool.close());

function graphOf(parties: number, seed: Uint8Array): readonly (readonly number[])[] {
  return Array.from({ length: parties }, (_, index) =>
    neighboursOf(noblePrimitives.stream, parties, index, seed),
  );
}

/** Parties reachable from the first honest one over honest ones. */
function reached(graph: readonly (readonly number[])[], isHonest: readonly boolean[]): number {
  const seen = new Set([isHonest.indexOf(true)]);
  for (const party of seen) {
    for (const next of graph[party] ?? []) if (isHonest[next] === true) seen.add(next);
  }
  return seen.size;
}

const seedArbitrary = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('the neighbour graph', () => {
  it('is complete up to 64 parties, and of the stated degree beyond', () => {
    expect([2, 3, 64].map(degreeOf)).toEqual([1, 2, 63]);
    for (const parties of [65, 100, 256]) {
      const degree = degreeOf(parties);
      expect(degree % 2).toBe(0);
      expect((parties ** 2 / 2) * 2 ** -degree).toBeLessThanOrEqual(2 ** -40);
      // One step less would not do.
      expect((parties ** 2 / 2) * 2 ** -(degree - 2)).toBeGreaterThan(2 ** -40);
    }
  });

  it('is symmetric and regular, depends on the seed, and hangs together without half the parties', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 65, max: 256 }),
        seedArbitrary,
        fc.nat(),
        (parties, seed, salt) => {
          const graph = graphOf(parties, seed);
          for (const [party, neighbours] of graph.entries()) {
            expect(neighbours.length).toBe(degreeOf(parties));
            expect(neighbours).not.toContain(party);
            for (const next of neighbours) expect(graph[next]).toContain(party);
          }
          const isHonest = graph.map(
            (_, index) => ((index * 2_654_435_761 + salt) >>> 7) % 2 === 0,
          );
          const honest = isHonest.filter(Boolean).length;
          if (honest > 0) expect(reached(graph, isHonest)).toBe(honest);
          const other = seed.map((byte) => byte ^ 1);
          expect(graphOf(parties, other)).not.toEqual(graph);
        },
      ),
      { numRuns: 4 },
    );
  });

  it('control: a graph cut in two is seen as such', () => {
    const graph = Array.from({ length: 70 }, (_, party) => [
      party < 35 ? (party + 1) % 35 : 35 + ((party + 1) % 35),
    ]);
    expect(
      reached(
        graph,
        graph.map(() => true),
      ),
    ).toBe(35);
  });

  it('is refused without a seed, and a nonce that was not committed to is refused', () => {
    expect(() => neighboursOf(noblePrimitives.stream, 65, 0, undefined)).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    const run = new Uint8Array(32).fill(1);
    const nonces = [1, 2, 3].map((fill) => new Uint8Array(32).fill(fill));
    const { hash } = noblePrimitives;
    const commitments = nonces.map((nonce, index) => commitTo(hash, run, index, nonce));
    expect(graphSeed(hash, run, commitments, nonces).length).toBe(32);
    const copied = commitments.with(1, commitments[0]!);
    expect(() => graphSeed(hash, run, copied, nonces.with(1, nonces[0]!))).toThrow(
      expect.objectContaining({ code: 'transcript-mismatch' }),
    );
  });
});

describe('a run of 66 parties', () => {
  const run: RunCase = {
    groups: [['a']],
    columns: [{ minimum: -5n, maximum: 5n, scale: 0, squares: true }],
    parts: Array.from({ length: 66 }, (_, party) => [
      { cell: 0, values: [BigInt((party % 11) - 5)] },
      ...(party < 2 ? [{ cell: 1, values: [1n] }] : []),
    ]),
    smallestCell: 3,
    smallestContributors: 3,
    seed: 3,
  };
  const prepared = prepare(run);

  it('gives the sum of all', async () => {
    const { release } = await runAll(run, prepared, pool);
    if (release.status !== 'fulfilled') throw release.reason;
    const values = run.parts.map((_, party) => (party % 11) - 5);
    const sum = values.reduce((total, value) => total + value, 0);
    expect(release.value.rows.map((row) => row.slice(0, 3))).toEqual([['a', 66, `${sum}`]]);
    expect(release.value.suppressedCells).toBe(1);
  });

  it('is aborted by a party whose commitment was replaced, or that is shown another nonce', async () => {
    const replacing =
      (kind: string): Tamper =>
      (frame) =>
        frame.kind === kind && frame.to === 'holder-b'
          ? [{ ...frame, payload: frame.payload.map((byte, at) => (at > 40 ? byte ^ 1 : byte)) }]
          : [frame];
    for (const kind of [KINDS.commitments, KINDS.nonces]) {
      const { domains, network } = await runAll(run, prepared, pool, replacing(kind));
      expect(domains[1]).toMatchObject({ reason: { code: 'transcript-mismatch' } });
      const sent = network.transcript.filter(({ from }) => from === 'holder-b');
      expect(sent.some(({ kind: each }) => each === KINDS.counts)).toBe(false);
    }
  });
});
