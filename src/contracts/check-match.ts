/** Whether a contract over a plan that matches is consistent in itself. */
import { InputError } from '../errors.ts';
import type { ErrorFacts } from '../errors.ts';
import type { Contract } from './contract.ts';
import type { MatchPlan } from './plan.ts';

/**
 * Two holders, one of them the receiver; every key column named at both, once; no part of the
 * contract that only aggregates use.
 * @throws InputError `malformed-message`
 */
export function checkMatch(contract: Contract, plan: MatchPlan): void {
  const holders = contract.holders.map((holder) => holder.id);
  if (contract.protocol.name !== 'psi') refuse('a plan that matches runs by the protocol psi');
  if (holders.length !== 2) refuse('a plan that matches has exactly two holders');
  if (contract.minimumParties !== 2) refuse('both holders are needed: the minimum of parties is 2');
  if (!holders.includes(plan.receiver)) {
    refuse('the receiver is not one of the holders', { party: plan.receiver });
  }
  const names = plan.key.map((column) => column.as);
  if (new Set(names).size !== names.length) refuse('a key column is repeated');
  for (const { as: column, type, columns } of plan.key) {
    for (const holder of holders) {
      if (!columns.some((entry) => entry.holder === holder)) {
        refuse('a key column is not named at a holder', { column, party: holder });
      }
    }
    if (type !== 'date' && columns.some((entry) => entry.dateFormat !== undefined)) {
      refuse('only dates have a date format', { column });
    }
  }
  const idle =
    contract.dictionaries.length + contract.bounds.length + Object.keys(contract.parameters).length;
  if (idle > 0) refuse('a plan that matches has no dictionaries, bounds or parameters');
}

function refuse(rule: string, facts: ErrorFacts = {}): never {
  throw new InputError('malformed-message', `The contract contradicts itself: ${rule}.`, {
    rule,
    ...facts,
  });
}
