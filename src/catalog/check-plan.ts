/**
 * May this contract's plan run over these datasets? Asked of published facts alone, so that the
 * gateway, a mock run and every domain give the same verdict, and none of them reads a row.
 */
import { measuredColumns } from '../contracts/plan-fits.ts';
import type { AggregatePlan, Measure } from '../contracts/plan.ts';
import { InputError, PolicyError, type WeirError } from '../errors.ts';
import type { PartyId } from '../system/ids.ts';
import { boundsRefusals, groupRefusals, partitionRefusals } from './check-columns.ts';
import { consentRefusals } from './check-consent.ts';
import { dominanceRefusals } from './check-dominance.ts';
import { matchRefusals, unitRefusals } from './check-match-plan.ts';
import { keyColumnRefusals, withColumn } from './column-use.ts';
import type { Grade } from './dataset.ts';
import type { PlanDraft } from './plan-draft.ts';
import type { PublishedDataset } from './published.ts';

/** The smallest cell each grade lets out. @see GB/T 43697 for the grades */
export const SMALLEST_CELL: Record<Exclude<Grade, 'core'>, number> = { general: 3, important: 10 };

/**
 * Every reason why the contract may not run, each naming column, rule, party and the smallest
 * grant or change that would let it pass; empty where it may. Reads nothing but its arguments.
 * @param holders - whose datasets to check; a domain asks for its own alone.
 */
export function planRefusals(
  contract: PlanDraft,
  published: readonly PublishedDataset[],
  holders: readonly PartyId[] = contract.datasets.map((entry) => entry.holder),
): readonly WeirError[] {
  return contract.datasets
    .filter((entry) => holders.includes(entry.holder))
    .flatMap((entry) => {
      const dataset = published.find(
        (one) => one.holder === entry.holder && one.name === entry.dataset,
      );
      if (dataset === undefined) {
        return [
          new InputError('dataset-unknown', 'The holder publishes no such dataset.', {
            party: entry.holder,
            rule: `dataset ${entry.dataset}`,
            remedy: 'Choose a dataset from the catalog, or ask the holder to register it.',
          }),
        ];
      }
      return datasetRefusals(contract, entry, dataset);
    });
}

/**
 * Passes where the contract may run.
 * @throws the first of `planRefusals`: InputError `dataset-unknown`, `column-unknown`,
 * `parameter-invalid`; PolicyError `grade-forbids-protocol`, `noise-required`, `cell-too-small`,
 * `column-usage-forbids`, `dataset-drifted`
 */
export function checkPlan(
  contract: PlanDraft,
  published: readonly PublishedDataset[],
  holders?: readonly PartyId[],
): void {
  const [first] = planRefusals(contract, published, holders);
  if (first !== undefined) throw first;
}

function datasetRefusals(
  contract: PlanDraft,
  entry: PlanDraft['datasets'][number],
  dataset: PublishedDataset,
): WeirError[] {
  const graded = gradeRefusals(contract, dataset);
  // Whatever else were granted, this grade stays closed: no remedy to offer column by column.
  if (graded !== undefined) return [graded];
  return [
    ...versionRefusals(entry, dataset),
    ...cellRefusals(contract, dataset),
    ...consentRefusals(contract.purposeCode, dataset),
    ...dominanceRefusals(contract, dataset),
    ...planKindRefusals(contract, dataset),
  ];
}

function planKindRefusals(contract: PlanDraft, dataset: PublishedDataset): WeirError[] {
  const { plan } = contract;
  switch (plan.kind) {
    case 'match':
      return matchRefusals(contract, plan, dataset);
    case 'own-set':
      return [
        ...keyColumnRefusals(dataset, plan.key.column, plan.key.type),
        ...unitRefusals(contract, [plan.key.column], dataset),
      ];
    case 'aggregate':
      return aggregateRefusals(contract, plan, dataset);
  }
}

function aggregateRefusals(
  contract: PlanDraft,
  plan: AggregatePlan,
  dataset: PublishedDataset,
): WeirError[] {
  return [
    ...groupRefusals(contract, plan, dataset),
    ...selectRefusals(plan, dataset),
    ...measureRefusals(contract, plan, dataset),
    // Noised cells are paid for whatever they are of; only exact ones need a fixed partition.
    ...(contract.disclosure.noise === undefined
      ? [...partitionRefusals(plan, dataset), ...complementRefusals(contract, dataset)]
      : []),
  ];
}

function gradeRefusals(contract: PlanDraft, dataset: PublishedDataset): PolicyError | undefined {
  const party = dataset.holder;
  if (dataset.grade === 'core') {
    return new PolicyError('grade-forbids-protocol', 'Core data takes part in no computation.', {
      party,
      rule: 'grade core',
      remedy: 'None: whatever is signed, this dataset stays closed.',
    });
  }
  if (dataset.grade === 'important' && contract.disclosure.noise === undefined) {
    return new PolicyError(
      'noise-required',
      `Important data leaves in noised aggregates only, and this ${contract.protocol.name} is exact.`,
      {
        party,
        rule: 'grade important',
        remedy:
          'A secure, sealed or weighted sum or a match with disclosure.noise: terms all holders sign.',
      },
    );
  }
  if (contract.disclosure.noise !== undefined && dataset.privacyUnit === undefined) {
    return new PolicyError('noise-required', 'Noise hides units, and the dataset names none.', {
      party,
      rule: 'privacyUnit',
      remedy: `The holder registers ${dataset.name} with the column that names a person or firm.`,
    });
  }
  return undefined;
}

function versionRefusals(
  entry: PlanDraft['datasets'][number],
  dataset: PublishedDataset,
): WeirError[] {
  const party = dataset.holder;
  const refusals: WeirError[] = [];
  if (entry.version !== 'any' && entry.version !== dataset.fingerprint) {
    refusals.push(
      new PolicyError('dataset-drifted', 'The dataset is not the version that was signed.', {
        party,
        rule: 'pinned version',
        remedy: 'New signatures over the current version.',
      }),
    );
  }
  if (entry.rowsMax < dataset.rowsMax) {
    refusals.push(
      new PolicyError(
        'dataset-drifted',
        'The dataset has more rows than the contract allows for.',
        {
          party,
          rule: 'rowsMax',
          remedy: `rowsMax ${dataset.rowsMax}`,
        },
      ),
    );
  }
  return refusals;
}

function cellRefusals(contract: PlanDraft, dataset: PublishedDataset): WeirError[] {
  if (dataset.grade === 'core') return [];
  const smallest = SMALLEST_CELL[dataset.grade];
  if (contract.disclosure.smallestCell >= smallest) return [];
  return [
    new PolicyError('cell-too-small', 'The smallest cell is below what the grade allows.', {
      party: dataset.holder,
      rule: `grade ${dataset.grade}`,
      remedy: `smallestCell ${smallest}`,
    }),
  ];
}

function selectRefusals(plan: AggregatePlan, dataset: PublishedDataset): WeirError[] {
  return plan.select.flatMap(({ column }) => withColumn(dataset, column, 'filter', () => []));
}

function measureRefusals(
  contract: PlanDraft,
  { measures }: AggregatePlan,
  dataset: PublishedDataset,
): WeirError[] {
  const uses = measures.flatMap((measure) => usesOf(measure, dataset));
  const bounds = measuredColumns(measures).flatMap((name) =>
    boundsRefusals(contract, dataset, name),
  );
  return [...uses, ...bounds];
}

function usesOf(measure: Measure, dataset: PublishedDataset): WeirError[] {
  switch (measure.fn) {
    case 'count':
      return [];
    case 'sum':
    case 'avg':
    case 'var':
      return withColumn(dataset, measure.column, measure.fn, () => []);
  }
}

/** All partitions of a dataset share its total: one withheld cell is that less the others. */
function complementRefusals(contract: PlanDraft, dataset: PublishedDataset): WeirError[] {
  if (dataset.privacyUnit === undefined || contract.disclosure.complementary === true) return [];
  return [
    new PolicyError('cell-too-small', 'A total could give a withheld cell of persons back.', {
      party: dataset.holder,
      rule: 'privacyUnit',
      remedy: 'disclosure.complementary true',
    }),
  ];
}
