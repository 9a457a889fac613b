/** What holders publish about columns, held against what a plan does with them. */
import { InputError, PolicyError, type WeirError } from '../errors.ts';
import type { PlanDraft } from './plan-draft.ts';
import { withColumn } from './column-use.ts';
import type { PublishedDataset } from './published.ts';

/** A plan by groups. */
export interface Grouped {
  readonly groups: readonly { readonly column: string }[];
}

/** The plan’s groups, each with the labels that the holder publishes. */
export function groupRefusals(
  contract: PlanDraft,
  plan: Grouped,
  dataset: PublishedDataset,
): WeirError[] {
  return plan.groups.flatMap(({ column: name }) =>
    withColumn(dataset, name, 'group', (column) => {
      const agreed = contract.dictionaries.find((entry) => entry.column === name)?.labels;
      const isSame =
        agreed !== undefined &&
        agreed.length === column.labels?.length &&
        agreed.every((label, index) => label === column.labels?.[index]);
      if (isSame) return [];
      return [
        new InputError('parameter-invalid', 'The dictionary is not the one the holder publishes.', {
          column: name,
          party: dataset.holder,
          rule: 'dictionaries',
          remedy: 'The published labels, in their order.',
        }),
      ];
    }),
  );
}

/** The bounds are those that the holder publishes, where it publishes any. */
export function boundsRefusals(
  contract: PlanDraft,
  dataset: PublishedDataset,
  name: string,
): WeirError[] {
  const own = dataset.columns.find((column) => column.name === name)?.bounds;
  const agreed = contract.bounds.find((entry) => entry.column === name);
  if (own === undefined) return [];
  const isSame =
    agreed !== undefined &&
    BigInt(agreed.minimum) === BigInt(own.minimum) &&
    BigInt(agreed.maximum) === BigInt(own.maximum) &&
    agreed.scale === own.scale;
  if (isSame) return [];
  return [
    new InputError('parameter-invalid', 'The bounds are not the ones the holder publishes.', {
      column: name,
      party: dataset.holder,
      rule: 'bounds',
      remedy: `minimum ${own.minimum}, maximum ${own.maximum}, scale ${own.scale}`,
    }),
  ];
}

/** Two partitions of the same rows subtract to cells of neither, so only whole listed ones pass. */
export function partitionRefusals(plan: Grouped, dataset: PublishedDataset): WeirError[] {
  const groups = plan.groups.map((group) => group.column);
  const isListed = dataset.partitions.some(
    (partition) =>
      partition.length === groups.length && groups.every((name) => partition.includes(name)),
  );
  if (isListed) return [];
  const offered = dataset.partitions.map((partition) => partition.join(' × ') || '(no groups)');
  return [
    new PolicyError('column-usage-forbids', 'These columns are not released exactly together.', {
      party: dataset.holder,
      rule: 'partitions',
      remedy: `Group by one of: ${offered.join('; ') || 'none'}; or the holder adds the partition ${groups.join(' × ') || '(no groups)'}.`,
    }),
  ];
}
