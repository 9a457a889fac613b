/**
 * What makes two runs the same question. The same one gets the same noise and costs no budget a
 * second time; so everything that decides the answer before noise is in it, and nothing that does
 * not: names of result columns, order of groups, measures and labels, thresholds, and who asks.
 */
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import type { MatchPlan, OwnSetPlan } from '../contracts/plan.ts';
import { aggregatePlanOf, dictionaryOf, resolveSelection } from '../contracts/plan-fits.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash } from '../system/ids.ts';

/**
 * The question's hash. Fingerprints are of the data after consent exclusion, of every party: other
 * data or other parties are another question, with fresh noise and a fresh charge.
 */
export function questionOf(
  contract: Contract,
  descriptor: Pick<Descriptor, 'arguments' | 'parties' | 'noise' | 'engine'>,
): Hash {
  if (contract.plan.kind === 'match') return matchQuestion(contract, contract.plan, descriptor);
  if (contract.plan.kind === 'own-set') return ownSetQuestion(contract.plan, descriptor);
  const plan = aggregatePlanOf(contract);
  const selection = resolveSelection(contract, descriptor.arguments);
  const groups = plan.groups.map(({ column }, index) => ({
    column,
    labels: dictionaryOf(contract, column).labels,
    chosen: selection[index] ?? null,
  }));
  const squared = new Set(
    plan.measures.flatMap((measure) => (measure.fn === 'var' ? [measure.column] : [])),
  );
  const byColumn = (a: { column: string }, b: { column: string }): number =>
    a.column < b.column ? -1 : 1;
  return canonicalHash({
    format: 'weir-question/1',
    // Other people may have consented to another purpose.
    purpose: contract.purposeCode ?? null,
    engine: descriptor.engine,
    groups: groups.toSorted(byColumn),
    columns: contract.bounds
      .map(({ column, minimum, maximum, scale }) => ({
        column,
        minimum: BigInt(minimum).toString(),
        maximum: BigInt(maximum).toString(),
        scale,
        squares: squared.has(column),
      }))
      .toSorted(byColumn),
    noise: descriptor.noise === 'none' ? 'none' : { ...descriptor.noise, deltaExponent: 0 },
    parties: descriptor.parties.map(({ id, datasetFingerprint }) => ({ id, datasetFingerprint })),
  });
}

/**
 * Which side matches decides no number, but whose column is summed or groups. Key columns in the order of
 * their names at the holders; what they are called in the result decides nothing.
 */
function matchQuestion(
  contract: Contract,
  plan: MatchPlan,
  descriptor: Pick<Descriptor, 'parties' | 'noise' | 'engine'>,
): Hash {
  const key = plan.key.map(({ type, columns }) => ({
    type,
    columns: columns
      .map(({ holder, column, dateFormat = 'iso' }) => ({ holder, column, dateFormat }))
      .toSorted((a, b) => (a.holder < b.holder ? -1 : 1)),
  }));
  const nameOf = (one: (typeof key)[number]): string => JSON.stringify(one);
  return canonicalHash({
    format: 'weir-question/1',
    purpose: contract.purposeCode ?? null,
    engine: descriptor.engine,
    key: key.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)),
    duplicates: plan.duplicates,
    group:
      plan.group === undefined
        ? null
        : {
            holder: plan.receiver,
            column: plan.group.column,
            labels: dictionaryOf(contract, plan.group.column).labels,
          },
    summed:
      plan.sum === undefined
        ? null
        : {
            receiver: plan.receiver,
            bounds: contract.bounds.map(({ column, minimum, maximum, scale }) => ({
              column,
              minimum: BigInt(minimum).toString(),
              maximum: BigInt(maximum).toString(),
              scale,
            })),
          },
    noise: descriptor.noise === 'none' ? 'none' : { ...descriptor.noise, deltaExponent: 0 },
    parties: descriptor.parties.map(({ id, datasetFingerprint }) => ({ id, datasetFingerprint })),
  });
}

/**
 * Never the same twice: nobody can verify that an analyst brings the same set again, and noise that
 * two sets shared would cancel in the difference of their answers. The parties' entries hold the
 * holder's own key of this very run, so every run has fresh noise and is charged.
 */
function ownSetQuestion(
  plan: OwnSetPlan,
  descriptor: Pick<Descriptor, 'arguments' | 'parties' | 'noise' | 'engine'>,
): Hash {
  const { arguments: args, parties, noise, engine } = descriptor;
  return canonicalHash({ format: 'weir-question/own-set', engine, plan, args, parties, noise });
}
