/** A secure sum of chosen size, the same for a whole run and for the gateway alone. */
import type { AggregateAnswer } from '../src/catalog/data-source.ts';
import { prepare, type Prepared, type RunCase } from '../test/support/secure-sum-run.ts';

/** Rows of each party in a cell that has any, and the value each of them has. */
export const ROWS_A_CELL = 5;
export const VALUE = 321;

export interface WholeRun {
  readonly name: string;
  readonly parties: number;
  /** Labels of each group, without `(other)`. */
  readonly labels: readonly number[];
  /** One cell in this many has rows; the others are empty, and so withheld. */
  readonly every: number;
}

/** Contract, keys and descriptor; one sum is asked for. */
export function prepareWhole(run: WholeRun): { runCase: RunCase; prepared: Prepared } {
  const runCase: RunCase = {
    groups: run.labels.map((count) => Array.from({ length: count }, (_, index) => `${index}`)),
    columns: [{ minimum: 0n, maximum: 1000n, scale: 0, squares: false }],
    parts: Array.from({ length: run.parties }, () => []),
    smallestCell: 3,
    smallestContributors: 3,
    seed: 1,
  };
  const { contract } = prepare(runCase);
  const datasets = contract.datasets.map((dataset) => ({ ...dataset, rowsMax: 2 ** 26 }));
  return { runCase, prepared: prepare(runCase, {}, { datasets }) };
}

/** One party's lanes. */
export function denseAnswer(cells: number, every: number): AggregateAnswer {
  const lanes = (value: number): Uint8Array => {
    const words = new Uint32Array(cells * 2);
    for (let cell = 0; cell < cells; cell += every) words[cell * 2] = value;
    return new Uint8Array(words.buffer);
  };
  const columns = [
    { nonNull: lanes(ROWS_A_CELL), sums: lanes(ROWS_A_CELL * VALUE), squares: undefined },
  ];
  return { cells, counts: lanes(ROWS_A_CELL), columns, engineMs: 0 };
}
