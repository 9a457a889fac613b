/** Seam: disclosure control is a list of stages that every release passes, in the domain. */

/** Opened counts of the release, cell by cell, with how many holders contribute to each. */
export interface CountedCells {
  readonly counts: BigUint64Array;
  readonly contributors: Uint16Array;
}

export interface StageRules {
  readonly smallestCell: number;
  readonly smallestContributors: number;
}

/** A stage clears bits (1 = may be released, 0 = suppressed); it never sets one. */
export interface DisclosureStage {
  readonly name: string;
  apply(cells: CountedCells, rules: StageRules, permitted: Uint8Array): void;
}
