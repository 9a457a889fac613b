/**
 * Whether a request's arguments fit its contract, and which cells of the public partition they
 * choose. Pure: the gateway and every domain ask the same questions.
 */
import { InputError, PolicyError } from '../errors.ts';
import { ownSetItems } from './check-own-set.ts';
import type { Contract, Dictionary } from './contract.ts';
import type { AggregatePlan, Arguments, Measure } from './plan.ts';

/** For each group of the plan: its chosen labels in dictionary order, or undefined for all and `other`. */
export type ResolvedSelection = readonly (readonly string[] | undefined)[];

/**
 * A request gives every parameter of the contract and no other: distinct labels that the contract
 * allows, no more than it allows.
 * @throws InputError `parameter-invalid`; PolicyError `plan-outside-contract`
 */
export function checkArguments(contract: Contract, args: Arguments): void {
  if (contract.plan.kind === 'own-set') {
    ownSetItems(contract.plan, args);
    return;
  }
  for (const name of Object.keys(args)) {
    if (!Object.hasOwn(contract.parameters, name)) {
      throw new InputError('parameter-invalid', 'The contract has no such parameter.', {
        rule: 'parameters',
        remedy: `Parameters of the contract: ${Object.keys(contract.parameters).join(', ') || 'none'}.`,
      });
    }
  }
  for (const [name, parameter] of Object.entries(contract.parameters)) {
    const values = Object.hasOwn(args, name) ? args[name] : undefined;
    const { column } = parameter;
    const rule = `parameter ${name}`;
    if (values === undefined) {
      throw new InputError('parameter-invalid', 'A parameter of the contract is missing.', {
        column,
        rule,
        remedy: `Choose 1 to ${parameter.most} labels.`,
      });
    }
    if (values.length < 1 || values.length > parameter.most) {
      throw new PolicyError('plan-outside-contract', 'A parameter chooses too many labels.', {
        column,
        rule,
        remedy: `Choose 1 to ${parameter.most} labels.`,
      });
    }
    if (new Set(values).size !== values.length) {
      throw new InputError('parameter-invalid', 'A parameter repeats a label.', { column, rule });
    }
    const allowed = new Set(parameter.labels);
    if (!values.every((value) => allowed.has(value))) {
      throw new PolicyError(
        'plan-outside-contract',
        'A parameter chooses a label that the contract does not allow.',
        { column, rule, remedy: `The contract lists the ${allowed.size} labels of ${name}.` },
      );
    }
  }
}

/**
 * The cells that a plan with these arguments asks for. Order and repetition of labels never matter:
 * paraphrases resolve alike.
 * @throws InputError `parameter-invalid`; PolicyError `plan-outside-contract`
 */
export function resolveSelection(contract: Contract, args: Arguments): ResolvedSelection {
  checkArguments(contract, args);
  const plan = aggregatePlanOf(contract);
  const chosen = new Map<string, ReadonlySet<string>>();
  for (const { column, in: source } of plan.select) {
    const labels = 'values' in source ? source.values : (args[source.parameter] ?? []);
    chosen.set(column, new Set(labels));
  }
  return plan.groups.map(({ column }) => {
    const wanted = chosen.get(column);
    if (wanted === undefined) return undefined;
    return dictionaryOf(contract, column).labels.filter((label) => wanted.has(label));
  });
}

/**
 * The plan of a contract that aggregates.
 * @throws InputError `query-not-supported` where it is of another kind
 */
export function aggregatePlanOf(contract: Pick<Contract, 'plan'>): AggregatePlan {
  if (contract.plan.kind === 'aggregate') return contract.plan;
  throw new InputError('query-not-supported', 'The contract’s plan does not aggregate.', {
    rule: `plan ${contract.plan.kind}`,
    remedy: 'Choose the protocol that the plan is for.',
  });
}

/** The public labels of a group column. @throws InputError `column-unknown` */
export function dictionaryOf(contract: Contract, column: string): Dictionary {
  const found = contract.dictionaries.find((dictionary) => dictionary.column === column);
  if (found === undefined) {
    throw new InputError('column-unknown', 'A group column has no published labels.', {
      column,
      rule: 'dictionaries',
    });
  }
  return found;
}

/** The columns that are summed, each once, in the order of the plan. */
export function measuredColumns(measures: readonly Measure[]): readonly string[] {
  return [...new Set(measures.flatMap((measure) => ('column' in measure ? [measure.column] : [])))];
}

/** The cells of the whole partition: the product of the dictionaries, each with its `other`. */
export function partitionCells(contract: Contract): number {
  return aggregatePlanOf(contract).groups.reduce(
    (cells, { column }) => cells * (dictionaryOf(contract, column).labels.length + 1),
    1,
  );
}
