/** What a run would cost and show, from plan, rules and published facts alone; nothing is reserved. */
import type { Estimate } from '../computations/computation.ts';
import { heldOf } from '../computations/held-release.ts';
import { checkContract, checkPlanned } from '../contracts/check-contract.ts';
import type { Contract } from '../contracts/contract.ts';
import type { DominanceTerms } from '../contracts/dominance-terms.ts';
import { checkArguments } from '../contracts/plan-fits.ts';
import type { Arguments } from '../contracts/plan.ts';
import type { RoundingTerms } from '../contracts/rounding-terms.ts';
import { PolicyError } from '../errors.ts';
import { chargeMicros } from '../ledger/price.ts';
import { type QuotaLeft, quotaLeft, runsOfMonth } from './quota.ts';
import type { RunDependencies } from './run-machine.ts';
import type { RunService } from './run-service.ts';

export interface Explanation extends Estimate {
  /** What the contract's terms withhold and round besides. */
  readonly dominance: DominanceTerms | undefined;
  readonly rounding: RoundingTerms | undefined;
  readonly release: Contract['release'] | undefined;
  readonly quota: readonly QuotaLeft[];
  readonly currency: string;
  readonly priceMicros: bigint;
}

export type ExplainDependencies = Pick<RunDependencies, 'computations' | 'ledger' | 'clock'>;

/**
 * @param checkPublished - the published datasets' rules: grade, column usage, dictionaries, bounds.
 * @throws InputError, PolicyError where the plan cannot run, naming column, rule, party and remedy.
 */
export async function explain(
  deps: ExplainDependencies,
  runs: Pick<RunService, 'accounts'>,
  contract: Contract,
  args: Arguments,
  checkPublished: (contract: Contract) => Promise<void>,
): Promise<Explanation> {
  checkContract(contract);
  checkArguments(contract, args);
  await checkPublished(contract);
  return estimated(deps, runs, contract, args);
}

/**
 * The same for a plan that nobody has agreed to yet; that holders allow it is the caller's to ask.
 * @param contract - provisional: of its parties and keys nothing is read.
 * @throws InputError, PolicyError where the plan cannot be computed.
 */
export async function explainPlanned(
  deps: ExplainDependencies,
  runs: Pick<RunService, 'accounts'>,
  contract: Contract,
  args: Arguments,
): Promise<Explanation> {
  checkPlanned(contract);
  checkArguments(contract, args);
  return estimated(deps, runs, contract, args);
}

async function estimated(
  deps: ExplainDependencies,
  runs: Pick<RunService, 'accounts'>,
  contract: Contract,
  args: Arguments,
): Promise<Explanation> {
  const computation = deps.computations.get(contract.protocol.name);
  if (computation === undefined) {
    throw new PolicyError('plan-outside-contract', 'No such protocol here.', {
      rule: 'protocol.name',
    });
  }
  heldOf(computation, contract);
  const estimate = computation.estimate(contract, args);
  const nowMs = deps.clock.now();
  const nth = (await runsOfMonth(deps.ledger, contract, nowMs)) + 1n;
  return {
    ...estimate,
    dominance: contract.disclosure.dominance,
    rounding: contract.disclosure.rounding,
    release: contract.release,
    quota: await quotaLeft(deps.ledger, runs.accounts(contract, nowMs)),
    currency: contract.price.currency,
    priceMicros: chargeMicros(contract.price, estimate.units, nth),
  };
}
