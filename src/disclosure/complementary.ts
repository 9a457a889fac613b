/**
 * Complementary suppression over the cells of one partition. Whoever knows a total (from another
 * release over the same rows, from a published figure, or because it is public) subtracts the
 * released cells of a line from it and has what is withheld there. So in no line of the table, along
 * any one dimension, may a single cell be missing, or several that together stay under the threshold.
 */
import { bridgesOf } from './bridges.ts';

export interface Table {
  /** Labels of each dimension, the first the most significant digit of a cell's index. */
  readonly radices: readonly number[];
  readonly counts: Float64Array;
  /** 1 a cell that belongs to the question; others are not part of any line. */
  readonly selected: Uint8Array;
  /** Not 0 for a cell whose sum a few contributors dominate. */
  readonly objections?: Float64Array | undefined;
}

/**
 * Withholds further cells until every line along every dimension has either
 * nothing withheld or cells that together hold at least `smallestCell` rows in at least two
 * cells; and in a table of two dimensions until all its lines together give no cell back. The smallest released cells of a line go first, ties in the order of the cells: every
 * domain comes to the same answer. A dominated cell has rows enough and hides none of what its few
 * contributors have, so the rows that a line must withhold are those of its other cells.
 * @param permitted - cleared in place, never set.
 * Cost: a pass over the cells for each dimension and round; a round withholds a cell, or ends.
 */
export function suppressComplements(
  table: Table,
  smallestCell: number,
  permitted: Uint8Array,
): void {
  const lines = linesOf(table.radices);
  // Cells withheld for one dimension open lines of another; each round withholds more, so it ends.
  for (let changed = true; changed; ) {
    changed = false;
    for (const line of lines) changed = mendLines(table, line, smallestCell, permitted) || changed;
    if (!changed && table.radices.length === 2) changed = mendBridges(table, permitted);
  }
}

/** Several lines together may give a cell back that each of them hides: then one more goes with it. */
function mendBridges({ radices, counts, selected }: Table, permitted: Uint8Array): boolean {
  const [rows = 1, columns = 1] = radices;
  const withheld = permitted.map((one, cell) =>
    one === 0 && selected[cell] === 1 && (counts[cell] ?? 0) > 0 ? 1 : 0,
  );
  let changed = false;
  for (const cell of bridgesOf(rows, columns, withheld)) {
    const row = Math.floor(cell / columns);
    const along = [
      { from: row * columns, to: (row + 1) * columns, step: 1 },
      { from: cell % columns, to: counts.length, step: columns },
      { from: 0, to: counts.length, step: 1 },
    ];
    let other = -1;
    for (const { from, to, step } of along) {
      for (let at = from; at < to; at += step) {
        if (permitted[at] !== 1 || counts[at] === 0) continue;
        if (other === -1 || (counts[at] ?? 0) < (counts[other] ?? 0)) other = at;
      }
      if (other !== -1) break;
    }
    if (other === -1) return changed;
    permitted[other] = 0;
    changed = true;
  }
  return changed;
}

/** Lines along one dimension: cells `start + offset + i · stride`. */
interface Lines {
  readonly length: number;
  readonly stride: number;
}

function linesOf(radices: readonly number[]): readonly Lines[] {
  let stride = radices.reduce((product, radix) => product * radix, 1);
  // Every larger marginal is a union of such lines. Without dimensions the one cell is the table.
  if (radices.length === 0) return [{ length: 1, stride: 1 }];
  return radices.map((radix) => {
    stride /= radix;
    return { length: radix, stride };
  });
}

function mendLines(
  { counts, selected, objections }: Table,
  { length, stride }: Lines,
  smallestCell: number,
  permitted: Uint8Array,
): boolean {
  let changed = false;
  const block = length * stride;
  for (let start = 0; start < counts.length; start += block) {
    for (let offset = start; offset < start + stride; offset += 1) {
      let withheld = 0;
      let rows = 0;
      const end = offset + block;
      for (let cell = offset; cell < end; cell += stride) {
        if (selected[cell] !== 1 || permitted[cell] === 1) continue;
        // An empty cell hides nothing and protects nothing.
        const count = counts[cell] ?? 0;
        if (count > 0) withheld += 1;
        if (objections === undefined || objections[cell] === 0) rows += count;
      }
      if (withheld === 0 || (withheld >= 2 && rows >= smallestCell)) continue;
      changed =
        mendLine(counts, permitted, { offset, end, stride, withheld, rows }, smallestCell) ||
        changed;
    }
  }
  return changed;
}

interface OpenLine {
  readonly offset: number;
  readonly end: number;
  readonly stride: number;
  readonly withheld: number;
  readonly rows: number;
}

function mendLine(
  counts: Float64Array,
  permitted: Uint8Array,
  line: OpenLine,
  smallestCell: number,
): boolean {
  let { withheld, rows } = line;
  let changed = false;
  while (withheld < 2 || rows < smallestCell) {
    let smallest = -1;
    for (let cell = line.offset; cell < line.end; cell += line.stride) {
      if (permitted[cell] !== 1) continue;
      if (smallest === -1 || (counts[cell] ?? 0) < (counts[smallest] ?? 0)) smallest = cell;
    }
    // Nothing left to withhold: the line has gone as a whole, and its total with it.
    if (smallest === -1) return changed;
    permitted[smallest] = 0;
    withheld += 1;
    rows += counts[smallest] ?? 0;
    changed = true;
  }
  return changed;
}
