import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bridgesOf } from '../../src/disclosure/bridges.ts';
import { suppressComplements } from '../../src/disclosure/complementary.ts';

const SMALLEST = 3;

interface Case {
  readonly radices: readonly number[];
  readonly counts: readonly number[];
}

const tables: fc.Arbitrary<Case> = fc
  .array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 })
  .chain((radices) => {
    const cells = radices.reduce((product, radix) => product * radix, 1);
    return fc
      .array(fc.oneof(fc.nat({ max: 4 }), fc.nat({ max: 200 })), {
        minLength: cells,
        maxLength: cells,
      })
      .map((counts) => ({ radices, counts }));
  });

function controlled({ radices, counts }: Case, withComplements: boolean): Uint8Array {
  const permitted = Uint8Array.from(counts, (count) => (count >= SMALLEST ? 1 : 0));
  if (!withComplements) return permitted;
  const selected = new Uint8Array(counts.length).fill(1);
  const table = { radices, counts: Float64Array.from(counts), selected };
  suppressComplements(table, SMALLEST, permitted);
  return permitted;
}

/** What somebody who knows every line's total learns of single withheld cells that are not empty. */
function attacked({ radices, counts }: Case, permitted: Uint8Array): number[] {
  const found: number[] = [];
  let stride = counts.length;
  for (const radix of radices) {
    stride /= radix;
    for (let first = 0; first < counts.length; first += 1) {
      if (Math.floor(first / stride) % radix !== 0) continue;
      const line = Array.from({ length: radix }, (_, index) => first + index * stride);
      const held = line.filter((cell) => permitted[cell] === 0);
      const rows = held.reduce((sum, cell) => sum + counts[cell]!, 0);
      const filled = held.filter((cell) => counts[cell]! > 0);
      const isWhole = held.length === line.length;
      if (!isWhole && filled.length > 0 && (filled.length === 1 || rows < SMALLEST)) {
        found.push(first);
      }
    }
  }
  return found;
}

describe('complementary suppression', () => {
  it('leaves no line whose total gives a withheld cell, or too few rows, back', () => {
    fc.assert(
      fc.property(tables, (table) => {
        const before = controlled(table, false);
        const after = controlled(table, true);
        expect(attacked(table, after)).toEqual([]);
        for (const [cell, one] of after.entries()) if (one === 1) expect(before[cell]).toBe(1);
      }),
      { numRuns: 400 },
    );
  });

  it('withholds nothing where nothing is withheld', () => {
    const table = { radices: [2, 2], counts: [5, 6, 7, 8] };
    expect([...controlled(table, true)]).toEqual([1, 1, 1, 1]);
  });

  it('control: the threshold alone gives the cell back', () => {
    const table = { radices: [3, 3], counts: [2, 50, 60, 70, 80, 90, 40, 30, 20] };
    expect(attacked(table, controlled(table, false))).not.toEqual([]);
    const after = controlled(table, true);
    expect(attacked(table, after)).toEqual([]);
    // Not the fewest possible, but never the whole table for one cell.
    expect(after.includes(1)).toBe(true);
  });

  it('cells that were not chosen belong to no line', () => {
    const permitted = Uint8Array.of(1, 0, 1, 0);
    const table = {
      radices: [4],
      counts: Float64Array.of(10, 0, 10, 0),
      selected: Uint8Array.of(1, 0, 1, 0),
    };
    suppressComplements(table, SMALLEST, permitted);
    expect([...permitted]).toEqual([1, 0, 1, 0]);
  });
});

/** Cells whose value the totals of rows and columns determine: by elimination over the withheld ones. */
function determined(rows: number, columns: number, withheld: readonly number[]): number[] {
  const matrix: number[][] = Array.from({ length: rows + columns }, (_, line) =>
    withheld.map((cell) =>
      Math.floor(cell / columns) === line || rows + (cell % columns) === line ? 1 : 0,
    ),
  );
  let rank = 0;
  for (let column = 0; column < withheld.length; column += 1) {
    const pivot = matrix.findIndex((line, index) => index >= rank && line[column] !== 0);
    if (pivot === -1) continue;
    [matrix[rank], matrix[pivot]] = [matrix[pivot]!, matrix[rank]!];
    const scale = matrix[rank]![column]!;
    matrix[rank] = matrix[rank]!.map((value) => value / scale);
    for (const [index, line] of matrix.entries()) {
      const factor = line[column]!;
      if (index === rank || factor === 0) continue;
      matrix[index] = line.map((value, at) => value - factor * matrix[rank]![at]!);
    }
    rank += 1;
  }
  return matrix
    .slice(0, rank)
    .filter((line) => line.filter((value) => value !== 0).length === 1)
    .map((line) => withheld[line.findIndex((value) => value !== 0)]!);
}

describe('all lines of a table of two dimensions together', () => {
  const twoDimensional = fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }))
    .chain(([rows, columns]) =>
      fc
        .array(fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 50 })), {
          minLength: rows * columns,
          maxLength: rows * columns,
        })
        .map((counts) => ({ radices: [rows, columns] as const, counts })),
    );

  it('bridges are exactly what elimination determines', () => {
    fc.assert(
      fc.property(twoDimensional, ({ radices: [rows, columns], counts }) => {
        const withheld = Uint8Array.from(counts, (count) => (count > 0 && count < 30 ? 1 : 0));
        const cells = [...withheld.keys()].filter((cell) => withheld[cell] === 1);
        const numeric = (a: number, b: number): number => a - b;
        expect(bridgesOf(rows, columns, withheld).toSorted(numeric)).toEqual(
          determined(rows, columns, cells).toSorted(numeric),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('give no withheld cell back, unless nothing is left to withhold', () => {
    fc.assert(
      fc.property(twoDimensional, (table) => {
        const [rows, columns] = table.radices;
        const permitted = controlled(table, true);
        const isLeft = permitted.some((one, cell) => one === 1 && table.counts[cell]! > 0);
        const withheld = [...permitted.keys()].filter(
          (cell) => permitted[cell] === 0 && table.counts[cell]! > 0,
        );
        if (isLeft) expect(determined(rows, columns, withheld)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('control: lines alone leave a bridge between two rectangles', () => {
    const columns = 5;
    const cells = [0, 1, 5, 6, 7, 12, 13, 17, 18];
    const withheld = Uint8Array.from({ length: 20 }, (_, cell) => (cells.includes(cell) ? 1 : 0));
    expect(bridgesOf(4, columns, withheld)).toEqual([7]);
  });
});
