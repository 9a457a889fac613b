/**
 * Sizes of the band OKVS as a function of the number of items. The README argues the probability of
 * failure; `bench/psi-vole.ts` prints what it was extrapolated from.
 */
import { ProtocolError } from '../../common/protocol-error.ts';
import type { BandShape } from '../../common/primitives.ts';
import { ELEMENT_BYTES } from '../element.ts';

/** Coefficients of a band. */
export const BAND_WIDTH = 240;
/** Columns an item, besides a band's width: 1 + ε. */
const EXPANSION = 1.1;
/** Columns come in whole groups, as the kernel multiplies them. */
const COLUMN_GROUP = 16;

/** The shape of an OKVS of so many items. @throws ProtocolError `parameter-invalid` */
export function bandShape(items: number): BandShape {
  if (!Number.isInteger(items) || items < 0) {
    throw new ProtocolError('parameter-invalid', 'a set has a whole number of items');
  }
  const needed = Math.ceil(items * EXPANSION) + BAND_WIDTH;
  const columns = Math.ceil(needed / COLUMN_GROUP) * COLUMN_GROUP;
  return { itemsMax: items, elementBytes: ELEMENT_BYTES, columns, width: BAND_WIDTH };
}

/** How many columns a band can start at. */
export function startCount(shape: BandShape): number {
  return shape.columns - shape.width + 1;
}
