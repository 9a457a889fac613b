/** What a contract and a request of secret weights must say, and no others. */
import { InputError } from '../errors.ts';
import type { Contract } from './contract.ts';
import type { AggregatePlan } from './plan.ts';
import type { RunRequest } from './request.ts';

/**
 * Σ weight · cell says something of counts and sums; of a mean's cells it would be no mean. And
 * nothing rounds it: a multiple of weights hides no more than the cells it is charged as.
 * @throws InputError `query-not-supported`
 */
export function checkWeighted({ disclosure }: Contract, plan: AggregatePlan): void {
  const other = plan.measures.find(({ fn }) => fn !== 'count' && fn !== 'sum');
  if (other !== undefined) {
    throw new InputError('query-not-supported', 'Only counts and sums can be weighted.', {
      rule: `${other.as} is ${other.fn}`,
      remedy: 'Ask for the sum and the count, and divide the weighted sums.',
    });
  }
  if (disclosure.rounding !== undefined) {
    throw new InputError('query-not-supported', 'Weighted sums are not rounded.', {
      rule: 'disclosure.rounding',
      remedy: 'Leave the rounding terms out; noise is what hides single persons.',
    });
  }
}

/**
 * A request names the weights that come with it where its contract has secret weights, and no
 * other request does.
 * @throws InputError `parameter-invalid`
 */
export function checkWeightsHash(contract: Contract, request: RunRequest): void {
  const isDue = contract.protocol.name === 'secret-weights';
  if (isDue === (request.weightsHash !== undefined)) return;
  throw new InputError(
    'parameter-invalid',
    isDue
      ? 'The contract is for secret weights, and the request names none.'
      : 'The contract is for no weights, and the request names some.',
    {
      party: contract.analyst.id,
      rule: 'request.weightsHash',
      remedy: isDue ? 'weir run --weights <file>' : 'Run it without weights.',
    },
  );
}
