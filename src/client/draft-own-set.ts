/** Drafts a contract over sets of the analyst's own, from the plan and what its holder publishes. */
import type { DatasetBody } from '../contracts/api.ts';
import { type Contract, ContractSchema, type Party } from '../contracts/contract.ts';
import {
  DEFAULT_LIMITS,
  DEFAULT_NOISE,
  DEFAULT_NOISED_RUNS,
  DEFAULT_PRICE,
  DEFAULT_TIME_ZONE,
} from '../contracts/default-terms.ts';
import type { OwnSetPlan } from '../contracts/plan.ts';
import { InputError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import type { DraftTerms } from './draft-contract.ts';

export interface OwnSetDraftInput {
  readonly analyst: Party;
  readonly recipient: { readonly id: PartyId; readonly encryptionKey: string };
  readonly plan: OwnSetPlan;
  /** The one holder's dataset. */
  readonly tables: ReadonlyMap<PartyId, string>;
  /** Everything that is published to the analyst. */
  readonly datasets: readonly DatasetBody[];
  readonly terms: Omit<DraftTerms, 'parameters' | 'minimumParties' | 'protocol'>;
}

const DAY_MS = 86_400_000;
/** As many runs as the budget is for: each costs anew. */
const OWN_SET_LIMITS = {
  ...DEFAULT_LIMITS,
  runsTotal: DEFAULT_NOISED_RUNS,
  runsPerDay: DEFAULT_NOISED_RUNS,
  runsPerMonth: DEFAULT_NOISED_RUNS,
  computeMilliUnitsTotal: 100_000_000,
} as const;

/** @throws InputError `malformed-message`, `dataset-unknown` where the holder publishes none such. */
export function draftOwnSet(input: OwnSetDraftInput): Contract {
  const { plan, terms } = input;
  const { party, dataset, rowsMax, grade } = datasetOf(input);
  const unit = { cellsPerUnit: 1, rowsPerCell: 1, honestDomains: 1 };
  const noise = terms.noise ?? { ...DEFAULT_NOISE, ...unit };
  const runsTotal = terms.limits.runsTotal ?? OWN_SET_LIMITS.runsTotal;
  return ContractSchema.parse({
    format: 'weir-contract/1',
    id: terms.id,
    title: terms.title,
    purpose: terms.purpose,
    ...(terms.purposeCode === undefined ? {} : { purposeCode: terms.purposeCode }),
    legalBasis: terms.legalBasis,
    analyst: input.analyst,
    holders: [party],
    datasets: [{ holder: party.id, dataset, version: 'any', rowsMax }],
    plan,
    parameters: {},
    dictionaries: [],
    bounds: [],
    protocol: { name: 'psi-own-set' },
    recipient: input.recipient,
    disclosure: {
      smallestCell: grade === 'important' ? 10 : 3,
      smallestContributors: 1,
      noise,
      ...(terms.rounding === undefined ? {} : { rounding: terms.rounding }),
    },
    ...(terms.release === undefined ? {} : { release: terms.release }),
    limits: {
      ...OWN_SET_LIMITS,
      microRhoTotal: noise.microRhoPerRun * runsTotal,
      rowsTotal: rowsMax * runsTotal,
      ...terms.limits,
    },
    timeZone: DEFAULT_TIME_ZONE,
    validity: {
      notBefore: terms.notBefore.toISOString(),
      notAfter: new Date(terms.notBefore.getTime() + terms.validDays * DAY_MS).toISOString(),
    },
    resultRetentionS: terms.resultRetentionS,
    price: DEFAULT_PRICE,
    minimumParties: 1,
    ...(terms.release === undefined ? {} : { release: terms.release }),
  });
}

function datasetOf({ tables, datasets }: OwnSetDraftInput): DatasetBody {
  const [named, ...others] = tables;
  if (named === undefined || others.length > 0) {
    throw new InputError('malformed-message', 'A set of your own is matched by one holder.', {
      rule: 'datasets',
      remedy: 'Name one holder and its dataset: "datasets":{"<holder>":"<dataset>"}.',
    });
  }
  const [holder, table] = named;
  const found = datasets.find((one) => one.holder === holder && one.dataset === table);
  if (found !== undefined) return found;
  throw new InputError('dataset-unknown', `${holder} publishes no dataset named ${table}.`, {
    party: holder,
    remedy: '`weir catalog` lists what is published.',
  });
}
