/**
 * An exact number or sum over shared persons, asked twice of data that changed by one row, shows
 * that row. So such a match takes noise, or runs once over a version that all have pinned.
 */
import type { Contract } from '../contracts/contract.ts';
import type { MatchPlan } from '../contracts/plan.ts';
import { PolicyError } from '../errors.ts';
import type { PublishedDataset } from './published.ts';

/** @returns the refusal, where this dataset names persons or firms and the contract may run again. */
export function repeatRefusals(
  contract: Pick<Contract, 'datasets' | 'disclosure'> & Partial<Pick<Contract, 'limits'>>,
  plan: MatchPlan,
  dataset: PublishedDataset,
): PolicyError[] {
  // Whose rows are revealed by grant has nothing left that a difference could show.
  const isProtected = dataset.privacyUnit !== undefined && plan.ask !== 'intersection';
  if (!isProtected || contract.disclosure.noise !== undefined) return [];
  const terms = contract.datasets.find((entry) => entry.holder === dataset.holder);
  if (terms?.version !== 'any' && contract.limits?.runsTotal === 1) return [];
  return [
    new PolicyError('noise-required', 'An exact match of persons may run once, over pinned data.', {
      party: dataset.holder,
      rule: `privacyUnit ${dataset.privacyUnit}`,
      remedy: 'State disclosure.noise, or pin the dataset’s version and limit runsTotal to 1.',
    }),
  ];
}
