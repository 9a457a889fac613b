/**
 * SQL to typed plan. What compiles is a SELECT of group columns and aggregates over one dataset
 * name, published by one or more holders, or over a join of two holders' datasets
 * (`compile-match.ts`); everything else is refused with its place and reason.
 * Only the plan goes on from here: no text of the query is kept, sent or executed.
 */
import { planRefusals, SMALLEST_CELL } from '../catalog/check-plan.ts';
import type { PlanDraft } from '../catalog/plan-draft.ts';
import { defaultContributors, defaultNoise } from '../contracts/default-terms.ts';
import { strictestDominance } from '../contracts/dominance-terms.ts';
import type { PublishedColumn } from '../catalog/dataset.ts';
import type { PublishedDataset } from '../catalog/published.ts';
import {
  AggregatePlanSchema,
  GROUPS_MAX,
  MEASURES_MAX,
  type AggregatePlan,
  type Measure,
} from '../contracts/plan.ts';
import { measuredColumns } from '../contracts/plan-fits.ts';
import { assertInvariant, InputError } from '../errors.ts';
import { NameSchema } from '../system/ids.ts';
import { judgeMatch } from './compile-match.ts';
import type { CompiledQuery, JudgedQuery } from './judged-query.ts';
import { isGroup, resolveColumn, resolveGroup, type Scope } from './query-columns.ts';
import { placed, refuse, Refusals, type QueryText } from './query-refusal.ts';
import { compileSelections } from './query-selections.ts';
import { SHAPE, type SqlParser } from './sql-parser.ts';
import {
  ConstantNode,
  ExpressionNode,
  FunctionNode,
  isJoin,
  placeOfNode,
  TableNode,
  type SelectNode,
} from './sql-tree.ts';

/**
 * Compiles a query over published datasets. Reads metadata only.
 * @param published - the datasets the analyst may see; every holder that publishes the name takes part.
 * @throws InputError `query-not-supported` with place, reason and what can be written instead;
 * `dataset-unknown`, `column-unknown`, `parameter-invalid`: the first of what `judgeQuery` lists
 */
export async function compileQuery(
  parser: SqlParser,
  text: string,
  published: readonly PublishedDataset[],
): Promise<CompiledQuery> {
  const { compiled, refusals } = await judgeQuery(parser, text, published);
  if (compiled !== undefined) return { ...compiled, refusals };
  const [first] = refusals;
  assertInvariant(first !== undefined, 'a query that does not compile is refused');
  throw first;
}

/**
 * Compiles a query as far as it goes and lists every refusal on the way, of its form and of the
 * holders' rules alike. Reads metadata only.
 * @param purposeCode - what a contract over it would be for, where consent is per purpose.
 * @throws CapacityError `queue-full` where the parser has no room
 */
export async function judgeQuery(
  parser: SqlParser,
  text: string,
  published: readonly PublishedDataset[],
  purposeCode?: string,
): Promise<JudgedQuery> {
  const refusals = new Refusals();
  const parsed = await parser.parse(text).catch((error: unknown) => {
    if (!(error instanceof InputError)) throw error;
    refusals.add(error);
  });
  if (parsed === undefined) return { compiled: undefined, refusals: refusals.found };
  const { query, select } = parsed;
  refusals.try(() => refuseUnplannable(query, select));
  if (isJoin(select.from_table)) {
    return judgeMatch(query, select, published, refusals, purposeCode);
  }
  const table = refusals.try(() => tableOf(query, select));
  const datasets = published.filter((dataset) => dataset.name === table?.table_name);
  const [first] = datasets;
  if (table === undefined) return { compiled: undefined, refusals: refusals.found };
  if (first === undefined) {
    refusals.add(unknownDataset(query, table, published));
    return { compiled: undefined, refusals: refusals.found };
  }
  const qualifiers = [table.alias === '' ? table.table_name : table.alias];
  const scope: Scope = { query, dataset: first, qualifiers, places: new Map() };
  const { groups, measures } = compileList(scope, select, refusals);
  const { selections, parameters } = compileSelections(
    scope,
    select.where_clause,
    groups,
    refusals,
  );
  if (refusals.found.length > 0) return { compiled: undefined, refusals: refusals.found };
  const plan: AggregatePlan = AggregatePlanSchema.parse({
    kind: 'aggregate',
    table: first.name,
    groups: groups.map((column) => ({ column })),
    measures,
    select: selections,
  });
  const draft: PlanDraft = {
    ...draftOf(plan, first, datasets),
    ...(purposeCode === undefined ? {} : { purposeCode }),
  };
  const ofTable = query.placeOf(table.query_location);
  return {
    compiled: { draft, parameters },
    refusals: planRefusals(draft, datasets).map((refusal) =>
      placed(refusal, scope.places.get(refusal.facts.column ?? '') ?? ofTable),
    ),
  };
}

function unknownDataset(
  query: QueryText,
  table: TableNode,
  published: readonly PublishedDataset[],
): InputError {
  const place = query.placeOf(table.query_location);
  return new InputError('dataset-unknown', 'No holder publishes a dataset of this name.', {
    rule: `dataset ${table.table_name.slice(0, 63)}`,
    ...(place === undefined ? {} : { path: place }),
    remedy: `One of: ${[...new Set(published.map((dataset) => dataset.name))].join(', ') || 'none is published'}.`,
  });
}

function refuseUnplannable(query: QueryText, select: SelectNode): void {
  const [modifier] = select.modifiers;
  if (modifier !== undefined) {
    const rule = 'ORDER BY, LIMIT and DISTINCT have no place in a plan';
    refuse(query, undefined, rule, 'Leave them out, and sort or cut the result yourself.');
  }
  if (select.cte_map.map.length > 0) refuse(query, undefined, 'WITH is not supported', SHAPE);
  if (select.having !== null) {
    refuse(
      query,
      placeOfNode(select.having),
      'HAVING is not supported',
      'Filter the result yourself.',
    );
  }
  if (select.sample !== null) refuse(query, undefined, 'sampling is not supported', SHAPE);
  if (select.qualify !== null) {
    refuse(query, placeOfNode(select.qualify), 'QUALIFY is not supported', SHAPE);
  }
  if (select.group_sets.length > 1) {
    refuse(query, undefined, 'grouping sets are not supported', 'One GROUP BY over plain columns.');
  }
}

function tableOf(query: QueryText, select: SelectNode): TableNode {
  const table = TableNode.safeParse(select.from_table);
  if (table.success) return table.data;
  return refuse(
    query,
    placeOfNode(select.from_table),
    'a plan reads one dataset by its name, or joins two, without subquery, function or path',
    'FROM the name of a dataset in the catalog.',
  );
}

function compileList(
  scope: Scope,
  select: SelectNode,
  refusals: Refusals,
): { groups: string[]; measures: Measure[] } {
  const { query } = scope;
  const before = refusals.found.length;
  const selected: string[] = [];
  const measures: Measure[] = [];
  const positions: (string | undefined)[] = [];
  for (const item of select.select_list) {
    const position = positions.push(undefined) - 1;
    refusals.try(() => {
      const node = ExpressionNode.safeParse(item);
      if (!node.success) {
        refuse(query, placeOfNode(item), 'this is neither a group column nor an aggregate', SHAPE);
      }
      if (!isGroup(node.data)) {
        measures.push(compileMeasure(scope, FunctionNode.parse(item)));
        return;
      }
      const group = groupItem(scope, node.data);
      selected.push(group);
      positions[position] = group;
    });
  }
  const groups =
    select.aggregate_handling === 'FORCE_AGGREGATES'
      ? selected
      : select.group_expressions.flatMap(
          (node) => refusals.try(() => compileGroup(scope, node, positions)) ?? [],
        );
  // What was refused above is missing here, and would be refused for that again.
  if (refusals.found.length === before) {
    refusals.try(() => refuseMismatch(query, selected, groups));
    refusals.try(() => refuseNumbers(query, groups, measures));
  }
  return { groups, measures };
}

function groupItem(scope: Scope, node: ExpressionNode): string {
  const group = resolveGroup(scope, node);
  if (node.alias === '' || node.alias === group) return group;
  const rule = 'a group column keeps its name';
  return refuse(scope.query, node.query_location, rule, `${group} without AS.`);
}

function refuseNumbers(
  query: QueryText,
  groups: readonly string[],
  measures: readonly Measure[],
): void {
  if (measures.length === 0)
    refuse(query, undefined, 'there is no aggregate', 'COUNT(*) at least.');
  if (measures.length > MEASURES_MAX || groups.length > GROUPS_MAX) {
    refuse(
      query,
      undefined,
      'there are too many groups or aggregates',
      `At most ${GROUPS_MAX} groups and ${MEASURES_MAX} aggregates.`,
    );
  }
  const names = [...groups, ...measures.map((measure) => measure.as)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    refuse(query, undefined, `two result columns are called ${twice}`, 'Name them apart with AS.');
  }
}

function compileGroup(
  scope: Scope,
  item: unknown,
  positions: readonly (string | undefined)[],
): string {
  const ordinal = ConstantNode.safeParse(item);
  if (ordinal.success && typeof ordinal.data.value.value === 'number') {
    const group = positions[ordinal.data.value.value - 1];
    if (group !== undefined) return group;
  }
  const node = ExpressionNode.safeParse(item);
  if (node.success && isGroup(node.data)) return resolveGroup(scope, node.data);
  return refuse(scope.query, placeOfNode(item), 'only columns can be grouped by', SHAPE);
}

function refuseMismatch(query: QueryText, selected: string[], groups: string[]): void {
  const missing = selected.find((name) => !groups.includes(name));
  if (missing !== undefined) {
    refuse(
      query,
      undefined,
      'a selected column is not grouped by',
      `GROUP BY ${missing} too.`,
      missing,
    );
  }
  const hidden = groups.find((name) => !selected.includes(name));
  if (hidden !== undefined) {
    refuse(query, undefined, 'a group column is not selected', `SELECT ${hidden} too.`, hidden);
  }
}

const FUNCTIONS: Readonly<Record<string, 'sum' | 'avg' | 'var'>> = {
  sum: 'sum',
  avg: 'avg',
  mean: 'avg',
  var_samp: 'var',
  variance: 'var',
};

function compileMeasure(scope: Scope, node: FunctionNode): Measure {
  const { query } = scope;
  const name = node.function_name;
  const [argument] = node.children;
  if (name === 'count_star') return { as: nameOf(query, node, 'count'), fn: 'count' };
  const fn = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (fn === undefined || argument?.class !== 'COLUMN_REF' || node.children.length !== 1) {
    refuse(
      query,
      node.query_location,
      'this function is not one of COUNT(*), SUM, AVG, VAR_SAMP of a plain column',
      name.startsWith('stddev') ? 'VAR_SAMP: the deviation is its square root.' : SHAPE,
    );
  }
  const column = resolveColumn(scope, argument);
  refuseUnmeasurable(query, column, argument.query_location);
  return { as: nameOf(query, node, `${fn}_${column.name}`), fn, column: column.name };
}

function refuseUnmeasurable(
  query: QueryText,
  column: PublishedColumn,
  place: number | undefined,
): void {
  if (column.bounds !== undefined) return;
  const rule = 'the holder publishes no bounds for the column, so it cannot be summed';
  refuse(query, place, rule, `The holder adds bounds and a use to ${column.name}.`, column.name);
}

function nameOf(query: QueryText, node: FunctionNode, otherwise: string): string {
  const name = NameSchema.safeParse(node.alias === '' ? otherwise.slice(0, 63) : node.alias);
  if (name.success) return name.data;
  return refuse(
    query,
    node.query_location,
    'a result column has a plain name',
    'Letters, digits and underscores.',
  );
}

function draftOf(
  plan: AggregatePlan,
  first: PublishedDataset,
  datasets: readonly PublishedDataset[],
): PlanDraft {
  const named = (name: string): PublishedColumn | undefined =>
    first.columns.find((column) => column.name === name);
  const measured = measuredColumns(plan.measures);
  const smallest = datasets.map(({ grade }) => (grade === 'core' ? 0 : SMALLEST_CELL[grade]));
  return {
    plan,
    dictionaries: plan.groups.flatMap(({ column }) => {
      const labels = named(column)?.labels;
      return labels === undefined ? [] : [{ column, labels: [...labels] }];
    }),
    bounds: measured.flatMap((column) => {
      const bounds = named(column)?.bounds;
      return bounds === undefined ? [] : [{ column, ...bounds }];
    }),
    datasets: datasets.map((dataset) => ({
      holder: dataset.holder,
      dataset: dataset.name,
      version: 'any' as const,
      rowsMax: dataset.rowsMax,
    })),
    disclosure: {
      smallestCell: Math.max(3, ...smallest),
      smallestContributors: defaultContributors(datasets.length),
      ...(datasets.some(({ grade }) => grade === 'important')
        ? { noise: defaultNoise(datasets.length) }
        : {
            complementary: true as const,
            ...(measured.length > 0 ? strictestDominance(datasets) : {}),
          }),
    },
    protocol: { name: 'secure-sum' },
  };
}
