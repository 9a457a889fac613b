/** The two datasets of a join, and which of them a name in the query means. */
import type { PublishedDataset } from '../catalog/published.ts';
import { InputError } from '../errors.ts';
import type { Scope } from './query-columns.ts';
import { refuse, type QueryText, type Refusals } from './query-refusal.ts';
import { JOIN_SHAPE } from './sql-parser.ts';
import type { ColumnNode, ExpressionNode, JoinedTableNode, JoinNode } from './sql-tree.ts';

/** One dataset of the join. */
export interface Side {
  readonly scope: Scope;
  /** What its columns can stand behind: its alias; without one its name, its holder, or both. */
  readonly qualifiers: readonly string[];
}
export type Sides = readonly [left: Side, right: Side];

/** Both sides; what is refused of either goes to `refusals`. */
export function sidesOf(
  query: QueryText,
  join: JoinNode,
  published: readonly PublishedDataset[],
  refusals: Refusals,
): Sides | undefined {
  const left = refusals.try(() => datasetOf(query, join.left, published));
  const right = refusals.try(() => datasetOf(query, join.right, published));
  if (left === undefined || right === undefined) return undefined;
  const isTwice = left.holder === right.holder;
  const side = (table: JoinedTableNode, other: JoinedTableNode, of: PublishedDataset): Side => ({
    scope: { query, dataset: of, qualifiers: [], places: new Map() },
    qualifiers: qualifiersOf(table, other, of),
  });
  return refusals.try(() => {
    if (isTwice) {
      const rule = 'both datasets are one holder’s, and a match is between two';
      refuse(query, join.query_location, rule, 'A dataset of another holder.');
    }
    return [side(join.left, join.right, left), side(join.right, join.left, right)];
  });
}

function datasetOf(
  query: QueryText,
  table: JoinedTableNode,
  published: readonly PublishedDataset[],
): PublishedDataset {
  const { table_name: name, schema_name: holder, query_location: at } = table;
  const named = published.filter((dataset) => dataset.name === name);
  const found = holder === '' ? named : named.filter((dataset) => dataset.holder === holder);
  const [only, second] = found;
  if (only !== undefined && second === undefined) return only;
  if (second !== undefined) {
    const remedy = `One of: ${found.map((dataset) => `${dataset.holder}.${name}`).join(', ')}.`;
    refuse(query, at, `${found.length} holders publish ${name}`, remedy);
  }
  const place = query.placeOf(at);
  const all = published.map((dataset) => `${dataset.holder}.${dataset.name}`);
  throw new InputError('dataset-unknown', 'No holder publishes a dataset of this name.', {
    rule: `dataset ${holder === '' ? '' : `${holder.slice(0, 63)}.`}${name.slice(0, 63)}`,
    ...(place === undefined ? {} : { path: place }),
    remedy: `One of: ${all.join(', ') || 'none is published'}.`,
  });
}

function qualifiersOf(
  table: JoinedTableNode,
  other: JoinedTableNode,
  { holder, name }: PublishedDataset,
): readonly string[] {
  if (table.alias !== '') return [table.alias];
  const full = `${holder}.${name}`;
  return name === other.table_name ? [holder, full] : [name, holder, full];
}

/** A column with the side it is of, its name bare. @throws InputError `query-not-supported` */
export function localColumn(sides: Sides, node: ColumnNode): { side: Side; node: ColumnNode } {
  const name = node.column_names.at(-1) ?? '';
  const qualifier = node.column_names.slice(0, -1).join('.');
  const { query } = sides[0].scope;
  const found = sides.filter(({ qualifiers, scope }) =>
    qualifier === ''
      ? scope.dataset.columns.some((column) => column.name === name)
      : qualifiers.includes(qualifier),
  );
  const [side, second] = found;
  const names = sides.map(({ qualifiers }) => `${qualifiers[0] ?? ''}.${name}`);
  if (second !== undefined) {
    const rule = `both datasets have a column ${name}`;
    refuse(query, node.query_location, rule, `${names.join(' or ')}.`, name.slice(0, 63));
  }
  if (side === undefined) {
    const rule = qualifier === '' ? 'no dataset has this column' : 'the name is of neither dataset';
    refuse(query, node.query_location, rule, JOIN_SHAPE, name.slice(0, 63));
  }
  return { side, node: { ...node, column_names: [name] } };
}

/** An expression over one column, with the side it is of. @throws as `localColumn` */
export function localExpression(
  sides: Sides,
  node: ExpressionNode,
): { side: Side; node: ExpressionNode } {
  if (node.class === 'COLUMN_REF') return localColumn(sides, node);
  if (node.class === 'CAST') {
    const { side, node: child } = localColumn(sides, node.child);
    return { side, node: { ...node, child } };
  }
  let side: Side | undefined;
  const children = node.children.map((child) => {
    if (child.class !== 'COLUMN_REF') return child;
    const local = localColumn(sides, child);
    side = local.side;
    return local.node;
  });
  if (side !== undefined) return { side, node: { ...node, children } };
  const { query } = sides[0].scope;
  return refuse(query, node.query_location, 'this names no column', JOIN_SHAPE);
}
