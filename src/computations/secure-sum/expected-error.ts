/** How far off a noised answer is to be expected: what `explain` tells before anything is spent. */
import type { Contract } from '../../contracts/contract.ts';
import { deviationOf } from '../../disclosure/noise-plan.ts';
import { impliedEpsilon } from '../../disclosure/zcdp.ts';
import type { NoiseEstimate } from '../computation.ts';
import type { Shape } from './shape.ts';

/** Undefined where the answer is exact. Means and variances follow from counts and sums. */
export function expectedError(contract: Contract, shape: Shape): NoiseEstimate | undefined {
  const { noise } = shape;
  if (noise === undefined) return undefined;
  const { microRhoPerRun, deltaExponent, mechanism } = noise.terms;
  const parties = contract.holders.length;
  return {
    mechanism,
    microRho: microRhoPerRun,
    epsilon: roundedUp(impliedEpsilon(BigInt(microRhoPerRun), 10 ** -deltaExponent)),
    delta: `1e-${deltaExponent}`,
    deviations: [
      { of: 'rows', deviation: roundedUp(deviationOf(noise.rows, parties)) },
      ...shape.columns.flatMap(({ column, scale }, index) => {
        const own = noise.columns[index];
        if (own === undefined) return [];
        const unit = 10 ** scale;
        const { nonNull, sum, squares } = own;
        return [
          { of: `values of ${column}`, deviation: roundedUp(deviationOf(nonNull, parties)) },
          { of: `sum of ${column}`, deviation: roundedUp(deviationOf(sum, parties) / unit) },
          ...(squares === undefined
            ? []
            : [
                {
                  of: `sum of squares of ${column}`,
                  deviation: roundedUp(deviationOf(squares, parties) / unit ** 2),
                },
              ]),
        ];
      }),
    ],
  };
}

/** Four significant digits, upwards: no claim is made smaller than it is. */
export function roundedUp(value: number): number {
  if (value === 0) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 3);
  return Number((Math.ceil(value / unit) * unit).toPrecision(4));
}
