/** Seam: disclosure control is a list of stages that every release passes, in the domain. */

/**
 * Opened counts, cell by cell, with how many holders contribute to each: of the rows, or of the
 * non-null values of one measured column. Doubles hold them exactly (at most 2^53 − 1) and, unlike
 * BigInt, cost nothing a cell.
 */
export interface CountedCells {
  readonly counts: Float64Array;
  readonly contributors: Uint16Array;
  /** Of a summed column under dominance terms: how many holders' own parts of the cell are dominated. */
  readonly objections?: Float64Array;
  /** How cells make a table, for stages that look at lines of it; without it they do nothing. */
  readonly partition?: {
    /** Labels of each dimension, the first the most significant digit of a cell's index. */
    readonly radices: readonly number[];
    /** 1 a cell that belongs to the question. */
    readonly selected: Uint8Array;
  };
}

export interface StageRules {
  readonly smallestCell: number;
  readonly smallestContributors: number;
  /** Where totals of lines may be known: from other partitions, or because they are public. */
  readonly complementary?: true | undefined;
}

/**
 * A stage clears entries of `permitted`, one byte a cell (1 = may be released, 0 = suppressed); it
 * never sets one.
 */
export interface DisclosureStage {
  readonly name: string;
  /** True where noise does what the stage is for: then a noised answer passes without it. */
  readonly exactOnly?: true;
  apply(cells: CountedCells, rules: StageRules, permitted: Uint8Array): void;
}
