/** Tables over some of a release's groups that its own cells add up to. */

/** A release's cells, in the order of its groups. */
export interface ReleasedTable {
  readonly radices: readonly number[];
  /** Opened counts. */
  readonly counts: Float64Array;
  /** 1 a cell that may be released. */
  readonly permitted: Uint8Array;
}

/**
 * Which cells over the kept groups can be added up: 1 where every cell that adds to it is released, or
 * empty.
 * @param keep - for each group, whether it stays.
 */
export function projectedMap(table: ReleasedTable, keep: readonly boolean[]): Uint8Array {
  const { radices, counts, permitted } = table;
  const kept = radices.filter((_, index) => keep[index] === true);
  const map = new Uint8Array(kept.reduce((product, radix) => product * radix, 1)).fill(1);
  for (const [cell, isPermitted] of permitted.entries()) {
    if (isPermitted === 1 || counts[cell] === 0) continue;
    map[projectedCell(cell, radices, keep)] = 0;
  }
  return map;
}

function projectedCell(cell: number, radices: readonly number[], keep: readonly boolean[]): number {
  let [rest, place, out] = [cell, 1, 0];
  for (let index = radices.length - 1; index >= 0; index -= 1) {
    const radix = radices[index] ?? 1;
    if (keep[index] === true) {
      out += (rest % radix) * place;
      place *= radix;
    }
    rest = Math.floor(rest / radix);
  }
  return out;
}

/**
 * The sets of a release's groups whose tables another partition's cells could add up to as well: its
 * own, and what it shares with each. In the order of `groups`, each once; the empty set is the total.
 */
export function sharedGroups(
  groups: readonly string[],
  partitions: readonly (readonly string[])[],
): readonly (readonly string[])[] {
  const sets = new Map<string, readonly string[]>([[groups.join('\0'), groups]]);
  for (const partition of partitions) {
    const shared = groups.filter((group) => partition.includes(group));
    sets.set(shared.join('\0'), shared);
  }
  return [...sets.values()];
}
