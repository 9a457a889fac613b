/** Whether exact sums pass what a holder demands about their contributors, from published facts alone. */
import { isAsStrict } from '../contracts/dominance-terms.ts';
import { measuredColumns } from '../contracts/plan-fits.ts';
import { PolicyError, type WeirError } from '../errors.ts';
import type { PlanDraft } from './plan-draft.ts';
import type { PublishedDataset } from './published.ts';

/** Noise hides every contributor; without it a sum must pass what the holder demands. */
export function dominanceRefusals(contract: PlanDraft, dataset: PublishedDataset): WeirError[] {
  const { dominance: demanded } = dataset;
  const { dominance, noise } = contract.disclosure;
  if (demanded === undefined || noise !== undefined || !isSummed(contract.plan)) return [];
  if (dominance !== undefined && isAsStrict(dominance, demanded)) return [];
  const { percent, largest, share } = demanded;
  return [
    new PolicyError('cell-too-small', 'A few contributors could make up most of a sum.', {
      party: dataset.holder,
      rule: 'dominance',
      remedy:
        contract.plan.kind === 'match'
          ? 'A noised match: nobody can tell who contributes to an exact one.'
          : `disclosure.dominance of percent ${percent}, largest ${largest}, share ${share} or stricter.`,
    }),
  ];
}

function isSummed(plan: PlanDraft['plan']): boolean {
  if (plan.kind === 'match') return plan.sum !== undefined;
  return plan.kind === 'aggregate' && measuredColumns(plan.measures).length > 0;
}
