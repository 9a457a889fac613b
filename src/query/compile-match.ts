/**
 * SQL to a plan that matches: a join of two holders' datasets on equal columns, counted, summed, by a
 * group of one side, or the keys themselves. Anything else is refused with its place and reason.
 *
 * `COUNT(*)` counts a repeated key as often as both sides have it, not as often as SQL would pair its rows:
 * the plan in words says so. `COUNT(DISTINCT key)` counts each key once.
 */
import { planRefusals, SMALLEST_CELL } from '../catalog/check-plan.ts';
import type { PlanDraft } from '../catalog/plan-draft.ts';
import type { PublishedColumn } from '../catalog/dataset.ts';
import type { PublishedDataset } from '../catalog/published.ts';
import { DEFAULT_MATCH_NOISE } from '../contracts/default-terms.ts';
import { MATCH_LABELS_MAX, MatchPlanSchema, type MatchPlan } from '../contracts/plan.ts';
import { NameSchema } from '../system/ids.ts';
import type { JudgedQuery } from './judged-query.ts';
import { compileMatchKey } from './match-key.ts';
import { compileMatchList, type MatchList } from './match-list.ts';
import { sidesOf, type Side, type Sides } from './match-sides.ts';
import { placed, refuse, type QueryText, type Refusals } from './query-refusal.ts';
import { JOIN_SHAPE } from './sql-parser.ts';
import { JoinNode, placeOfNode, type SelectNode } from './sql-tree.ts';

/**
 * Judges a query whose FROM joins, as `judgeQuery` does one over a single dataset.
 * @param refusals - what was found before; everything found here is added.
 */
export function judgeMatch(
  query: QueryText,
  select: SelectNode,
  published: readonly PublishedDataset[],
  refusals: Refusals,
  purposeCode: string | undefined,
): JudgedQuery {
  const join = refusals.try(() => joinOf(query, select));
  const sides = join === undefined ? undefined : sidesOf(query, join, published, refusals);
  if (join === undefined || sides === undefined) {
    return { compiled: undefined, refusals: refusals.found };
  }
  refusals.try(() => refuseWhere(query, select));
  const key = compileMatchKey(sides, join, refusals);
  const list = compileMatchList(sides, key, select, refusals);
  const plan = refusals.found.length > 0 ? undefined : refusals.try(() => planOf(sides, key, list));
  if (plan === undefined) return { compiled: undefined, refusals: refusals.found };
  const draft: PlanDraft = {
    ...draftOf(plan, sides, list),
    ...(purposeCode === undefined ? {} : { purposeCode }),
  };
  refusals.try(() => refuseUncounted(query, draft, list));
  const datasets = sides.map(({ scope }) => scope.dataset);
  const ofJoin = query.placeOf(join.query_location);
  const ofRules = planRefusals(draft, datasets).map((refusal) =>
    placed(refusal, placeIn(sides, refusal.facts.party, refusal.facts.column) ?? ofJoin),
  );
  return { compiled: { draft, parameters: {} }, refusals: [...refusals.found, ...ofRules] };
}

function joinOf(query: QueryText, select: SelectNode): JoinNode {
  const join = JoinNode.safeParse(select.from_table);
  if (join.success) return join.data;
  return refuse(
    query,
    placeOfNode(select.from_table),
    'a match is a plain JOIN of two datasets on equal columns',
    JOIN_SHAPE,
  );
}

/** Filters of either side would make any difference of two sets into a question. */
function refuseWhere(query: QueryText, { where_clause: where }: SelectNode): void {
  if (where === null) return;
  const rule = 'a match takes both datasets whole, without WHERE';
  refuse(query, placeOfNode(where), rule, 'Leave it out, or group by a column.');
}

/** The side with the groups matches, else the one without the values, else the first. */
function planOf(sides: Sides, key: MatchPlan['key'], list: MatchList): MatchPlan {
  const [left, right] = sides;
  const { ask, group, sum } = list;
  const { query } = left.scope;
  if (group !== undefined && group.side === sum?.side) {
    const rule =
      'groups and values are of one side, and the side that groups sees which rows match';
    refuse(query, sum.at, rule, 'Groups of one dataset, values of the other.', sum.column.name);
  }
  const other = sum?.side === left ? right : left;
  const receiver = group?.side ?? other;
  const plan = MatchPlanSchema.safeParse({
    kind: 'match',
    ask,
    receiver: receiver.scope.dataset.holder,
    key,
    duplicates: list.isDistinct ? 'distinct' : 'multiplicity',
    ...(sum === undefined ? {} : { sum: { as: sum.as, column: sum.column.name } }),
    ...(group === undefined ? {} : { group: { as: group.as, column: group.column } }),
  });
  if (plan.success) return plan.data;
  return refuse(
    query,
    undefined,
    'the plan has names or columns that no contract takes',
    JOIN_SHAPE,
  );
}

function draftOf(plan: MatchPlan, sides: Sides, { group, sum }: MatchList): PlanDraft {
  const datasets = sides.map(({ scope }) => scope.dataset);
  const smallest = datasets.map(({ grade }) => (grade === 'core' ? 0 : SMALLEST_CELL[grade]));
  const labels = group === undefined ? undefined : columnOf(group.side, group.column)?.labels;
  return {
    plan,
    dictionaries:
      group === undefined || labels === undefined
        ? []
        : [{ column: group.column, labels: [...labels] }],
    bounds:
      sum?.column.bounds === undefined ? [] : [{ column: sum.column.name, ...sum.column.bounds }],
    datasets: datasets
      .map(({ holder, name, rowsMax }) => ({
        holder,
        dataset: name,
        version: 'any' as const,
        rowsMax,
      }))
      .toSorted((a, b) => (a.holder < b.holder ? -1 : 1)),
    disclosure: {
      smallestCell: Math.max(3, ...smallest),
      smallestContributors: 2,
      ...(isNoised(plan, datasets) ? { noise: DEFAULT_MATCH_NOISE } : {}),
    },
    protocol: { name: 'psi' },
  };
}

/** What is important takes noise, and what is of persons and may be asked more than once. */
function isNoised(plan: MatchPlan, datasets: readonly PublishedDataset[]): boolean {
  const isImportant = datasets.some(({ grade }) => grade === 'important');
  const isPersonal = datasets.some(({ privacyUnit }) => privacyUnit !== undefined);
  return plan.ask !== 'intersection' && (isImportant || isPersonal);
}

/** What a contract over the plan would be refused for, with the query's own words as the remedy. */
function refuseUncounted(query: QueryText, draft: PlanDraft, list: MatchList): void {
  const { plan, dictionaries, disclosure } = draft;
  if (plan.kind !== 'match') return;
  const [dictionary] = dictionaries;
  if (dictionary !== undefined && dictionary.labels.length > MATCH_LABELS_MAX) {
    const rule = `a match goes by at most ${MATCH_LABELS_MAX} labels`;
    refuse(query, list.group?.at, rule, 'A column with fewer labels.', dictionary.column);
  }
  if (disclosure.noise === undefined || list.isDistinct) return;
  const names = plan.key.map(({ as }) => as).filter((name) => NameSchema.safeParse(name).success);
  const rule = 'the answer is noised, and then each key counts once';
  refuse(query, list.at, rule, `COUNT(DISTINCT ${names.join(', ')}) besides or instead.`);
}

function columnOf({ scope }: Side, name: string): PublishedColumn | undefined {
  return scope.dataset.columns.find((column) => column.name === name);
}

/** Where a column of one holder's first stands. */
function placeIn(
  sides: Sides,
  party: string | undefined,
  column: string | undefined,
): string | undefined {
  return sides
    .filter(({ scope }) => party === undefined || scope.dataset.holder === party)
    .flatMap(({ scope }) => scope.places.get(column ?? '') ?? [])[0];
}
