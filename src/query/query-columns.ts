/** Names in a query to published columns, and the few expressions that name a derived one. */
import type { PublishedColumn } from '../catalog/dataset.ts';
import type { PublishedDataset } from '../catalog/published.ts';
import { InputError } from '../errors.ts';
import { refuse, type QueryText } from './query-refusal.ts';
import type { ColumnNode, ExpressionNode, FunctionNode } from './sql-tree.ts';

/** What names mean: the dataset's columns, bare or after the table's name or alias. */
export interface Scope {
  readonly query: QueryText;
  readonly dataset: PublishedDataset;
  readonly qualifiers: readonly string[];
  /** Where each column first stands, filled in on the way: refusals of the plan point there. */
  readonly places: Map<string, string>;
}

/** Expressions that stand for a derivation, so that `hour(date)` finds the column derived so. */
function derivationOf({ function_name: name, children }: FunctionNode): string | undefined {
  const constant = children.find((child) => child.class === 'CONSTANT');
  const text = constant?.class === 'CONSTANT' ? constant.value.value : undefined;
  // One argument more would be left out unseen.
  if (children.length !== (name === 'strftime' ? 2 : 1)) return undefined;
  switch (name) {
    case 'hour':
      return 'hour';
    case 'isodow':
      return 'day-of-week';
    case 'date':
      return 'date';
    case 'strftime':
      return text === '%Y-%m' ? 'month' : undefined;
    default:
      return undefined;
  }
}

/** True for what can stand in GROUP BY: a column, a known derivation, a cast to DATE. */
export function isGroup(node: ExpressionNode): boolean {
  return node.class !== 'FUNCTION' || derivationOf(node) !== undefined;
}

/**
 * The published column a name means. Names match exactly; the refusal tells a near miss.
 * @throws InputError `column-unknown`, `query-not-supported`
 */
export function resolveColumn(scope: Scope, node: ColumnNode): PublishedColumn {
  const { query, dataset, qualifiers } = scope;
  const [qualifier, name] =
    node.column_names.length === 1 ? [undefined, node.column_names[0]] : node.column_names;
  const isQualified = qualifier === undefined || qualifiers.includes(qualifier);
  if (node.column_names.length > 2 || !isQualified || name === undefined) {
    refuse(query, node.query_location, 'the name is not of the dataset', 'A column’s bare name.');
  }
  const found = dataset.columns.find((column) => column.name === name);
  if (found !== undefined) {
    rememberPlace(scope, found.name, node.query_location);
    return found;
  }
  const near = dataset.columns.find(
    (column) => column.name.toLowerCase() === name.toLowerCase(),
  )?.name;
  const place = query.placeOf(node.query_location);
  throw new InputError('column-unknown', 'The dataset publishes no such column.', {
    column: name.slice(0, 63),
    party: dataset.holder,
    rule: `dataset ${dataset.name}`,
    ...(place === undefined ? {} : { path: place }),
    remedy:
      near === undefined
        ? `One of: ${dataset.columns.map((column) => column.name).join(', ')}.`
        : `Written ${near}.`,
  });
}

/**
 * The name of the group column an expression means.
 * @throws InputError `column-unknown`, `query-not-supported`
 */
export function resolveGroup(scope: Scope, node: ExpressionNode): string {
  const { query, dataset } = scope;
  const [argument, derive] =
    node.class === 'COLUMN_REF'
      ? [node, undefined]
      : node.class === 'CAST'
        ? [node.child, 'date']
        : [node.children.find((child) => child.class === 'COLUMN_REF'), derivationOf(node)];
  if (argument === undefined) {
    return refuse(query, node.query_location, 'this names no column', 'A group column.');
  }
  const column = resolveColumn(scope, argument);
  const found =
    derive === undefined
      ? column
      : dataset.columns.find(
          ({ derived }) => derived?.derive === derive && derived.from === column.name,
        );
  if (found?.labels !== undefined) {
    rememberPlace(scope, found.name, node.query_location);
    return found.name;
  }
  const groups = dataset.columns.filter(({ labels }) => labels !== undefined);
  return refuse(
    query,
    node.query_location,
    'the holder publishes no labels for this, so its values would be private',
    `One of: ${groups.map(({ name }) => name).join(', ') || 'none'}; or the holder publishes labels for ${column.name}.`,
    column.name,
  );
}

function rememberPlace({ query, places }: Scope, column: string, at: number | undefined): void {
  const place = query.placeOf(at);
  if (place !== undefined && !places.has(column)) places.set(column, place);
}
