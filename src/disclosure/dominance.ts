/**
 * Dominance: a cell whose total is mostly a few contributors' tells what they have. Each domain
 * checks the contributors of its own part; no domain knows another's.
 */

/** Both rules at once; a cell must pass each. */
export interface DominanceRules {
  /** The p% rule: from the total less its own value, the second largest must not come nearer than p% of the largest. */
  readonly percent: number;
  /** The (n, k) rule: the n largest may not have more than k% of the total. */
  readonly largest: number;
  readonly share: number;
}

/**
 * True where a cell's own contributions may not go out.
 * @param contributions - absolute contributions of the cell's units, in any order, each ≥ 0.
 * @see Hundepool et al., *Statistical Disclosure Control*, 2012, §4.2
 */
export function isDominated(contributions: readonly bigint[], rules: DominanceRules): boolean {
  const sorted = contributions.toSorted((a, b) => (a > b ? -1 : a < b ? 1 : 0));
  const total = sorted.reduce((sum, value) => sum + value, 0n);
  if (total === 0n) return false;
  const [first = 0n, second = 0n] = sorted;
  const remainder = total - first - second;
  if (remainder * 100n < BigInt(rules.percent) * first) return true;
  const top = sorted.slice(0, rules.largest).reduce((sum, value) => sum + value, 0n);
  return top * 100n > BigInt(rules.share) * total;
}
