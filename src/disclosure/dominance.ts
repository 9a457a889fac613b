/**
 * Dominance: a cell whose total is mostly a few contributors' tells what they have. Each domain
 * checks the contributors of its own part, since two holders that collude know the total less that
 * part; no domain knows another's.
 */
import type { DominanceTerms } from '../contracts/dominance-terms.ts';

/** The absolute contributions of a cell's units to one sum, each ≥ 0. */
export interface Concentration {
  readonly total: bigint;
  readonly first: bigint;
  readonly second: bigint;
  /** Of the `largest` units of the terms together. */
  readonly top: bigint;
}

/**
 * True where a cell's own contributions may not go out. Nobody's are: an empty part dominates nothing.
 * @see Hundepool et al., *Statistical Disclosure Control*, 2012, §4.2
 */
export function isDominated(cell: Concentration, terms: DominanceTerms): boolean {
  const { total, first, second, top } = cell;
  if (total === 0n) return false;
  const remainder = total - first - second;
  if (remainder * 100n < BigInt(terms.percent) * first) return true;
  return top * 100n > BigInt(terms.share) * total;
}
