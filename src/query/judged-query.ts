/** What becomes of a query: a plan with its terms, and what stands in its way. */
import type { PlanDraft } from '../catalog/plan-draft.ts';
import type { Parameter } from '../contracts/plan.ts';
import type { WeirError } from '../errors.ts';

export interface CompiledQuery {
  /** What a contract over this query would hold, with the holders' published dictionaries and bounds. */
  readonly draft: PlanDraft;
  /** The widest parameters a contract could offer for the query's `$names`. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** Why the plan may not run as things are, with the smallest grants; empty where it may. */
  readonly refusals: readonly WeirError[];
}

/** A query with everything that stands in its way; `compiled` where it is a plan at all. */
export interface JudgedQuery {
  readonly compiled: Pick<CompiledQuery, 'draft' | 'parameters'> | undefined;
  /** Each with place, column, rule, party and remedy as far as it has them. */
  readonly refusals: readonly WeirError[];
}
