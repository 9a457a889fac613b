/** May this plan match these datasets? The part of `planRefusals` about keys, values and groups. */
import type { MatchPlan } from '../contracts/plan.ts';
import { InputError, PolicyError, type WeirError } from '../errors.ts';
import { boundsRefusals, groupRefusals, partitionRefusals } from './check-columns.ts';
import type { PlanDraft } from './plan-draft.ts';
import { keyColumnRefusals, withColumn } from './column-use.ts';
import type { PublishedDataset } from './published.ts';
import { repeatRefusals } from './repeat-rule.ts';

/** A shared key shows that both holders have it, so both must let it be revealed. */
export function matchRefusals(
  contract: PlanDraft,
  plan: MatchPlan,
  dataset: PublishedDataset,
): WeirError[] {
  return [
    ...keyRefusals(plan, dataset),
    ...matchGroupRefusals(contract, plan, dataset),
    ...summedRefusals(contract, plan, dataset),
    ...unitRefusals(contract, keysAt(plan, dataset), dataset),
    ...repeatRefusals(contract, plan, dataset),
  ];
}

function keysAt(plan: MatchPlan, dataset: PublishedDataset): readonly string[] {
  return plan.key.flatMap(({ columns }) =>
    columns.filter(({ holder }) => holder === dataset.holder).map(({ column }) => column),
  );
}

/** Noise on a number of keys hides a person only where the key is the person. */
export function unitRefusals(
  contract: PlanDraft,
  names: readonly string[],
  dataset: PublishedDataset,
): WeirError[] {
  if (contract.disclosure.noise === undefined) return [];
  if (names.length === 1 && names[0] === dataset.privacyUnit) return [];
  return [
    new PolicyError('noise-required', 'A noised match joins on the privacy unit alone.', {
      party: dataset.holder,
      rule: 'privacyUnit',
      remedy: `Join on ${dataset.privacyUnit ?? 'a column that names a person or firm'}.`,
    }),
  ];
}

/** The groups are the receiver's, whole ones of a listed partition, as an aggregate's are. */
function matchGroupRefusals(
  contract: PlanDraft,
  { group, receiver }: MatchPlan,
  dataset: PublishedDataset,
): WeirError[] {
  if (group === undefined || dataset.holder !== receiver) return [];
  const grouped = { groups: [group] };
  const refusals = groupRefusals(contract, grouped, dataset);
  if (refusals.length > 0 || contract.disclosure.noise !== undefined) return refusals;
  return partitionRefusals(grouped, dataset);
}

/** The summed column is the other holder's, not the receiver's. */
function summedRefusals(
  contract: PlanDraft,
  plan: MatchPlan,
  dataset: PublishedDataset,
): WeirError[] {
  if (plan.sum === undefined || dataset.holder === plan.receiver) return [];
  const { column: name } = plan.sum;
  return withColumn(dataset, name, 'sum', (column) =>
    column.type === 'integer'
      ? boundsRefusals(contract, dataset, name)
      : [
          new InputError('parameter-invalid', 'Only whole numbers are summed over a join.', {
            column: name,
            party: dataset.holder,
            rule: `type ${column.type}`,
            remedy: 'A column of type integer.',
          }),
        ],
  );
}

function keyRefusals(plan: MatchPlan, dataset: PublishedDataset): WeirError[] {
  return plan.key.flatMap(({ columns, type }) =>
    columns
      .filter((entry) => entry.holder === dataset.holder)
      .flatMap(({ column: name }) => {
        const typed = keyColumnRefusals(dataset, name, type);
        if (plan.ask !== 'intersection' || typed.length > 0) return typed;
        return withColumn(dataset, name, 'reveal', () => []);
      }),
  );
}
