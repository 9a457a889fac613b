/** The messages of PSI as bytes. All numbers little-endian. The README numbers them. */
import { equalBytes, viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { CONTEXT_BYTES, isWireSize, type PsiMode, type PsiParams } from './params.ts';

/** Kinds under which the messages travel. */
export const HELLO = 'psi.hello';
export const POINTS = 'psi.points';
export const EVALUATED = 'psi.evaluated';

const VERSION = 1;
const MODES: Readonly<Record<PsiMode, number>> = { intersection: 1, cardinality: 2, sum: 3 };
/** On top of a mode: by groups of the receiver's. */
const GROUPED = 0x80;
const DUPLICATES: Readonly<Record<PsiParams['duplicates'], number>> = {
  multiplicity: 1,
  distinct: 2,
};
/** version, mode, duplicates, role, chunk items, set size, noise slots, context. */
const HELLO_BYTES = 4 + 4 + 4 + 4 + CONTEXT_BYTES;
/** index, items */
const CHUNK_HEAD_BYTES = 8;

export type PsiRole = 'sender' | 'receiver';
const ROLES: Readonly<Record<PsiRole, number>> = { sender: 1, receiver: 2 };

/** The first message of each side: what it believes was agreed, and how many items it will send. */
export function encodeHello(params: PsiParams, role: PsiRole, items: number): Uint8Array {
  const out = new Uint8Array(HELLO_BYTES);
  const mode = MODES[params.mode] | (params.groups === undefined ? 0 : GROUPED);
  out.set([VERSION, mode, DUPLICATES[params.duplicates], ROLES[role]]);
  const view = viewOf(out);
  view.setUint32(4, params.chunkItems, true);
  view.setUint32(8, items, true);
  view.setUint32(12, params.noiseSlots, true);
  out.set(params.context, 16);
  return out;
}

/**
 * The peer's number of items, once everything else in its hello is as agreed.
 * @throws ProtocolError `length-wrong`, `transcript-mismatch` or `set-too-large`
 */
export function parseHello(params: PsiParams, role: PsiRole, message: Uint8Array): number {
  if (message.length !== HELLO_BYTES) {
    throw new ProtocolError('length-wrong', `a hello has ${HELLO_BYTES} bytes`);
  }
  const items = viewOf(message).getUint32(8, true);
  const expected = encodeHello(params, role, items);
  if (!equalBytes(message, expected)) {
    throw new ProtocolError('transcript-mismatch', 'the peer runs with other parameters');
  }
  if (items > (params.peerSizeMax ?? params.setSizeMax)) {
    throw new ProtocolError('set-too-large', `the peer announces ${items} items`);
  }
  // A receiver with groups pads each of them; `groups.ts` looks at their sizes once they are there.
  const isGrouped = params.groups !== undefined && role === 'receiver';
  if (!isGrouped && !isWireSize(params, items)) {
    throw new ProtocolError('length-wrong', 'the peer did not pad its set to a bucket');
  }
  return items;
}

/** Chunk `index` of a list of points or evaluated points. */
export function encodeChunk(index: number, records: Uint8Array, recordBytes: number): Uint8Array {
  const out = new Uint8Array(CHUNK_HEAD_BYTES + records.length);
  const view = viewOf(out);
  view.setUint32(0, index, true);
  view.setUint32(4, records.length / recordBytes, true);
  out.set(records, CHUNK_HEAD_BYTES);
  return out;
}

/**
 * The records of chunk `index` of a list of `items`: a view into the message.
 * @throws ProtocolError `message-unexpected` for another chunk (replayed, reordered or left out),
 *   `length-wrong` where its size is not the only one possible at this place.
 */
export function parseChunk(
  params: PsiParams,
  index: number,
  items: number,
  recordBytes: number,
  message: Uint8Array,
): Uint8Array {
  const left = items - index * params.chunkItems;
  return parseChunkOf(message, index, Math.min(params.chunkItems, left), recordBytes);
}

/**
 * The records of a chunk that must have this index and so many of them.
 * @throws as `parseChunk`
 */
export function parseChunkOf(
  message: Uint8Array,
  index: number,
  due: number,
  recordBytes: number,
): Uint8Array {
  if (message.length < CHUNK_HEAD_BYTES) {
    throw new ProtocolError('length-wrong', 'a chunk is shorter than its head');
  }
  const view = viewOf(message);
  if (view.getUint32(0, true) !== index) {
    throw new ProtocolError('message-unexpected', `chunk ${index} was due`);
  }
  const isDue = view.getUint32(4, true) === due;
  if (!isDue || message.length !== CHUNK_HEAD_BYTES + due * recordBytes) {
    throw new ProtocolError('length-wrong', `chunk ${index} does not have its ${due} items`);
  }
  return message.subarray(CHUNK_HEAD_BYTES);
}
