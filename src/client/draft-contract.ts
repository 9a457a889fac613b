/**
 * Drafts a contract from a plan and what the holders publish: dictionaries, bounds, row caps and
 * keys come from the catalog, limits and prices from modest defaults that the analyst may change.
 */
import type { DatasetBody } from '../contracts/api.ts';
import { type Contract, ContractSchema, type Party } from '../contracts/contract.ts';
import {
  DEFAULT_LIMITS,
  defaultContributors,
  defaultNoise,
  DEFAULT_NOISED_RUNS,
  DEFAULT_PRICE,
  DEFAULT_TIME_ZONE,
} from '../contracts/default-terms.ts';
import { strictestDominance, type DominanceTerms } from '../contracts/dominance-terms.ts';
import type { NoiseTerms } from '../contracts/noise.ts';
import { aggregatePlanOf } from '../contracts/plan-fits.ts';
import type { Parameter, Plan } from '../contracts/plan.ts';
import type { ReleaseTerms } from '../contracts/release-terms.ts';
import type { RoundingTerms } from '../contracts/rounding-terms.ts';
import { InputError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';

export interface DraftTerms {
  readonly id: string;
  readonly title: Contract['title'];
  readonly purpose: Contract['purpose'];
  readonly purposeCode?: string;
  readonly legalBasis: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly limits: Partial<Contract['limits']>;
  readonly minimumParties: number | undefined;
  readonly notBefore: Date;
  readonly validDays: number;
  readonly resultRetentionS: number;
  /** Noise of each run; where a dataset is important and nothing is stated, a modest default. */
  readonly noise?: NoiseTerms;
  /** An aggregate's alone; where datasets demand more, the strictest of all. */
  readonly dominance?: DominanceTerms;
  readonly rounding?: RoundingTerms;
  /** Officers must release each result. */
  readonly release?: ReleaseTerms;
  /** A secure sum unless stated otherwise. */
  readonly protocol?: Contract['protocol'];
}

export interface DraftInput {
  readonly analyst: Party;
  readonly recipient: { readonly id: PartyId; readonly encryptionKey: string };
  readonly plan: Plan;
  /** The holders' datasets under the plan's table name, at most one a holder. */
  readonly datasets: readonly DatasetBody[];
  readonly terms: DraftTerms;
}

const DAY_MS = 86_400_000;

/**
 * @throws InputError `dataset-unknown` where nobody publishes the table, `column-unknown` where the
 * holders' dictionaries or bounds for a column differ or are missing.
 */
export function draftContract(input: DraftInput): Contract {
  const { terms } = input;
  const plan = aggregatePlanOf(input);
  const datasets = input.datasets
    .filter((dataset) => dataset.dataset === plan.table)
    .toSorted((a, b) => (a.holder < b.holder ? -1 : 1));
  const [first] = datasets;
  if (first === undefined) {
    throw new InputError('dataset-unknown', `Nobody publishes a dataset named ${plan.table}.`, {
      remedy: '`weir catalog` lists what is published.',
    });
  }
  const rowsMaxSum = datasets.reduce((sum, dataset) => sum + dataset.rowsMax, 0);
  const runsTotal = terms.limits.runsTotal ?? DEFAULT_LIMITS.runsTotal;
  const measured = [
    ...new Set(plan.measures.flatMap((measure) => ('column' in measure ? [measure.column] : []))),
  ];
  const disclosure = disclosureOf(datasets, terms, measured.length > 0);
  return ContractSchema.parse({
    format: 'weir-contract/1',
    id: terms.id,
    title: terms.title,
    purpose: terms.purpose,
    ...(terms.purposeCode === undefined ? {} : { purposeCode: terms.purposeCode }),
    legalBasis: terms.legalBasis,
    analyst: input.analyst,
    holders: datasets.map((dataset) => dataset.party),
    datasets: datasets.map((dataset) => ({
      holder: dataset.holder,
      dataset: dataset.dataset,
      version: 'any',
      rowsMax: dataset.rowsMax,
    })),
    plan,
    parameters: terms.parameters,
    dictionaries: plan.groups.map((group) =>
      common(datasets, group.column, (dataset) =>
        dataset.dictionaries.find((dictionary) => dictionary.column === group.column),
      ),
    ),
    bounds: measured.map((column) =>
      common(datasets, column, (dataset) =>
        dataset.bounds.find((bounds) => bounds.column === column),
      ),
    ),
    protocol: terms.protocol ?? { name: 'secure-sum' },
    recipient: input.recipient,
    disclosure,
    ...(terms.release === undefined ? {} : { release: terms.release }),
    limits: {
      ...DEFAULT_LIMITS,
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
    minimumParties: terms.minimumParties ?? Math.max(2, datasets.length),
  });
}

/** The strictest holder's rules, and noise wherever one needs it. */
function disclosureOf(
  datasets: readonly DatasetBody[],
  terms: DraftTerms,
  isMeasuring: boolean,
): Contract['disclosure'] {
  const isImportant = datasets.some((dataset) => dataset.grade === 'important');
  // Never more than may take part: such a run would be charged and release nothing.
  const parties = terms.minimumParties ?? datasets.length;
  const smallestContributors = defaultContributors(parties);
  const rules = { smallestCell: isImportant ? 10 : 3, smallestContributors };
  const noise = terms.noise ?? (isImportant ? defaultNoise(parties) : undefined);
  const rounding = terms.rounding === undefined ? {} : { rounding: terms.rounding };
  if (noise !== undefined) return { ...rules, noise, ...rounding };
  const dominance = isMeasuring ? strictestDominance([...datasets, terms]) : {};
  return { ...rules, complementary: true, ...dominance, ...rounding };
}

/** What all holders publish alike for a column; a difference between them names the column. */
function common<Published>(
  datasets: readonly DatasetBody[],
  column: string,
  published: (dataset: DatasetBody) => Published | undefined,
): Published {
  const [first, ...others] = datasets.map((dataset) => ({
    holder: dataset.holder,
    value: published(dataset),
  }));
  if (first?.value === undefined) {
    throw new InputError(
      'column-unknown',
      `${first?.holder ?? 'Nobody'} publishes no dictionary or bounds for ${column}.`,
      { column, remedy: 'Group by columns with a dictionary; measure columns with bounds.' },
    );
  }
  const agreed = JSON.stringify(first.value);
  for (const other of others) {
    if (JSON.stringify(other.value) !== agreed) {
      throw new InputError(
        'column-unknown',
        `${first.holder} and ${other.holder} publish different dictionaries or bounds for ${column}.`,
        { column, party: other.holder, remedy: 'The holders publish the same ones.' },
      );
    }
  }
  return first.value;
}
