/** What a run looks like, from the contract and the request's arguments alone: no row is read. */
import { CELLS_MAX } from '../../contracts/plan.ts';
import { aggregatePlanOf } from '../../contracts/plan-fits.ts';
import type { DominanceTerms } from '../../contracts/dominance-terms.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { ColumnBounds, Contract, Dictionary } from '../../contracts/contract.ts';
import { InputError } from '../../errors.ts';
import { noisePlan, type NoisePlan } from '../../disclosure/noise-plan.ts';
import { laneBytes } from '../../../protocols/common/rings.ts';
import {
  countsLayout,
  measuresLayout,
  PARTIES_MAX,
  type Layout,
} from '../../../protocols/secure-sum/params.ts';
import { chosenLabels } from './selection.ts';

/** Lanes of 64 bits that a party sends in one round: a gigabyte. */
export const ROUND_LANES_MAX = 2 ** 27;
const SUM_LIMIT = 2n ** 63n;
const SQUARES_LIMIT = 2n ** 127n;

/** A measured column, once however many measures use it. */
export interface MeasuredColumn extends ColumnBounds {
  readonly squares: boolean;
  /** Index of its sum among the vectors of round 2; non-null rows before it, squares after it. */
  readonly sumVector: number;
}

export interface Shape {
  readonly groups: readonly Dictionary[];
  readonly chosen: readonly (readonly string[] | undefined)[];
  /** Labels of each group, `(other)` included. */
  readonly radices: readonly number[];
  readonly cells: number;
  readonly columns: readonly MeasuredColumn[];
  readonly rowsMaxTotal: number;
  /** Noise that each domain adds; undefined where the answer is exact. */
  readonly noise: NoisePlan | undefined;
  /** Under which each domain objects to sums of its own part; undefined where none is agreed on. */
  readonly dominance: DominanceTerms | undefined;
  /** The rows, each column's non-null values, then under dominance terms each column's objections. */
  readonly counts: Layout;
  readonly measures: Layout;
  /** 64-bit lanes that a party sends over both rounds. */
  readonly lanes: number;
}

/**
 * Plans a run.
 * @throws InputError `query-not-supported`, `parameter-invalid`, `too-many-cells`, `set-too-large`,
 *   or `overflow-possible` where the declared bounds do not prove that sums fit.
 */
export function shapeOf(contract: Contract, args: Arguments): Shape {
  if (contract.holders.length > PARTIES_MAX) {
    throw new InputError('set-too-large', `A secure sum has at most ${PARTIES_MAX} holders.`, {
      remedy: 'Split the holders over several contracts.',
    });
  }
  const groups = aggregatePlanOf(contract).groups.map(({ column }) =>
    dictionaryOf(contract, column),
  );
  const chosen = chosenLabels(contract, groups, args);
  const radices = groups.map((group) => group.labels.length + 1);
  const cells = radices.reduce((product, radix) => product * radix, 1);
  if (cells > CELLS_MAX) throw tooManyCells(cells);
  const rowsMaxTotal = contract.datasets.reduce((sum, dataset) => sum + dataset.rowsMax, 0);
  const columns = measuredColumns(contract);
  const { noise: terms } = contract.disclosure;
  const noise = terms === undefined ? undefined : noisePlan(terms, columns, cells);
  for (const [index, column] of columns.entries()) {
    proveNoOverflow(column, BigInt(rowsMaxTotal), tailsOf(noise, index, contract.holders.length));
  }
  const { dominance } = contract.disclosure;
  const objecting = dominance === undefined ? 0 : columns.length;
  const counts = countsLayout(cells, 1 + columns.length + objecting);
  const measures = measuresLayout(
    cells,
    columns.map((column) => column.squares),
  );
  const roundLanes = [lanesOf(counts), lanesOf(measures)] as const;
  if (Math.max(...roundLanes) > ROUND_LANES_MAX) throw tooManyCells(cells);
  const lanes = roundLanes[0] + roundLanes[1];
  return {
    groups,
    chosen,
    radices,
    cells,
    columns,
    rowsMaxTotal,
    noise,
    dominance,
    counts,
    measures,
    lanes,
  };
}

function dictionaryOf(contract: Contract, column: string): Dictionary {
  const dictionary = contract.dictionaries.find((candidate) => candidate.column === column);
  if (dictionary === undefined) {
    throw new InputError('query-not-supported', `${column} has no published dictionary.`, {
      column,
      rule: 'groups come from published dictionaries',
      remedy: `Add a dictionary of ${column}'s labels to the contract.`,
    });
  }
  if (new Set(dictionary.labels).size !== dictionary.labels.length) {
    throw new InputError('parameter-invalid', `The dictionary of ${column} repeats a label.`, {
      column,
      remedy: 'List each label once.',
    });
  }
  return dictionary;
}

function measuredColumns(contract: Contract): readonly MeasuredColumn[] {
  const squares = new Map<string, boolean>();
  for (const measure of aggregatePlanOf(contract).measures) {
    if (measure.fn === 'count') continue;
    squares.set(measure.column, squares.get(measure.column) === true || measure.fn === 'var');
  }
  let vector = 1;
  return [...squares].map(([column, square]) => {
    const bounds = contract.bounds.find((candidate) => candidate.column === column);
    if (bounds === undefined) {
      throw new InputError('query-not-supported', `${column} has no declared bounds.`, {
        column,
        rule: 'values are clamped to declared bounds',
        remedy: `Add the bounds of ${column} to the contract.`,
      });
    }
    const sumVector = vector + 1;
    vector += square ? 3 : 2;
    return { ...bounds, squares: square, sumVector };
  });
}

/** The most that all holders' noise together can add to a column's sums. */
interface Tails {
  readonly sum: bigint;
  readonly squares: bigint;
}

function tailsOf(noise: NoisePlan | undefined, column: number, holders: number): Tails {
  const own = noise?.columns[column];
  return {
    sum: (own?.sum.tail ?? 0n) * BigInt(holders),
    squares: (own?.squares?.tail ?? 0n) * BigInt(holders),
  };
}

/** Every partial sum, of any holders and cells, stays inside the ring: nothing can wrap unseen. */
function proveNoOverflow(column: MeasuredColumn, rows: bigint, tails: Tails): void {
  const [minimum, maximum] = [BigInt(column.minimum), BigInt(column.maximum)];
  if (minimum > maximum) {
    throw new InputError('parameter-invalid', `The bounds of ${column.column} are reversed.`, {
      column: column.column,
    });
  }
  const bound = -minimum > maximum ? -minimum : maximum;
  const sumFits = rows * bound + tails.sum < SUM_LIMIT;
  const squaresFit = !column.squares || rows * bound * bound + tails.squares < SQUARES_LIMIT;
  if (sumFits && squaresFit) return;
  throw new InputError(
    'overflow-possible',
    `A ${sumFits ? 'sum of squares' : 'sum'} of ${column.column} could exceed what it is held in.`,
    {
      column: column.column,
      rule: sumFits ? 'rows · bound² + noise tails < 2^127' : 'rows · bound + noise tails < 2^63',
      remedy: 'Declare tighter bounds, a smaller scale or smaller row caps.',
    },
  );
}

function lanesOf(layout: Layout): number {
  const words = layout.vectors.reduce((sum, ring) => sum + laneBytes(ring) / 8, 0);
  return words * layout.cells;
}

function tooManyCells(cells: number): InputError {
  return new InputError('too-many-cells', `The groups make ${cells} cells, too many for one run.`, {
    rule: `at most ${CELLS_MAX} cells and ${ROUND_LANES_MAX} lanes`,
    remedy: 'Use fewer groups, shorter dictionaries or fewer measures.',
  });
}
