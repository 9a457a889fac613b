/**
 * The part of the parser's tree that plans can come from, in strict schemas: whatever the parser
 * knows beyond it, today or in a later version, has no schema here and is refused.
 */
import { z } from 'zod';

/** The parser marks nodes without a place with the largest 64-bit number. */
const Location = z
  .number()
  .transform((offset) => (Number.isSafeInteger(offset) ? offset : undefined));
const Empty = z.array(z.never()).max(0);
const NoOrder = z.strictObject({ type: z.literal('ORDER_MODIFIER'), orders: Empty });

export const ColumnNode = z.strictObject({
  class: z.literal('COLUMN_REF'),
  type: z.literal('COLUMN_REF'),
  alias: z.string(),
  query_location: Location,
  column_names: z.array(z.string()).min(1).max(4),
});
export type ColumnNode = z.infer<typeof ColumnNode>;

export const ConstantNode = z.strictObject({
  class: z.literal('CONSTANT'),
  type: z.literal('VALUE_CONSTANT'),
  alias: z.string(),
  query_location: Location,
  value: z.strictObject({
    type: z.strictObject({ id: z.enum(['VARCHAR', 'INTEGER']), type_info: z.null() }),
    is_null: z.literal(false),
    value: z.union([z.string(), z.int()]),
  }),
});

const ParameterNode = z.strictObject({
  class: z.literal('PARAMETER'),
  type: z.literal('VALUE_PARAMETER'),
  alias: z.string(),
  query_location: Location,
  identifier: z.string(),
});

/** A function of column names and constants; aggregates take neither DISTINCT, FILTER nor ORDER BY. */
export const FunctionNode = z.strictObject({
  class: z.literal('FUNCTION'),
  type: z.literal('FUNCTION'),
  alias: z.string(),
  query_location: Location,
  function_name: z.string(),
  schema: z.literal(''),
  children: z.array(z.union([ColumnNode, ConstantNode])).max(2),
  filter: z.null(),
  order_bys: NoOrder,
  distinct: z.literal(false),
  is_operator: z.literal(false),
  export_state: z.literal(false),
  catalog: z.literal(''),
});
export type FunctionNode = z.infer<typeof FunctionNode>;

/** `CAST(time AS DATE)`. */
const DateCastNode = z.strictObject({
  class: z.literal('CAST'),
  type: z.literal('OPERATOR_CAST'),
  alias: z.string(),
  query_location: Location,
  child: ColumnNode,
  cast_type: z.strictObject({ id: z.literal('DATE'), type_info: z.null() }),
  try_cast: z.literal(false),
});

export const ExpressionNode = z.union([ColumnNode, FunctionNode, DateCastNode]);
export type ExpressionNode = z.infer<typeof ExpressionNode>;

const ChoiceNode = z.union([ConstantNode, ParameterNode]);
export type ChoiceNode = z.infer<typeof ChoiceNode>;

export const EqualNode = z.strictObject({
  class: z.literal('COMPARISON'),
  type: z.literal('COMPARE_EQUAL'),
  alias: z.string(),
  query_location: Location,
  left: ExpressionNode,
  right: ChoiceNode,
});

export const InNode = z.strictObject({
  class: z.literal('OPERATOR'),
  type: z.literal('COMPARE_IN'),
  alias: z.string(),
  query_location: Location,
  children: z.array(z.unknown()).min(2).max(10_001),
});
export const InChildren = z.tuple([ExpressionNode], ChoiceNode);

export const AndNode = z.strictObject({
  class: z.literal('CONJUNCTION'),
  type: z.literal('CONJUNCTION_AND'),
  alias: z.string(),
  query_location: Location,
  children: z.array(z.unknown()).max(100),
});

export const TableNode = z.strictObject({
  type: z.literal('BASE_TABLE'),
  alias: z.string(),
  sample: z.null(),
  query_location: Location,
  schema_name: z.literal(''),
  table_name: z.string(),
  column_name_alias: Empty,
  catalog_name: z.literal(''),
  at_clause: z.null(),
});
export type TableNode = z.infer<typeof TableNode>;

/** One side of a join: a dataset, behind its holder's name where more than one publishes it. */
export const JoinedTableNode = TableNode.extend({ schema_name: z.string() });
export type JoinedTableNode = z.infer<typeof JoinedTableNode>;

/** A plain join of two datasets: whatever else joins, or is joined, has no schema. */
export const JoinNode = z.strictObject({
  type: z.literal('JOIN'),
  alias: z.literal(''),
  sample: z.null(),
  query_location: Location,
  left: JoinedTableNode,
  right: JoinedTableNode,
  condition: z.unknown(),
  join_type: z.literal('INNER'),
  ref_type: z.literal('REGULAR'),
  using_columns: z.array(z.string()).max(100),
  delim_flipped: z.literal(false),
  duplicate_eliminated_columns: Empty,
});
export type JoinNode = z.infer<typeof JoinNode>;

/** Whether a FROM joins at all: then it is held to `JoinNode`. */
export function isJoin(from: unknown): boolean {
  return z.looseObject({ type: z.literal('JOIN') }).safeParse(from).success;
}

/** `a.x = b.y`, one column of a join key. */
export const JoinedColumnsNode = EqualNode.extend({ left: ColumnNode, right: ColumnNode });

/** `COUNT(DISTINCT a.x)`, of a key of one column or of several in brackets. */
export const DistinctCountNode = FunctionNode.extend({
  function_name: z.literal('count'),
  distinct: z.literal(true),
  children: z
    .array(
      z.union([
        ColumnNode,
        FunctionNode.extend({
          function_name: z.literal('row'),
          schema: z.literal('main'),
          children: z.array(ColumnNode).min(1).max(8),
        }),
      ]),
    )
    .length(1),
});

/** Everything a SELECT may carry; fields that a plan has no place for are looked at one by one. */
export const SelectNode = z.strictObject({
  type: z.literal('SELECT_NODE'),
  modifiers: z.array(z.unknown()),
  cte_map: z.strictObject({ map: z.array(z.unknown()) }),
  select_list: z.array(z.unknown()).min(1).max(100),
  from_table: z.unknown(),
  where_clause: z.unknown(),
  group_expressions: z.array(z.unknown()).max(100),
  group_sets: z.array(z.array(z.int())),
  aggregate_handling: z.enum(['STANDARD_HANDLING', 'FORCE_AGGREGATES', 'NO_AGGREGATES_ALLOWED']),
  having: z.unknown(),
  sample: z.unknown(),
  qualify: z.unknown(),
});
export type SelectNode = z.infer<typeof SelectNode>;

export const ParsedSchema = z.union([
  z.object({
    error: z.literal(true),
    error_type: z.string(),
    position: z.string().optional(),
  }),
  z.strictObject({
    error: z.literal(false),
    statements: z.array(z.strictObject({ node: z.unknown(), named_param_map: z.unknown() })),
  }),
]);

/** The place of any node, where it tells one. */
export function placeOfNode(node: unknown): number | undefined {
  const parsed = z.looseObject({ query_location: Location }).safeParse(node);
  return parsed.success ? parsed.data.query_location : undefined;
}
