/** A plan with the terms that decide whether it may run. */
import type { Contract } from '../contracts/contract.ts';

/** What the checks of a plan read of a contract: a draft that nobody has signed has it too. */
export type PlanDraft = Pick<
  Contract,
  'plan' | 'dictionaries' | 'bounds' | 'datasets' | 'disclosure' | 'protocol' | 'purposeCode'
> &
  Partial<Pick<Contract, 'limits'>>;
