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
  if ((plan.ask === 'sum') !== (plan.sum !== undefined)) {
    refuse('a summed column is named where a sum is asked for, and nowhere else');
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
  if (contract.disclosure.dominance !== undefined) {
    refuse('dominance terms are for sums over groups');
  }
  const idle = contract.dictionaries.length + Object.keys(contract.parameters).length;
  if (idle > 0) refuse('a plan that matches has no dictionaries or parameters');
  checkBounds(contract, plan);
  checkNoised(contract, plan);
}

/** Noise hides one key at each holder: so the key must be the unit, and count once. */
function checkNoised({ disclosure }: Contract, plan: MatchPlan): void {
  const { noise } = disclosure;
  if (noise === undefined) return;
  if (plan.ask === 'intersection') refuse('revealed keys cannot be noised');
  if (plan.key.length !== 1 || plan.duplicates !== 'distinct') {
    refuse('a noised match is over one key column, each key counting once');
  }
  if (noise.cellsPerUnit !== 1 || noise.rowsPerCell !== 1) {
    refuse('in a noised match a unit counts once: cellsPerUnit and rowsPerCell are 1');
  }
}

/** Of the summed column, and of no other. */
function checkBounds(contract: Contract, plan: MatchPlan): void {
  const needed = plan.sum === undefined ? [] : [plan.sum.column];
  const given = contract.bounds.map(({ column }) => column);
  if (given.length !== needed.length || given[0] !== needed[0]) {
    refuse('bounds are given for the summed column and no other');
  }
  for (const { column, minimum, maximum } of contract.bounds) {
    if (BigInt(minimum) > BigInt(maximum)) refuse('a minimum exceeds its maximum', { column });
  }
}

function refuse(rule: string, facts: ErrorFacts = {}): never {
  throw new InputError('malformed-message', `The contract contradicts itself: ${rule}.`, {
    rule,
    ...facts,
  });
}
