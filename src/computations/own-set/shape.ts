/** What a match with an analyst's own set looks like, from contract and request alone: no row is read. */
import { ownSetItems } from '../../contracts/check-own-set.ts';
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments, OwnSetPlan } from '../../contracts/plan.ts';
import { noisePlan, type VectorNoise } from '../../disclosure/noise-plan.ts';
import { InputError } from '../../errors.ts';
import type { PartyId } from '../../system/ids.ts';
import type { OwnSetSizes } from '../../../protocols/psi/own-set.ts';
import {
  bucketOf,
  CHUNK_ITEMS,
  SET_SIZE_MAX,
  type PsiParams,
} from '../../../protocols/psi/params.ts';

/** The engine a descriptor names: a change of the protocol's bytes changes it. */
export const ENGINE = 'psi-ecdh-probed/1';

export interface OwnSetShape {
  readonly plan: OwnSetPlan;
  readonly holder: PartyId;
  readonly analyst: PartyId;
  readonly rowsMax: number;
  readonly sizes: OwnSetSizes;
  /** Items on the wire: the holder's list is twice its room. */
  readonly itemsTotal: number;
  /** The holder's noise on the number. */
  readonly noise: VectorNoise;
}

/**
 * Plans a run.
 * @throws InputError `query-not-supported`, `parameter-invalid`, `set-too-large`; PolicyError
 *   `plan-outside-contract`
 */
export function ownSetShapeOf(contract: Contract, args: Arguments): OwnSetShape {
  const { plan, disclosure } = contract;
  const [dataset, ...others] = contract.datasets;
  const { noise } = disclosure;
  const isOne = dataset !== undefined && others.length === 0;
  if (plan.kind !== 'own-set' || noise === undefined || !isOne) {
    throw new InputError(
      'query-not-supported',
      'The contract’s plan matches no set of its analyst.',
      {
        rule: `plan ${plan.kind}`,
        remedy: 'Choose the protocol that the plan is for.',
      },
    );
  }
  const sizes = {
    holderItems: bucketOf(dataset.rowsMax),
    analystItems: ownSetItems(plan, args),
  };
  if (2 * sizes.holderItems > SET_SIZE_MAX) {
    throw new InputError('set-too-large', 'The dataset has more rows than can be matched.', {
      rule: `at most ${SET_SIZE_MAX / 2} rows`,
      remedy: 'Agree on a lower row cap.',
    });
  }
  return {
    plan,
    holder: dataset.holder,
    analyst: contract.analyst.id,
    rowsMax: dataset.rowsMax,
    sizes,
    itemsTotal: 2 * sizes.holderItems + sizes.analystItems,
    noise: noisePlan(noise, [], 1).rows,
  };
}

/**
 * The protocol's parameters of one side. Padded to its room as a whole: padding takes the time that
 * items take, so that it does not show when points come how many there are.
 */
export function ownSetParams(
  { sizes }: OwnSetShape,
  descriptorHash: Uint8Array,
  side: 'holder' | 'analyst',
): PsiParams {
  const { holderItems, analystItems } = sizes;
  return {
    mode: 'cardinality',
    context: descriptorHash,
    padding: 'cap',
    duplicates: 'distinct',
    noiseSlots: 0,
    chunkItems: CHUNK_ITEMS,
    setSizeMax: side === 'holder' ? holderItems : analystItems,
    peerSizeMax: side === 'holder' ? analystItems : 2 * holderItems,
  };
}
