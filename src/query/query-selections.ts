/** WHERE to selections of whole cells: labels of group columns, written out or as parameters. */
import type { AggregatePlan, Parameter } from '../contracts/plan.ts';
import { InputError } from '../errors.ts';
import { NameSchema } from '../system/ids.ts';
import { isGroup, resolveGroup, type Scope } from './query-columns.ts';
import { refuse, type Refusals } from './query-refusal.ts';
import {
  AndNode,
  EqualNode,
  InChildren,
  InNode,
  placeOfNode,
  type ChoiceNode,
  type ExpressionNode,
} from './sql-tree.ts';

/** How many labels one parameter or selection may name. */
const LABELS_MAX = 10_000;
const WHERE =
  'Conditions joined by AND, each of the form column IN (labels), column = label, column IN ($parameter) or column = $parameter.';

type Selection = AggregatePlan['select'][number];

/**
 * Compiles a WHERE clause; what is refused of it goes to `refusals`: InputError
 * `query-not-supported`, `column-unknown`, `parameter-invalid`.
 */
export function compileSelections(
  scope: Scope,
  where: unknown,
  groups: readonly string[],
  refusals: Refusals,
): { selections: Selection[]; parameters: Record<string, Parameter> } {
  const selections: Selection[] = [];
  const parameters: Record<string, Parameter> = {};
  const pending: unknown[] = where === null ? [] : [where];
  // The tree's size bounds the loop: each node is looked at once.
  for (let node = pending.shift(); node !== undefined; node = pending.shift()) {
    const and = AndNode.safeParse(node);
    if (and.success) {
      pending.unshift(...and.data.children);
      continue;
    }
    const condition = node;
    refusals.try(() => {
      const [left, choices, isOne] = conditionOf(scope, condition);
      const column = groupOf(scope, left, groups);
      if (selections.some((selection) => selection.column === column)) {
        const rule = 'a column is restricted twice';
        refuse(scope.query, placeOfNode(condition), rule, `One condition on ${column}.`, column);
      }
      selections.push(selectionOf(scope, column, choices, isOne, parameters));
    });
  }
  return { selections, parameters };
}

function conditionOf(
  scope: Scope,
  node: unknown,
): readonly [ExpressionNode, readonly ChoiceNode[], boolean] {
  const equal = EqualNode.safeParse(node);
  if (equal.success) return [equal.data.left, [equal.data.right], true];
  const isIn = InNode.safeParse(node);
  const children = isIn.success ? InChildren.safeParse(isIn.data.children) : undefined;
  if (children?.success) {
    const [left, ...choices] = children.data;
    return [left, choices, false];
  }
  return refuse(scope.query, placeOfNode(node), 'this condition selects no whole cells', WHERE);
}

function groupOf(scope: Scope, node: ExpressionNode, groups: readonly string[]): string {
  if (!isGroup(node)) refuse(scope.query, node.query_location, 'this is not a column', WHERE);
  const column = resolveGroup(scope, node);
  if (groups.includes(column)) return column;
  const rule = 'only a group column can be restricted: exact answers select whole cells';
  return refuse(scope.query, node.query_location, rule, `GROUP BY ${column} too.`, column);
}

function selectionOf(
  scope: Scope,
  column: string,
  choices: readonly ChoiceNode[],
  isOne: boolean,
  parameters: Record<string, Parameter>,
): Selection {
  const published = scope.dataset.columns.find(({ name }) => name === column)?.labels ?? [];
  const [first] = choices;
  if (first?.class === 'PARAMETER') {
    const name = NameSchema.safeParse(first.identifier);
    if (!name.success || choices.length !== 1 || Object.hasOwn(parameters, first.identifier)) {
      const rule = 'a parameter is named, stands alone and is used once';
      refuse(scope.query, first.query_location, rule, WHERE, column);
    }
    const labels = published.slice(0, LABELS_MAX);
    parameters[name.data] = { kind: 'labels', column, labels, most: isOne ? 1 : labels.length };
    return { column, in: { parameter: name.data } };
  }
  const values = choices.map((choice) => {
    if (choice.class === 'PARAMETER') {
      return refuse(scope.query, choice.query_location, 'labels and parameters do not mix', WHERE);
    }
    return String(choice.value.value);
  });
  const listed = new Set(published);
  const unlisted = values.findIndex((value) => !listed.has(value));
  if (unlisted >= 0) {
    const place = scope.query.placeOf(placeOfNode(choices[unlisted]));
    throw new InputError('parameter-invalid', 'The column has no such label.', {
      column,
      party: scope.dataset.holder,
      rule: 'dictionaries',
      ...(place === undefined ? {} : { path: place }),
      remedy: `Labels such as ${published.slice(0, 5).join(', ')}.`,
    });
  }
  if (new Set(values).size !== values.length) {
    refuse(scope.query, placeOfNode(first), 'a label is listed twice', WHERE, column);
  }
  return { column, in: { values } };
}
