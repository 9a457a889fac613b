import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { impliedEpsilon, microRhoOf, shareVariance } from '../../src/disclosure/zcdp.ts';

/** Φ, by the series for small and the continued fraction for large arguments. */
function phi(z: number): number {
  const steps = 20_000;
  const [from, to] = [-12, z];
  const width = (to - from) / steps;
  let sum = 0;
  for (let step = 0; step < steps; step += 1) {
    const x = from + (step + 0.5) * width;
    sum += Math.exp((-x * x) / 2);
  }
  return (sum * width) / Math.sqrt(2 * Math.PI);
}

/** The exact δ of the Gaussian mechanism with Δ/σ = μ at ε (Balle, Wang, ICML 2018, theorem 8). */
function gaussianDelta(mu: number, epsilon: number): number {
  return phi(mu / 2 - epsilon / mu) - Math.exp(epsilon) * phi(-mu / 2 - epsilon / mu);
}

describe('ρ and the (ε, δ) it implies', () => {
  it.each([10_000n, 100_000n, 500_000n, 2_000_000n])(
    'holds for the Gaussian with ρ = %i micro',
    (rho) => {
      const mu = Math.sqrt((2 * Number(rho)) / 1e6);
      const delta = 1e-6;
      const epsilon = impliedEpsilon(rho, delta);
      // A valid bound claims at least what is true, and this one not much more.
      expect(gaussianDelta(mu, epsilon)).toBeLessThanOrEqual(delta);
      expect(gaussianDelta(mu, epsilon * 0.85)).toBeGreaterThan(delta);
    },
  );

  it('is never above ρ + 2√(ρ ln 1/δ) (Bun, Steinke 2016), and grows with ρ and 1/δ', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 50_000_000n }),
        fc.double({ min: 1e-12, max: 1e-3, noNaN: true }),
        (rho, delta) => {
          const r = Number(rho) / 1e6;
          const epsilon = impliedEpsilon(rho, delta);
          expect(epsilon).toBeLessThanOrEqual(r + 2 * Math.sqrt(r * Math.log(1 / delta)) + 1e-9);
          expect(impliedEpsilon(rho * 2n, delta)).toBeGreaterThan(epsilon);
          expect(impliedEpsilon(rho, delta / 10)).toBeGreaterThanOrEqual(epsilon);
        },
      ),
    );
    expect(impliedEpsilon(0n, 1e-6)).toBe(0);
  });
});

describe('noise shares', () => {
  const vectors = fc.record({
    squaredSensitivity: fc.bigInt({ min: 1n, max: 10n ** 20n }),
    cells: fc.integer({ min: 1, max: 2 ** 24 }),
  });

  it('of the assumed honest domains alone keep every run inside its budget', () => {
    fc.assert(
      fc.property(
        vectors,
        fc.bigInt({ min: 1n, max: 5_000_000n }),
        fc.integer({ min: 1, max: 8 }),
        (vector, microRho, honest) => {
          const variance = shareVariance(vector, microRho, honest);
          expect(microRhoOf(vector, variance, honest)).toBeLessThanOrEqual(microRho);
          // And a share a hundredth smaller would not do, unless it is the smallest on offer.
          const less = (variance * 98n) / 100n - 2n;
          if (less >= 8n && microRho > 1000n) {
            expect(microRhoOf(vector, less, honest)).toBeGreaterThan(microRho);
          }
        },
      ),
    );
  });

  it('known values: Δ² = 1, ρ = 1/2 needs σ² = 1 over all; the finite-sum term counts small shares', () => {
    const unit = { squaredSensitivity: 1n, cells: 1 };
    expect(microRhoOf(unit, 1n, 1)).toBe(500_001n);
    expect(microRhoOf({ ...unit, squaredSensitivity: 100n }, 10_000n, 1)).toBe(5001n);
    // τ = 10·e^(−π²) for two shares of variance 1: ε = 1/√2 + 5.17·10^−4.
    const tau = 10 * Math.exp(-(Math.PI ** 2));
    const epsilon = Math.SQRT1_2 + tau;
    expect(microRhoOf(unit, 1n, 2)).toBe(BigInt(Math.ceil((epsilon ** 2 / 2) * 1e6)));
  });

  it('a deviation the sampler does not offer is refused', () => {
    expect(() => shareVariance({ squaredSensitivity: 10n ** 36n, cells: 1 }, 1n, 2)).toThrow(
      /larger than/,
    );
  });
});
