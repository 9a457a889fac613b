import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noiseKey, wordStream, type WordStream } from '../../src/disclosure/noise-stream.ts';
import {
  discreteGaussian,
  discreteLaplace,
  floorSqrt,
  gaussianSampler,
} from '../../src/disclosure/sampler.ts';
import { chiSquare } from '../support/chi-square.ts';

const seeded = (seed: string): WordStream =>
  wordStream(new Uint8Array(createHash('sha256').update(seed).digest()));
const draw = (count: number, one: () => number): number[] => Array.from({ length: count }, one);
const SAMPLES = 60_000;
/** A true sampler fails once in ten million runs, and the seeds are fixed. */
const TAIL_MIN = 1e-7;

const laplaceMass =
  (scale: number) =>
  (x: number): number =>
    Math.exp(-Math.abs(x) / scale);
const gaussianMass =
  (variance: number) =>
  (x: number): number =>
    Math.exp((-x * x) / (2 * variance));

describe('noise is sampled from its exact distribution', () => {
  it.each([1, 2, 3, 10, 57])('discrete Laplace of scale %i', (scale) => {
    const stream = seeded(`laplace ${scale}`);
    const fit = chiSquare(
      draw(SAMPLES, () => discreteLaplace(stream, scale)),
      laplaceMass(scale),
      scale * 60,
    );
    expect(fit.tail).toBeGreaterThan(TAIL_MIN);
  });

  it.each([1, 2, 8, 50, 1000])('discrete Gaussian of variance %i', (variance) => {
    const stream = seeded(`gaussian ${variance}`);
    const sample = gaussianSampler(BigInt(variance));
    const fit = chiSquare(
      draw(SAMPLES, () => sample(stream)),
      gaussianMass(variance),
      Math.ceil(Math.sqrt(variance) * 30),
    );
    expect(fit.tail).toBeGreaterThan(TAIL_MIN);
  });

  it('a mutated sampler is caught: zero twice, one sign, a tenth less variance, rounded doubles', () => {
    const stream = seeded('mutants');
    const laplace = (): number => discreteLaplace(stream, 3);
    const gaussian = (): number => discreteGaussian(stream, 50n);
    const uniform = (): number => (stream.next() + 0.5) / 2 ** 32;
    const zeroTwice = draw(SAMPLES, () =>
      laplace() === 0 || stream.next() < 2 ** 29 ? 0 : laplace(),
    );
    const oneSign = draw(SAMPLES, () => Math.abs(laplace()));
    expect(chiSquare(zeroTwice, laplaceMass(3), 200).tail).toBeLessThan(TAIL_MIN);
    expect(chiSquare(oneSign, laplaceMass(3), 200).tail).toBeLessThan(TAIL_MIN);
    const narrower = draw(SAMPLES, () => discreteGaussian(stream, 45n));
    expect(chiSquare(narrower, gaussianMass(50), 200).tail).toBeLessThan(TAIL_MIN);
    // A continuous Gaussian cut to integers is another distribution.
    const cut = draw(SAMPLES, () =>
      Math.trunc(Math.sqrt(-2 * Math.log(uniform()) * 50) * Math.cos(2 * Math.PI * uniform())),
    );
    expect(chiSquare(cut, gaussianMass(50), 200).tail).toBeLessThan(TAIL_MIN);
    const control = draw(SAMPLES, gaussian);
    expect(chiSquare(control, gaussianMass(50), 200).tail).toBeGreaterThan(TAIL_MIN);
  });

  it('integers alone draw from the same distribution, sample by sample where words agree', () => {
    const [stream, other] = [seeded('oracle'), seeded('oracle')];
    const exact = draw(5000, () => discreteGaussian(stream, 50n, 1));
    expect(chiSquare(exact, gaussianMass(50), 200).tail).toBeGreaterThan(TAIL_MIN);
    expect(draw(5000, () => discreteGaussian(other, 50n))).toEqual(exact);
  });

  it('comparisons that doubles cannot decide are decided by integers, and end', () => {
    // Words of zeros and ones only: every comparison is as near to its edge as it can be.
    const edges: WordStream = (() => {
      const inner = seeded('edges');
      return { next: () => (inner.next() % 2 === 0 ? 0 : 2 ** 32 - 1) };
    })();
    for (let round = 0; round < 200; round += 1) {
      expect(Number.isSafeInteger(discreteGaussian(edges, 12_345n))).toBe(true);
    }
    // P(γ = 1 / k) comparisons: u/2^32 equal to the edge exactly, decided by the words after it.
    const words = [0x8000_0000, 0, 0, 5];
    let at = 0;
    const exact: WordStream = { next: () => words[at++ % words.length] ?? 0 };
    expect(Number.isSafeInteger(discreteLaplace(exact, 2))).toBe(true);
  });

  it('a large variance keeps its mean and variance', () => {
    const variance = 10n ** 24n;
    const sample = gaussianSampler(variance);
    const stream = seeded('large');
    const samples = draw(20_000, () => sample(stream) / 1e12);
    const mean = samples.reduce((sum, x) => sum + x, 0) / samples.length;
    const spread = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(20_000));
    expect(Math.abs(spread - 1)).toBeLessThan(5 * Math.sqrt(2 / 20_000));
  });

  it('scales that are not offered are refused', () => {
    const stream = seeded('refused');
    for (const scale of [0, 0.5, 2 ** 44 + 1, Number.NaN]) {
      expect(() => discreteLaplace(stream, scale)).toThrow(/scale/);
    }
    for (const variance of [0n, -1n, 2n ** 90n]) {
      expect(() => discreteGaussian(stream, variance)).toThrow(/scale/);
    }
    expect(Number.isInteger(discreteLaplace(stream, 2 ** 44))).toBe(true);
  });

  it('floorSqrt is the integer root', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 180n }), (n) => {
        const root = floorSqrt(n);
        expect(root * root <= n && (root + 1n) * (root + 1n) > n).toBe(true);
      }),
    );
  });
});

describe('same question, same answer', () => {
  it('a stream repeats for one question and label, and for no other question, label or secret', () => {
    const secret = new Uint8Array(32).fill(7);
    const first = (key: Uint8Array): number[] => {
      const stream = wordStream(key);
      return draw(8, () => stream.next());
    };
    const base = first(noiseKey(secret, 'q', 'rows'));
    expect(first(noiseKey(secret, 'q', 'rows'))).toEqual(base);
    expect(first(noiseKey(secret, 'r', 'rows'))).not.toEqual(base);
    expect(first(noiseKey(secret, 'q', 'sum'))).not.toEqual(base);
    expect(first(noiseKey(new Uint8Array(32), 'q', 'rows'))).not.toEqual(base);
  });

  it('a stream goes on past its buffer without repeating', () => {
    const stream = wordStream(new Uint8Array(32));
    const words = draw(40_000, () => stream.next());
    expect(new Set(words).size).toBeGreaterThan(39_900);
  });
});

describe('the claimed ε', () => {
  /** How well the best test tells two neighbouring answers apart: max ln(P/Q) over events of weight. */
  const measured = (sampler: () => number, shift: number, count: number): number => {
    const tally = (by: number): Map<number, number> => {
      const seen = new Map<number, number>();
      for (let at = 0; at < count; at += 1) {
        const value = sampler() + by;
        seen.set(value, (seen.get(value) ?? 0) + 1);
      }
      return seen;
    };
    const [with_, without] = [tally(shift), tally(0)];
    let most = 0;
    for (const [value, hits] of with_) {
      const others = without.get(value) ?? 0;
      // Clopper and Pearson by three deviations: what sampling alone could show is not counted.
      const low = hits - 3 * Math.sqrt(hits);
      const high = others + 3 * Math.sqrt(others + 1) + 1;
      if (low > 0) most = Math.max(most, Math.log(low / high));
    }
    return most;
  };

  it('is not exceeded by what a distinguisher measures, and is by a sampler of half the scale', () => {
    const stream = seeded('distinguish');
    const epsilon = 1;
    const claimed = measured(() => discreteLaplace(stream, 1), 1, 150_000);
    expect(claimed).toBeLessThanOrEqual(epsilon);
    expect(claimed).toBeGreaterThan(0.8);
    const broken = measured(() => Math.trunc(discreteLaplace(stream, 4) / 8), 1, 150_000);
    expect(broken).toBeGreaterThan(epsilon);
  });
});
