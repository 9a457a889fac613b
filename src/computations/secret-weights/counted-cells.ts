/** Which cells a weighted sum counts, as the first party tells the recipient: a bit a cell and output. */
import { AbortError } from '../../errors.ts';
import type { WeightedShape } from './shape.ts';

/** Bytes of what `countedCells` gives. */
export function countedCellsBytes({ outputs, base }: WeightedShape): number {
  return Math.ceil((outputs.length * base.cells) / 8);
}

/** @param maps - 1 a cell that may be released: for the rows, then for each measured column. */
export function countedCells(
  shape: WeightedShape,
  maps: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const bits = new Uint8Array(countedCellsBytes(shape));
  const { cells } = shape.base;
  for (const [index, { map }] of shape.outputs.entries())
    for (let cell = 0; cell < cells; cell++)
      if (maps[map]?.[cell] === 1) setBit(bits, index * cells + cell);
  return bits;
}

/** Whether an output counts a cell. */
export function isCounted(
  shape: WeightedShape,
  bits: Uint8Array,
  output: number,
  cell: number,
): boolean {
  const at = output * shape.base.cells + cell;
  const byte = bits[at >> 3];
  if (byte === undefined) throw new AbortError('decryption-failed', 'The statement is too short.');
  return ((byte >> (at & 7)) & 1) === 1;
}

function setBit(bits: Uint8Array, at: number): void {
  bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
}
