/** USING and ON to the columns of a join key. */
import type { PublishedColumn } from '../catalog/dataset.ts';
import { KEY_COLUMNS_MAX, type KeyType, type MatchPlan } from '../contracts/plan.ts';
import { localColumn, type Side, type Sides } from './match-sides.ts';
import { resolveColumn } from './query-columns.ts';
import { refuse, type Refusals } from './query-refusal.ts';
import { JOIN_SHAPE } from './sql-parser.ts';
import {
  AndNode,
  JoinedColumnsNode,
  placeOfNode,
  type ColumnNode,
  type JoinNode,
} from './sql-tree.ts';

type KeyColumn = MatchPlan['key'][number];

const TIMES: readonly PublishedColumn['type'][] = ['date', 'timestamp'];

/** The key's columns, in the order they are written; what is refused goes to `refusals`. */
export function compileMatchKey(sides: Sides, join: JoinNode, refusals: Refusals): KeyColumn[] {
  const { query } = sides[0].scope;
  const key: KeyColumn[] = [];
  const add = (left: Named, right: Named): void => {
    const column = keyColumn(left, right);
    if (key.some(({ as }) => as === column.as)) {
      refuse(query, left.at, 'a key column is joined on twice', 'Each column once.', column.as);
    }
    key.push(column);
  };
  for (const name of join.using_columns) {
    refusals.try(() => {
      const node = usingColumn(name, join);
      const [left, right] = sides.map((side) => named(side, node));
      if (left !== undefined && right !== undefined) add(left, right);
    });
  }
  const pending: unknown[] = join.condition === null ? [] : [join.condition];
  // The tree's size bounds the loop: each node is looked at once.
  for (let node = pending.shift(); node !== undefined; node = pending.shift()) {
    const and = AndNode.safeParse(node);
    if (and.success) {
      pending.unshift(...and.data.children);
      continue;
    }
    const condition = node;
    refusals.try(() => add(...pairOf(sides, condition)));
  }
  refusals.try(() => {
    if (key.length > KEY_COLUMNS_MAX) {
      const rule = `a key has at most ${KEY_COLUMNS_MAX} columns`;
      refuse(query, join.query_location, rule, JOIN_SHAPE);
    }
  });
  return key;
}

/** A column with the side it is of. */
interface Named {
  readonly side: Side;
  readonly column: PublishedColumn;
  readonly at: number | undefined;
}

function named(side: Side, node: ColumnNode): Named {
  return { side, column: resolveColumn(side.scope, node), at: node.query_location };
}

/** The parser tells no places of USING's columns. */
function usingColumn(name: string, join: JoinNode): ColumnNode {
  const { query_location } = join;
  return {
    class: 'COLUMN_REF',
    type: 'COLUMN_REF',
    alias: '',
    query_location,
    column_names: [name],
  };
}

function pairOf(sides: Sides, condition: unknown): readonly [Named, Named] {
  const { query } = sides[0].scope;
  const equal = JoinedColumnsNode.safeParse(condition);
  if (!equal.success) {
    const rule = 'keys are compared by column = column, joined by AND';
    refuse(query, placeOfNode(condition), rule, JOIN_SHAPE);
  }
  const both = [equal.data.left, equal.data.right].map((node) => {
    const local = localColumn(sides, node);
    return named(local.side, local.node);
  });
  const left = both.find(({ side }) => side === sides[0]);
  const right = both.find(({ side }) => side === sides[1]);
  if (left !== undefined && right !== undefined) return [left, right];
  const rule = 'a key compares a column of one dataset with one of the other';
  return refuse(query, placeOfNode(condition), rule, JOIN_SHAPE);
}

/** Read as both columns' type where they agree; a time as its day; anything else as text. */
function keyColumn(left: Named, right: Named): KeyColumn {
  const types = [left.column.type, right.column.type];
  const type: KeyType = types.some((one) => TIMES.includes(one))
    ? 'date'
    : types.every((one) => one === 'integer')
      ? 'integer'
      : 'text';
  return {
    as: left.column.name,
    type,
    columns: [left, right].map(({ side, column }) => ({
      holder: side.scope.dataset.holder,
      column: column.name,
    })),
  };
}
