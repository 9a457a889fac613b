/** How far off a noised match is to be expected: what `explain` tells before anything is spent. */
import { deviationOf } from '../../disclosure/noise-plan.ts';
import { impliedEpsilon } from '../../disclosure/zcdp.ts';
import type { NoiseEstimate } from '../computation.ts';
import { roundedUp } from '../secure-sum/expected-error.ts';
import type { MatchShape } from './shape.ts';

const PARTIES = 2;

/** Undefined where the answer is exact. */
export function matchError(shape: MatchShape): NoiseEstimate | undefined {
  const { noise, plan, sumBounds } = shape;
  if (noise === undefined) return undefined;
  const { microRhoPerRun, deltaExponent, mechanism } = noise.terms;
  const sum = noise.columns[0]?.sum;
  const summed =
    sum === undefined || plan.sum === undefined
      ? []
      : [
          {
            of: `sum of ${plan.sum.column}${shape.groups === undefined ? '' : ' of a group'}`,
            deviation: roundedUp(deviationOf(sum, PARTIES) / 10 ** (sumBounds?.scale ?? 0)),
          },
        ];
  return {
    mechanism,
    microRho: microRhoPerRun,
    epsilon: roundedUp(impliedEpsilon(BigInt(microRhoPerRun), 10 ** -deltaExponent)),
    delta: `1e-${deltaExponent}`,
    deviations: [
      {
        of: shape.groups === undefined ? 'shared keys' : 'shared keys of a group',
        deviation: roundedUp(deviationOf(noise.rows, PARTIES)),
      },
      ...summed,
    ],
  };
}
