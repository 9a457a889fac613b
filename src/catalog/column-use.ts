/** What a holder lets be done with a column, and which columns a key of a match can be read from. */
import { InputError, PolicyError, type ErrorFacts, type WeirError } from '../errors.ts';
import type { KeyType } from '../contracts/plan.ts';
import type { ColumnUse, PublishedColumn } from './dataset.ts';
import type { PublishedDataset } from './published.ts';

/** Types a key column of the plan may be read from. */
const KEY_TYPES: Readonly<Record<KeyType, readonly string[]>> = {
  text: ['text', 'integer', 'date'],
  'text-exact': ['text', 'integer', 'date'],
  integer: ['integer', 'text'],
  date: ['date', 'timestamp', 'text'],
};

/** Why a column may not be, or cannot be read as, a key of this type; empty where it may. */
export function keyColumnRefusals(
  dataset: PublishedDataset,
  name: string,
  type: KeyType,
): WeirError[] {
  return withColumn(dataset, name, 'join', (column) =>
    KEY_TYPES[type].includes(column.type)
      ? []
      : [
          new InputError('parameter-invalid', 'The column is not of the key’s type.', {
            column: name,
            party: dataset.holder,
            rule: `key type ${type}`,
            remedy: `A column of type ${KEY_TYPES[type].join(' or ')}.`,
          }),
        ],
  );
}

/** Why a column may not be used so; what `further` finds of one that may. */
export function withColumn(
  dataset: PublishedDataset,
  name: string,
  use: ColumnUse,
  further: (column: PublishedColumn) => WeirError[],
): WeirError[] {
  const facts: ErrorFacts = { column: name, party: dataset.holder };
  const place = `${dataset.holder}’s dataset ${dataset.name}`;
  const column = dataset.columns.find((one) => one.name === name);
  if (column === undefined) {
    return [
      new InputError('column-unknown', `${place} has no column ${name}.`, {
        ...facts,
        rule: `dataset ${dataset.name}`,
        remedy: '`weir catalog` lists the columns of every holder.',
      }),
    ];
  }
  if (!column.usage.includes(use)) {
    return [
      new PolicyError(
        'column-usage-forbids',
        `Column ${name} of ${place} may not be used for ${use}.`,
        {
          ...facts,
          rule: `usage ${column.usage.join(', ') || 'none'}`,
          remedy: `The smallest grant: the holder adds ${use} to the usage of ${name}.`,
        },
      ),
    ];
  }
  return further(column);
}
