/** How much noise a contract's terms put on each vector, against what one unit can change at most. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NoiseTerms } from '../../src/contracts/noise.ts';
import { noisePlan, type NoisedColumn, type VectorNoise } from '../../src/disclosure/noise-plan.ts';
import { microRhoOf, SHARE_VARIANCE_MIN } from '../../src/disclosure/zcdp.ts';

const CELLS = 50;
const terms = fc.record<NoiseTerms>({
  mechanism: fc.constant('discrete-gaussian'),
  microRhoPerRun: fc.integer({ min: 1000, max: 1_000_000 }),
  deltaExponent: fc.constant(9),
  cellsPerUnit: fc.integer({ min: 1, max: 20 }),
  rowsPerCell: fc.integer({ min: 1, max: 20 }),
  honestDomains: fc.integer({ min: 1, max: 5 }),
});
const columns = fc.array(
  fc
    .record({
      low: fc.integer({ min: -300, max: 300 }),
      high: fc.integer({ min: -300, max: 300 }),
      squares: fc.boolean(),
    })
    .map(({ low, high, squares }): NoisedColumn => {
      const [minimum, maximum] = [Math.min(low, high), Math.max(low, high)];
      return { column: 'c', minimum: String(minimum), maximum: String(maximum), squares };
    }),
  { maxLength: 3 },
);

/** The square of what a unit changes that puts `most` into each of its rows. */
function squaredChange({ cellsPerUnit, rowsPerCell }: NoiseTerms, most: number): bigint {
  const cell = BigInt(rowsPerCell) * BigInt(most);
  return BigInt(cellsPerUnit) * cell * cell;
}

describe('a noise plan', () => {
  it('pays for the largest change that one unit can make, and for little more', () => {
    fc.assert(
      fc.property(terms, columns, (agreed, measured) => {
        const plan = noisePlan(agreed, measured, CELLS);
        const vectors: (readonly [VectorNoise, number])[] = [[plan.rows, 1]];
        for (const [index, { nonNull, sum, squares }] of plan.columns.entries()) {
          const { minimum, maximum } = measured[index]!;
          const most = Math.max(1, Math.abs(Number(minimum)), Math.abs(Number(maximum)));
          vectors.push([nonNull, 1], [sum, most]);
          expect(squares !== undefined).toBe(measured[index]!.squares);
          if (squares !== undefined) vectors.push([squares, most * most]);
        }
        let spent = 0n;
        for (const [{ variance }, most] of vectors) {
          const vector = { squaredSensitivity: squaredChange(agreed, most), cells: CELLS };
          const loss = microRhoOf(vector, variance, agreed.honestDomains);
          spent += loss;
          const each = agreed.microRhoPerRun / vectors.length;
          expect(Number(loss)).toBeLessThanOrEqual(each);
          // Noise beyond the smallest there is serves nobody.
          if (variance > 1000n) expect(Number(loss)).toBeGreaterThan(0.99 * each - 2);
        }
        expect(spent).toBeLessThanOrEqual(BigInt(agreed.microRhoPerRun));
      }),
    );
  });

  it('is never finer than what adds up to the noise it stands for, however large the budget', () => {
    const rich = { ...fc.sample(terms, 1)[0]!, microRhoPerRun: 100_000_000 };
    const plan = noisePlan({ ...rich, cellsPerUnit: 1, rowsPerCell: 1 }, [], CELLS);
    expect(plan.rows.variance).toBe(SHARE_VARIANCE_MIN);
  });

  it('is refused where the budget is too small to be split', () => {
    const small = { ...fc.sample(terms, 1)[0]!, microRhoPerRun: 3 };
    const column = { column: 'c', minimum: '0', maximum: '1', squares: true };
    expect(() => noisePlan(small, [column], CELLS)).toThrow(
      expect.objectContaining({ code: 'parameter-invalid' }),
    );
    expect(noisePlan({ ...small, microRhoPerRun: 4 }, [column], CELLS).columns).toHaveLength(1);
  });
});
