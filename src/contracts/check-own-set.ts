/** Whether a contract over an analyst's own set is consistent in itself, and what a request may ask of it. */
import { InputError, PolicyError } from '../errors.ts';
import type { ErrorFacts } from '../errors.ts';
import type { Contract } from './contract.ts';
import { isStrongEncryptionKey } from './key-strength.ts';
import { OWN_SET_ITEMS_MIN, type Arguments, type OwnSetPlan } from './plan.ts';
import type { RunRequest } from './request.ts';

/** The request's argument that announces the set's padded size. */
export const ITEMS_ARGUMENT = 'items';

/**
 * One holder, which alone adds noise; always noise, since an analyst can bring any set: one of ids
 * it knows around a single target would pass every threshold.
 * @throws InputError `malformed-message`
 */
export function checkOwnSet(contract: Contract, plan: OwnSetPlan): void {
  const { analyst, disclosure, recipient } = contract;
  if (contract.protocol.name !== 'psi-own-set') {
    refuse('an analyst’s own set is matched by the protocol psi-own-set');
  }
  if (contract.holders.length !== 1)
    refuse('an analyst’s own set is matched by exactly one holder');
  if (disclosure.dominance !== undefined) refuse('dominance terms are for sums over groups');
  if (disclosure.smallestContributors !== 1) {
    refuse('one holder contributes: the minimum of contributors is 1');
  }
  if (contract.minimumParties !== 1) refuse('one holder takes part: the minimum of parties is 1');
  if (recipient.id !== analyst.id) {
    refuse('the analyst that brings the set receives the number', { party: recipient.id });
  }
  if (!isPowerOfTwo(plan.setSizeMax)) refuse('setSizeMax is not a power of two');
  if (plan.key.type !== 'date' && plan.key.dateFormat !== undefined) {
    refuse('only dates have a date format', { column: plan.key.column });
  }
  const { noise } = disclosure;
  if (noise === undefined) refuse('the number of an analyst’s own ids is always noised');
  if (noise.cellsPerUnit !== 1 || noise.rowsPerCell !== 1 || noise.honestDomains !== 1) {
    refuse('each id counts once, and the holder alone adds noise: all of its terms are 1');
  }
  if (contract.limits.microRhoTotal < noise.microRhoPerRun) {
    refuse('the budget in all is below that of one run');
  }
  const idle =
    contract.dictionaries.length + contract.bounds.length + Object.keys(contract.parameters).length;
  if (idle > 0) refuse('an analyst’s own set has no dictionaries, bounds or parameters');
}

/**
 * Items that the analyst's list has, dummies included: a public power of two, as its request
 * announces it; the contract's most where it says nothing.
 * @throws InputError `parameter-invalid`; PolicyError `plan-outside-contract`
 */
export function ownSetItems(plan: OwnSetPlan, args: Arguments): number {
  const rule = `parameter ${ITEMS_ARGUMENT}`;
  const remedy = `${ITEMS_ARGUMENT}: one power of two from ${OWN_SET_ITEMS_MIN} to ${plan.setSizeMax}.`;
  const unknown = Object.keys(args).some((name) => name !== ITEMS_ARGUMENT);
  const values = Object.hasOwn(args, ITEMS_ARGUMENT) ? (args[ITEMS_ARGUMENT] ?? []) : undefined;
  if (values === undefined && !unknown) return plan.setSizeMax;
  const [text = '', ...further] = values ?? [];
  const items = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  const isSize = isPowerOfTwo(items) && items >= OWN_SET_ITEMS_MIN;
  if (unknown || further.length > 0 || !isSize) {
    throw new InputError('parameter-invalid', 'The announced size of the set is not a bucket.', {
      rule,
      remedy,
    });
  }
  if (items <= plan.setSizeMax) return items;
  throw new PolicyError('plan-outside-contract', 'The set is larger than the contract allows.', {
    rule,
    remedy,
  });
}

/**
 * How many take part towards a holder's own floor: an analyst that brings a set is one of them.
 * @param holders - that take part.
 */
export function partiesIn({ plan }: Pick<Contract, 'plan'>, holders: number): number {
  return plan.kind === 'own-set' ? holders + 1 : holders;
}

/**
 * The analyst's key of the run stands in its signed request exactly where it takes part in the run.
 * @throws InputError `parameter-invalid`
 */
export function checkAnalystKey(contract: Contract, request: RunRequest): void {
  const { analystKey } = request;
  const isDue = contract.plan.kind === 'own-set';
  const isSound = analystKey === undefined ? !isDue : isDue && isStrongEncryptionKey(analystKey);
  if (isSound) return;
  throw new InputError(
    'parameter-invalid',
    'The request’s key of the run is missing, idle or weak.',
    {
      party: contract.analyst.id,
      rule: 'request.analystKey',
      remedy: 'A fresh X25519 key where the analyst brings a set of its own, none elsewhere.',
    },
  );
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && 2 ** Math.round(Math.log2(value)) === value;
}

function refuse(rule: string, facts: ErrorFacts = {}): never {
  throw new InputError('malformed-message', `The contract contradicts itself: ${rule}.`, {
    rule,
    ...facts,
  });
}
