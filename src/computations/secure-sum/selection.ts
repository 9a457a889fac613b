/** Which labels of each group a request chooses: whole cells of the public partition, nothing finer. */
import { InputError } from '../../errors.ts';
import type { Contract, Dictionary } from '../../contracts/contract.ts';
import { aggregatePlanOf } from '../../contracts/plan-fits.ts';
import type { Arguments } from '../../contracts/plan.ts';

/**
 * For each group, the chosen labels in the dictionary's order, or undefined for all and `(other)`.
 * @throws InputError `query-not-supported` for a selection on a column that is no group;
 *   `parameter-invalid` for labels or arguments the contract does not allow.
 */
export function chosenLabels(
  contract: Contract,
  groups: readonly Dictionary[],
  args: Arguments,
): readonly (readonly string[] | undefined)[] {
  const byColumn = new Map<string, readonly string[]>();
  const used = new Set<string>();
  for (const { column, in: source } of aggregatePlanOf(contract).select) {
    if (!groups.some((group) => group.column === column)) {
      throw new InputError('query-not-supported', `${column} is selected but not grouped by.`, {
        column,
        rule: 'an exact answer selects whole cells of its groups',
        remedy: `Add ${column} to the groups, or leave the selection out.`,
      });
    }
    if (byColumn.has(column)) {
      throw new InputError('query-not-supported', `${column} is selected twice.`, {
        column,
        remedy: 'Put both selections into one.',
      });
    }
    if ('values' in source) byColumn.set(column, source.values);
    else {
      used.add(source.parameter);
      byColumn.set(column, argumentLabels(contract, column, source.parameter, args));
    }
  }
  const unknown = Object.keys(args).find((name) => !used.has(name));
  if (unknown !== undefined) {
    throw invalid(unknown, `The plan has no parameter ${unknown}.`);
  }
  return groups.map((group) => inDictionaryOrder(group, byColumn.get(group.column)));
}

function argumentLabels(
  contract: Contract,
  column: string,
  name: string,
  args: Arguments,
): readonly string[] {
  const parameter = Object.hasOwn(contract.parameters, name)
    ? contract.parameters[name]
    : undefined;
  if (parameter === undefined || parameter.column !== column) {
    throw invalid(name, `The contract declares no parameter ${name} for ${column}.`);
  }
  const labels = Object.hasOwn(args, name) ? args[name] : undefined;
  if (labels === undefined) throw invalid(name, `The request gives no value for ${name}.`);
  if (labels.length > parameter.most) {
    throw invalid(name, `${name} may choose at most ${parameter.most} labels.`);
  }
  const allowed = new Set(parameter.labels);
  if (!labels.every((label) => allowed.has(label))) {
    throw invalid(name, `${name} chooses a label that the contract does not list.`);
  }
  return labels;
}

function inDictionaryOrder(
  group: Dictionary,
  labels: readonly string[] | undefined,
): readonly string[] | undefined {
  if (labels === undefined) return undefined;
  const chosen = new Set(labels);
  const ordered = group.labels.filter((label) => chosen.has(label));
  if (chosen.size !== labels.length || ordered.length !== labels.length) {
    throw new InputError(
      'parameter-invalid',
      `A chosen label of ${group.column} is repeated or not in its dictionary.`,
      { column: group.column, remedy: 'Choose labels of the published dictionary, each once.' },
    );
  }
  return ordered;
}

function invalid(parameter: string, message: string): InputError {
  return new InputError('parameter-invalid', message, { rule: parameter });
}
