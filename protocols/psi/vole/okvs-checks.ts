/** What both engines of the OKVS check of their arguments. */
import type { BandShape } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { GF128_BYTES } from './gf128.ts';

export const OKVS_KEY_BYTES = 32;

/** Bytes and parts of `shareOut` at most. */
const SHARED_BYTES_MAX = 2 ** 22;
const PARTS_MAX = 1024;

/** How many elements there are. @throws ProtocolError `length-wrong`, `set-too-large` */
export function requireElements(
  shape: BandShape,
  key: Uint8Array,
  pieces: readonly Uint8Array[],
): number {
  let count = 0;
  for (const piece of pieces) count += wholeElements(key, piece, shape.elementBytes);
  if (count <= shape.itemsMax) return count;
  throw new ProtocolError('set-too-large', `the memory holds ${shape.itemsMax} items`);
}

/** How many elements there are. @throws ProtocolError `length-wrong`, `parameter-invalid` */
export function requireShares(
  key: Uint8Array,
  elements: Uint8Array,
  elementBytes: number,
  parts: number,
): number {
  if (!Number.isInteger(parts) || parts < 1 || parts > PARTS_MAX) {
    throw new ProtocolError('parameter-invalid', `there are 1 to ${PARTS_MAX} parts`);
  }
  if (elements.length > SHARED_BYTES_MAX) {
    throw new ProtocolError('length-wrong', `up to ${SHARED_BYTES_MAX} bytes are shared out`);
  }
  return wholeElements(key, elements, elementBytes);
}

function wholeElements(key: Uint8Array, elements: Uint8Array, elementBytes: number): number {
  const count = elements.length / elementBytes;
  if (Number.isInteger(count) && key.length === OKVS_KEY_BYTES) return count;
  throw new ProtocolError('length-wrong', 'a key or an element is cut short');
}

/** Bytes of a word, where a value is not a field element. */
export const WORD_BYTES = 64;

/** @throws ProtocolError `length-wrong`, `parameter-invalid` for a table of other values */
export function requireWords(shape: BandShape, words: Uint8Array): void {
  if (shape.valueBytes !== WORD_BYTES) {
    throw new ProtocolError('parameter-invalid', 'the memory has no room for words');
  }
  if (words.length === shape.columns * WORD_BYTES) return;
  throw new ProtocolError('length-wrong', `a vector has ${shape.columns} words`);
}

/** @throws ProtocolError `length-wrong` */
export function requireVector(shape: BandShape, vector: Uint8Array): void {
  if (vector.length === shape.columns * GF128_BYTES) return;
  throw new ProtocolError('length-wrong', `a vector has ${shape.columns} elements`);
}
