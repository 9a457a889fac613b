/** Drafts a contract by which two holders match, from the plan and what they publish. */
import type { DatasetBody } from '../contracts/api.ts';
import { type Contract, ContractSchema, type Party } from '../contracts/contract.ts';
import {
  DEFAULT_LIMITS,
  DEFAULT_MATCH_NOISE,
  DEFAULT_NOISED_RUNS,
  DEFAULT_PRICE,
  DEFAULT_TIME_ZONE,
} from '../contracts/default-terms.ts';
import type { NoiseTerms } from '../contracts/noise.ts';
import type { MatchPlan } from '../contracts/plan.ts';
import { InputError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import type { DraftTerms } from './draft-contract.ts';

export interface MatchDraftInput {
  readonly analyst: Party;
  readonly recipient: { readonly id: PartyId; readonly encryptionKey: string };
  readonly plan: MatchPlan;
  /** The dataset that each of the two holders takes part with. */
  readonly tables: ReadonlyMap<PartyId, string>;
  /** Everything that is published to the analyst. */
  readonly datasets: readonly DatasetBody[];
  readonly terms: Omit<DraftTerms, 'parameters' | 'minimumParties' | 'protocol' | 'dominance'>;
}

const DAY_MS = 86_400_000;
/** Fewer runs than of an aggregate, each of more work. */
const MATCH_LIMITS = {
  ...DEFAULT_LIMITS,
  runsTotal: 100,
  runsPerDay: 10,
  runsPerMonth: 100,
  computeMilliUnitsTotal: 100_000_000,
} as const;

/**
 * @throws InputError `dataset-unknown` where a holder publishes no such dataset, `column-unknown`
 *   where the summed column has no bounds or the groups' column no dictionary.
 */
export function draftMatch(input: MatchDraftInput): Contract {
  const { plan, terms } = input;
  const datasets = [...input.tables]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([holder, table]) => {
      const found = input.datasets.find(
        (dataset) => dataset.holder === holder && dataset.dataset === table,
      );
      if (found !== undefined) return found;
      throw new InputError('dataset-unknown', `${holder} publishes no dataset named ${table}.`, {
        party: holder,
        remedy: '`weir catalog` lists what is published.',
      });
    });
  const rowsMaxSum = datasets.reduce((sum, dataset) => sum + dataset.rowsMax, 0);
  const runsTotal = terms.limits.runsTotal ?? MATCH_LIMITS.runsTotal;
  const rounding = terms.rounding === undefined ? {} : { rounding: terms.rounding };
  const disclosure = { ...disclosureOf(datasets, terms.noise), ...rounding };
  return ContractSchema.parse({
    format: 'weir-contract/1',
    id: terms.id,
    title: terms.title,
    purpose: terms.purpose,
    ...(terms.purposeCode === undefined ? {} : { purposeCode: terms.purposeCode }),
    legalBasis: terms.legalBasis,
    analyst: input.analyst,
    holders: datasets.map((dataset) => dataset.party),
    datasets: datasets.map(({ holder, dataset, rowsMax }) => ({
      holder,
      dataset,
      version: 'any',
      rowsMax,
    })),
    plan,
    parameters: {},
    dictionaries: dictionariesOf(plan, datasets),
    bounds: boundsOf(plan, datasets),
    protocol: { name: 'psi' },
    recipient: input.recipient,
    disclosure,
    ...(terms.release === undefined ? {} : { release: terms.release }),
    limits: {
      ...MATCH_LIMITS,
      microRhoTotal: (disclosure.noise?.microRhoPerRun ?? 0) * DEFAULT_NOISED_RUNS,
      rowsTotal: rowsMaxSum * runsTotal,
      ...terms.limits,
    },
    timeZone: DEFAULT_TIME_ZONE,
    validity: {
      notBefore: terms.notBefore.toISOString(),
      notAfter: new Date(terms.notBefore.getTime() + terms.validDays * DAY_MS).toISOString(),
    },
    resultRetentionS: terms.resultRetentionS,
    price: DEFAULT_PRICE,
    minimumParties: 2,
  });
}

/** The stricter holder's rules, and noise wherever one needs it: a key is a unit, and counts once. */
function disclosureOf(
  datasets: readonly DatasetBody[],
  stated: NoiseTerms | undefined,
): Contract['disclosure'] {
  const isImportant = datasets.some((dataset) => dataset.grade === 'important');
  const rules = { smallestCell: isImportant ? 10 : 3, smallestContributors: 2 };
  const noise = stated ?? (isImportant ? DEFAULT_MATCH_NOISE : undefined);
  return noise === undefined ? rules : { ...rules, noise };
}

/** The one that the receiver publishes for its groups. */
function dictionariesOf(
  plan: MatchPlan,
  datasets: readonly DatasetBody[],
): Contract['dictionaries'] {
  if (plan.group === undefined) return [];
  const { column } = plan.group;
  const receiver = datasets.find(({ holder }) => holder === plan.receiver);
  const dictionary = receiver?.dictionaries.find((entry) => entry.column === column);
  if (dictionary !== undefined) return [dictionary];
  throw new InputError(
    'column-unknown',
    `${plan.receiver} publishes no dictionary for ${column}.`,
    {
      column,
      party: plan.receiver,
      remedy: 'Group by a column of the receiver’s that has a dictionary.',
    },
  );
}

/** Those that the holder of the summed column publishes. */
function boundsOf(plan: MatchPlan, datasets: readonly DatasetBody[]): Contract['bounds'] {
  if (plan.sum === undefined) return [];
  const { column } = plan.sum;
  const sender = datasets.find(({ holder }) => holder !== plan.receiver);
  const bounds = sender?.bounds.find((entry) => entry.column === column);
  if (bounds !== undefined) return [bounds];
  throw new InputError('column-unknown', `No bounds are published for ${column}.`, {
    column,
    ...(sender === undefined ? {} : { party: sender.holder }),
    remedy: 'Sum a column with bounds.',
  });
}
