/** Whether a contract over a plan that matches is consistent in itself. */
import { InputError } from '../errors.ts';
import type { ErrorFacts } from '../errors.ts';
import type { Contract } from './contract.ts';
import { MATCH_LABELS_MAX, OTHER_LABEL, type MatchPlan } from './plan.ts';

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
  const isRevealing = plan.engine !== undefined && !['auto', 'ecdh'].includes(plan.engine);
  if (isRevealing && plan.ask !== 'intersection') {
    refuse(`the engine ${plan.engine} reveals shared keys: numbers and sums go by ecdh`);
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
  if (Object.keys(contract.parameters).length > 0) {
    refuse('a plan that matches has no parameters');
  }
  checkGroup(contract, plan);
  checkBounds(contract, plan);
  checkNoised(contract, plan);
}

/** The group's dictionary and no other; labels that name one group each; columns told apart. */
function checkGroup({ dictionaries }: Contract, plan: MatchPlan): void {
  const needed = plan.group === undefined ? [] : [plan.group.column];
  const given = dictionaries.map(({ column }) => column);
  if (given.length !== needed.length || given[0] !== needed[0]) {
    refuse('a dictionary is given for the column of the groups and no other');
  }
  const columns = ['shared', ...[plan.group, plan.sum].flatMap((one) => one?.as ?? [])];
  if (new Set(columns).size !== columns.length) refuse('a result column is repeated');
  if (plan.group === undefined) return;
  if (plan.ask === 'intersection') refuse('numbers and sums go by groups, revealed keys do not');
  for (const { column, labels } of dictionaries) {
    if (labels.length > MATCH_LABELS_MAX) {
      refuse(`a match goes by at most ${MATCH_LABELS_MAX} labels`, { column });
    }
    if (new Set(labels).size !== labels.length) refuse('a label is repeated', { column });
    if (labels.includes(OTHER_LABEL)) refuse(`the label ${OTHER_LABEL} is reserved`, { column });
  }
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
