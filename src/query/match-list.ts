/** What a match's SELECT and GROUP BY ask: a number, a sum, by a group; or the keys. */
import type { PublishedColumn } from '../catalog/dataset.ts';
import type { MatchPlan } from '../contracts/plan.ts';
import { localColumn, localExpression, type Side, type Sides } from './match-sides.ts';
import { isGroup, resolveColumn, resolveGroup } from './query-columns.ts';
import { refuse, type QueryText, type Refusals } from './query-refusal.ts';
import { JOIN_SHAPE } from './sql-parser.ts';
import {
  ConstantNode,
  DistinctCountNode,
  ExpressionNode,
  FunctionNode,
  placeOfNode,
  type ColumnNode,
  type SelectNode,
} from './sql-tree.ts';

/** The number's column in every result. */
const SHARED = 'shared';

interface Group {
  readonly side: Side;
  readonly column: string;
  readonly as: string;
  readonly at: number | undefined;
}

export interface MatchList {
  readonly ask: MatchPlan['ask'];
  readonly isDistinct: boolean;
  readonly group: Group | undefined;
  readonly sum:
    | {
        readonly side: Side;
        readonly column: PublishedColumn;
        readonly as: string;
        readonly at: number | undefined;
      }
    | undefined;
  /** Where the first aggregate stands. */
  readonly at: number | undefined;
}

/** A list as it is read, item by item. */
interface Reading {
  readonly sides: Sides;
  readonly key: MatchPlan['key'];
  readonly query: QueryText;
  /** Columns without an aggregate, by their place in the list. */
  readonly plain: (ExpressionNode | undefined)[];
  counts: number;
  distinct: boolean;
  sum: MatchList['sum'];
  at: number | undefined;
}

/** Reads the list; what is refused of it goes to `refusals`. */
export function compileMatchList(
  sides: Sides,
  key: MatchPlan['key'],
  select: SelectNode,
  refusals: Refusals,
): MatchList {
  const { query } = sides[0].scope;
  const reading: Reading = {
    sides,
    key,
    query,
    plain: [],
    counts: 0,
    distinct: false,
    sum: undefined,
    at: undefined,
  };
  const before = refusals.found.length;
  for (const item of select.select_list) {
    const place = reading.plain.push(undefined) - 1;
    refusals.try(() => readItem(reading, item, place));
  }
  const { sum, distinct: isDistinct, at } = reading;
  const isCounted = reading.counts > 0 || sum !== undefined;
  const none = { isDistinct, group: undefined, sum, at };
  if (refusals.found.length > before) return { ...none, ask: 'cardinality' };
  if (!isCounted) {
    refusals.try(() => requireKeys(reading, select));
    return { ...none, ask: 'intersection' };
  }
  const group = refusals.try(() => groupOf(reading, select));
  refusals.try(() => refuseRepeated(reading, group));
  return { ...none, group, ask: sum === undefined ? 'cardinality' : 'sum' };
}

/** The number has a name of its own in every result. */
function refuseRepeated({ query, sum }: Reading, group: Group | undefined): void {
  const names = [SHARED, ...[group, sum].flatMap((one) => one?.as ?? [])];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return;
  const at = (sum?.as === twice ? sum : group)?.at;
  refuse(query, at, `two result columns are called ${twice}`, 'Name them apart with AS.');
}

function readItem(reading: Reading, item: unknown, place: number): void {
  const { query } = reading;
  const distinct = DistinctCountNode.safeParse(item);
  if (distinct.success) {
    const { children, alias, query_location: at } = distinct.data;
    const columns = children.flatMap((child) =>
      child.class === 'COLUMN_REF' ? [child] : child.children,
    );
    requireKey(reading, columns, at);
    count(reading, alias, at);
    reading.distinct = true;
    return;
  }
  const node = ExpressionNode.safeParse(item);
  if (!node.success) {
    refuse(
      query,
      placeOfNode(item),
      'a match counts and sums, by a plain group column',
      JOIN_SHAPE,
    );
  }
  if (isGroup(node.data)) {
    reading.plain[place] = node.data;
    return;
  }
  readAggregate(reading, FunctionNode.parse(item));
}

function readAggregate(reading: Reading, node: FunctionNode): void {
  const { query, sides } = reading;
  const { function_name: name, query_location: at, alias } = node;
  if (name === 'count_star') return count(reading, alias, at);
  const [argument] = node.children;
  if (name !== 'sum' || argument?.class !== 'COLUMN_REF' || node.children.length !== 1) {
    const rule = 'this is not one of COUNT(*), COUNT(DISTINCT key), SUM of a plain column';
    refuse(query, at, rule, JOIN_SHAPE);
  }
  if (reading.sum !== undefined) refuse(query, at, 'a match sums one column', 'A plan for each.');
  const local = localColumn(sides, argument);
  const column = resolveColumn(local.side.scope, local.node);
  if (column.bounds === undefined) {
    const rule = 'the holder publishes no bounds for the column, so it cannot be summed';
    refuse(query, at, rule, `The holder adds bounds and a use to ${column.name}.`, column.name);
  }
  const as = alias === '' ? `sum_${column.name}`.slice(0, 63) : alias;
  reading.sum = { side: local.side, column, as, at };
  reading.at ??= at;
}

function count(reading: Reading, alias: string, at: number | undefined): void {
  const { query } = reading;
  if (reading.counts > 0)
    refuse(query, at, 'a match counts once', 'COUNT(*) or COUNT(DISTINCT key).');
  if (alias !== '' && alias !== SHARED) {
    refuse(
      query,
      at,
      `the number’s column is called ${SHARED}`,
      `COUNT without AS, or AS ${SHARED}.`,
    );
  }
  reading.counts += 1;
  reading.at ??= at;
}

/** Distinct keys, and nothing finer or coarser than the key. */
function requireKey(
  { sides, key, query }: Reading,
  columns: readonly ColumnNode[],
  at: number | undefined,
): void {
  const wanted = new Set(key.map(({ as }) => as));
  for (const column of columns) wanted.delete(keyName(sides, key, column) ?? '');
  if (wanted.size === 0 && columns.length === key.length) return;
  const remedy = `COUNT(DISTINCT ${key.length === 1 ? '' : '('}${key.map(({ as }) => as).join(', ')}${key.length === 1 ? '' : ')'}).`;
  refuse(query, at, 'only whole keys are counted', remedy);
}

/** The key column that a name means, bare or of either side. */
function keyName(sides: Sides, key: MatchPlan['key'], node: ColumnNode): string | undefined {
  if (node.column_names.length === 1) {
    const [bare] = node.column_names;
    const found = key.find(
      ({ as, columns }) => as === bare && columns.every(({ column }) => column === bare),
    );
    if (found !== undefined) return found.as;
  }
  const { side, node: local } = localColumn(sides, node);
  const { holder } = side.scope.dataset;
  const [name] = local.column_names;
  return key.find(({ columns }) =>
    columns.some((entry) => entry.holder === holder && entry.column === name),
  )?.as;
}

/** Without an aggregate the keys themselves are asked for: all columns of them, and no other. */
function requireKeys(reading: Reading, select: SelectNode): void {
  const { sides, key, query, plain } = reading;
  const columns = plain.flatMap((node) => (node?.class === 'COLUMN_REF' ? [node] : []));
  const names = columns.map((node) => keyName(sides, key, node));
  const isKeys =
    columns.length === plain.length &&
    names.length === key.length &&
    key.every(({ as }) => names.includes(as)) &&
    columns.every(({ alias }, index) => alias === '' || alias === names[index]);
  if (isKeys && select.group_expressions.length === 0) return;
  const keys = key.map(({ as }) => as).join(', ');
  const rule = 'without COUNT or SUM a match shows its keys, whole, and nothing else of a row';
  refuse(
    query,
    placeOfNode(select.select_list[0]),
    rule,
    `SELECT ${keys}; or COUNT(*), SUM(column).`,
  );
}

function groupOf(reading: Reading, select: SelectNode): Group | undefined {
  const { query, plain, sides } = reading;
  const selected = plain.flatMap((node) => (node === undefined ? [] : [groupNamed(sides, node)]));
  const grouped =
    select.aggregate_handling === 'FORCE_AGGREGATES'
      ? selected
      : select.group_expressions.map((item) => groupedBy(reading, item));
  const [group, second] = grouped;
  if (second !== undefined)
    refuse(query, second.at, 'a match goes by one group column', JOIN_SHAPE);
  const [shown, further] = selected;
  if (further !== undefined)
    refuse(query, further.at, 'a match goes by one group column', JOIN_SHAPE);
  if (shown === undefined && group !== undefined) {
    refuse(
      query,
      group.at,
      'a group column is not selected',
      `SELECT ${group.column} too.`,
      group.column,
    );
  }
  if (shown !== undefined && (group?.side !== shown.side || group.column !== shown.column)) {
    const remedy = `GROUP BY ${shown.column} too.`;
    refuse(query, shown.at, 'a selected column is not grouped by', remedy, shown.column);
  }
  return shown;
}

function groupedBy(reading: Reading, item: unknown): Group {
  const { query, plain, sides } = reading;
  const ordinal = ConstantNode.safeParse(item);
  const place = ordinal.success ? ordinal.data.value.value : undefined;
  const listed = typeof place === 'number' ? plain[place - 1] : undefined;
  if (listed !== undefined) return groupNamed(sides, listed);
  const node = ExpressionNode.safeParse(item);
  if (node.success && isGroup(node.data)) return groupNamed(sides, node.data);
  return refuse(query, placeOfNode(item), 'only columns can be grouped by', JOIN_SHAPE);
}

function groupNamed(sides: Sides, expression: ExpressionNode): Group {
  const { side, node } = localExpression(sides, expression);
  const column = resolveGroup(side.scope, node);
  const as = expression.alias === '' ? column : expression.alias;
  return { side, column, as, at: expression.query_location };
}
