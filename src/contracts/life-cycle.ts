/**
 * A contract's life: draft → proposed → signed → active → suspended → revoked | expired | completed,
 * or refused before it was signed. Pure: the state follows from what was signed and noted and from
 * the time, so no stored state can drift from its evidence.
 */
import {
  IdentityError,
  MeteringError,
  PolicyError,
  StateError,
  type WeirError,
} from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import type { Contract } from './contract.ts';
import { signatoriesOf } from './signed-documents.ts';

export const CONTRACT_STATES = [
  'proposed',
  'refused',
  'signed',
  'active',
  'suspended',
  'revoked',
  'expired',
  'completed',
] as const;
/** A `draft` has no analyst's signature yet and is on no gateway. */
export type ContractState = (typeof CONTRACT_STATES)[number];

/** What has happened to a contract, each with its evidence in the book. */
export interface ContractFacts {
  readonly contract: Contract;
  readonly signedBy: ReadonlySet<PartyId>;
  readonly refusedBy: ReadonlySet<PartyId>;
  readonly revokedBy: ReadonlySet<PartyId>;
  /** Who holds it suspended: a holder, or the gateway on behalf of operator and rules. */
  readonly suspendedBy: ReadonlySet<PartyId>;
  /** The limits on runs are used up. */
  readonly isCompleted: boolean;
}

export type ContractAction =
  | 'sign'
  | 'refuse'
  | 'suspend'
  | 'resume'
  | 'revoke'
  | 'complete'
  | 'run';

/** Where a contract stands at this time. */
export function stateOf(facts: ContractFacts, nowMs: number): ContractState {
  const { validity } = facts.contract;
  if (facts.revokedBy.size > 0) return 'revoked';
  if (facts.refusedBy.size > 0) return 'refused';
  if (nowMs >= Date.parse(validity.notAfter)) return 'expired';
  if (!signatoriesOf(facts.contract).every((party) => facts.signedBy.has(party.id))) {
    return 'proposed';
  }
  if (facts.isCompleted) return 'completed';
  if (facts.suspendedBy.size > 0) return 'suspended';
  return nowMs < Date.parse(validity.notBefore) ? 'signed' : 'active';
}

/** In which states an action changes something; everything else is refused. */
const ALLOWED: Readonly<Record<ContractAction, readonly ContractState[]>> = {
  sign: ['proposed'],
  refuse: ['proposed'],
  suspend: ['signed', 'active', 'suspended'],
  resume: ['suspended'],
  revoke: ['proposed', 'signed', 'active', 'suspended', 'completed'],
  complete: ['active', 'suspended'],
  run: ['active'],
};

/**
 * Whether this party may do this now. The analyst and the holders sign; a holder that has not
 * signed refuses, one that has revokes; a holder or the gateway suspends, and only who suspended
 * resumes; the gateway notes completion; the analyst runs.
 * @param gateway - the party id that stands for the gateway's operator and rules.
 * @throws IdentityError `party-not-in-contract`; StateError `contract-not-active`;
 *   PolicyError `contract-revoked`, `contract-expired`; MeteringError `quota-exceeded`
 */
export function checkAction(
  action: ContractAction,
  actor: PartyId,
  facts: ContractFacts,
  nowMs: number,
  gateway: PartyId,
): void {
  if (!mayAct(action, actor, facts, gateway)) {
    throw new IdentityError(
      'party-not-in-contract',
      `This party may not ${action} this contract.`,
      {
        party: actor,
        rule: `who may ${action}`,
      },
    );
  }
  const state = stateOf(facts, nowMs);
  if (ALLOWED[action].includes(state)) return;
  const named = { party: actor, rule: `${action} while ${ALLOWED[action].join(' or ')}` };
  if (state === 'revoked') {
    throw new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
      ...named,
      remedy: 'Agree on a new contract.',
    });
  }
  if (state === 'expired') {
    throw new PolicyError('contract-expired', 'The contract has ended.', {
      ...named,
      remedy: 'Agree on a new contract.',
    });
  }
  if (state === 'completed' && action === 'run') {
    throw new MeteringError('quota-exceeded', 'The contract’s limits are used up.', {
      ...named,
      remedy: 'Agree on a new contract.',
    });
  }
  const remedy = REMEDIES[state];
  throw new StateError('contract-not-active', `The contract is ${state}.`, {
    ...named,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

const REMEDIES: Partial<Record<ContractState, string>> = {
  proposed: 'Every holder’s officer is to sign it first; `weir contract list` shows how many have.',
  signed: 'It begins on the date that stands in it.',
  suspended: 'Who suspended it lifts that: `weir contract resume`.',
  refused: 'Agree on a new contract.',
};

/** Why runs of a contract end, those at work too; undefined where they may go on. */
export function stopReason({
  revokedBy: [revoker],
  suspendedBy: [suspender],
}: {
  readonly revokedBy: Iterable<PartyId>;
  readonly suspendedBy: Iterable<PartyId>;
}): WeirError | undefined {
  if (revoker !== undefined) {
    return new PolicyError('contract-revoked', `${revoker} has revoked the contract.`, {
      party: revoker,
      remedy: 'Agree on a new contract.',
    });
  }
  if (suspender === undefined) return undefined;
  return new StateError('contract-not-active', `${suspender} has suspended the contract.`, {
    party: suspender,
    remedy: `${suspender} lifts the suspension.`,
  });
}

function mayAct(
  action: ContractAction,
  actor: PartyId,
  facts: ContractFacts,
  gateway: PartyId,
): boolean {
  const { contract, signedBy, suspendedBy } = facts;
  const isHolder = contract.holders.some((holder) => holder.id === actor);
  switch (action) {
    case 'sign':
      return isHolder || actor === contract.analyst.id;
    case 'refuse':
      return isHolder && !signedBy.has(actor);
    case 'revoke':
      return isHolder && signedBy.has(actor);
    case 'suspend':
      return isHolder || actor === gateway;
    case 'resume':
      return (isHolder || actor === gateway) && suspendedBy.has(actor);
    case 'complete':
      return actor === gateway;
    case 'run':
      return actor === contract.analyst.id;
  }
}
