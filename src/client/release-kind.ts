/**
 * How the results of a contract come. Its contract alone says so: the gateway hands a result over, and
 * could give a table of its own making the form of one that nobody has to open.
 */
import type { Contract } from '../contracts/contract.ts';

/** `table` as the gateway has it; every other one only its recipient opens, and verifies first. */
export type ReleaseKind = 'table' | 'sealed-sum' | 'weighted-sum' | 'match';

/** @see ReleaseKind */
export function releaseKindOf({
  plan,
  protocol,
}: Pick<Contract, 'plan' | 'protocol'>): ReleaseKind {
  if (protocol.name === 'sealed-sum') return 'sealed-sum';
  if (protocol.name === 'secret-weights') return 'weighted-sum';
  if (plan.kind !== 'match') return 'table';
  return plan.ask === 'cardinality' && plan.group === undefined ? 'table' : 'match';
}
