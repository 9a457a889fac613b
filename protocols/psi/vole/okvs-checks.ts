/** What both engines of the OKVS check of their arguments. */
import type { BandShape } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { GF128_BYTES } from './gf128.ts';

export const OKVS_KEY_BYTES = 32;

/** How many elements there are. @throws ProtocolError `length-wrong`, `set-too-large` */
export function requireElements(shape: BandShape, key: Uint8Array, elements: Uint8Array): number {
  const count = elements.length / shape.elementBytes;
  if (!Number.isInteger(count) || key.length !== OKVS_KEY_BYTES) {
    throw new ProtocolError('length-wrong', 'a key or an element is cut short');
  }
  if (count <= shape.itemsMax) return count;
  throw new ProtocolError('set-too-large', `the memory holds ${shape.itemsMax} items`);
}

/** @throws ProtocolError `length-wrong` */
export function requireVector(shape: BandShape, vector: Uint8Array): void {
  if (vector.length === shape.columns * GF128_BYTES) return;
  throw new ProtocolError('length-wrong', `a vector has ${shape.columns} elements`);
}
