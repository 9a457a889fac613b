/**
 * The messages of a secure sum as bytes. Every length is known beforehand from the descriptor, so
 * a message that is longer, shorter, of another round, block or position is refused.
 *
 * A vector frame: `WSF1`, round (1 byte), three zero bytes, block and frame index (4 bytes each,
 * big-endian), then the body, little-endian lanes.
 */
import { concatBytes, viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import {
  bodyBytes,
  FRAME_BODY_BYTES,
  HASH_BYTES,
  KEY_BYTES,
  NONCE_BYTES,
  SIGNATURE_BYTES,
  type Layout,
} from './params.ts';

export const FRAME_HEADER_BYTES = 16;
const FRAME_MAGIC = 0x57534631; // WSF1
const SEED_MAGIC = 0x57535331; // WSS1
const MAP_MAGIC = 0x57534d31; // WSM1
const LIST_MAGIC = 0x57534c31; // WSL1
const MAGIC_BYTES = 4;

/** A party's statement of which cells may be released. */
export interface MapStatement {
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
}

/** How many frames carry a block's body. */
export function frameCount(layout: Layout, block: number): number {
  return Math.ceil(bodyBytes(layout, block) / FRAME_BODY_BYTES);
}

/** Bytes of one frame of a block's body, header included. */
export function frameBytes(layout: Layout, block: number, frame: number): number {
  return FRAME_HEADER_BYTES + frameBodyBytes(layout, block, frame);
}

/** Bytes of so many commitments or nonces. */
export function listBytes(items: number): number {
  return MAGIC_BYTES + items * NONCE_BYTES;
}

/** Bytes of so many statements. */
export function mapsBytes(statements: number): number {
  return MAGIC_BYTES + statements * (HASH_BYTES + SIGNATURE_BYTES);
}

/** One frame of a block's body. */
export function encodeFrame(
  layout: Layout,
  block: number,
  frame: number,
  body: Uint8Array,
): Uint8Array {
  const at = frame * FRAME_BODY_BYTES;
  const part = body.subarray(at, at + frameBodyBytes(layout, block, frame));
  const out = new Uint8Array(FRAME_HEADER_BYTES + part.length);
  const view = viewOf(out);
  view.setUint32(0, FRAME_MAGIC);
  view.setUint8(4, layout.round);
  view.setUint32(8, block);
  view.setUint32(12, frame);
  out.set(part, FRAME_HEADER_BYTES);
  return out;
}

/**
 * Reads the frame that must come next into its place in `body`.
 * @throws ProtocolError `length-wrong`, `message-malformed`, or `message-unexpected` for a frame of
 *   another round, block or position.
 */
export function parseFrame(
  layout: Layout,
  block: number,
  frame: number,
  bytes: Uint8Array,
  body: Uint8Array,
): void {
  const view = parseHeader(bytes, frameBytes(layout, block, frame), FRAME_MAGIC);
  if (view.getUint8(5) !== 0 || view.getUint16(6) !== 0) {
    throw new ProtocolError('message-malformed', 'reserved bytes are not zero');
  }
  if (
    view.getUint8(4) !== layout.round ||
    view.getUint32(8) !== block ||
    view.getUint32(12) !== frame
  ) {
    throw new ProtocolError('message-unexpected', 'a frame of another round, block or position');
  }
  body.set(bytes.subarray(FRAME_HEADER_BYTES), frame * FRAME_BODY_BYTES);
}

/** The seed that the first party draws; travels sealed, between domains only. Secret. */
export function encodeSeed(seed: Uint8Array): Uint8Array {
  return concatBytes([magic(SEED_MAGIC), sized(seed, KEY_BYTES)]);
}

/** @throws ProtocolError `length-wrong` or `message-malformed`. */
export function parseSeed(bytes: Uint8Array): Uint8Array {
  parseHeader(bytes, MAGIC_BYTES + KEY_BYTES, SEED_MAGIC);
  return bytes.slice(MAGIC_BYTES);
}

/** Commitments or nonces of 32 bytes, in the descriptor's order; a party sends its own alone. */
export function encodeList(items: readonly Uint8Array[]): Uint8Array {
  return concatBytes([magic(LIST_MAGIC), ...items.map((item) => sized(item, NONCE_BYTES))]);
}

/** @throws ProtocolError `length-wrong` or `message-malformed`. */
export function parseList(bytes: Uint8Array, items: number): readonly Uint8Array[] {
  parseHeader(bytes, listBytes(items), LIST_MAGIC);
  return Array.from({ length: items }, (_, index) => {
    const at = MAGIC_BYTES + index * NONCE_BYTES;
    return bytes.slice(at, at + NONCE_BYTES);
  });
}

/** Statements, one a party in the descriptor's order; a party sends its own alone. */
export function encodeMaps(statements: readonly MapStatement[]): Uint8Array {
  const parts = statements.flatMap(({ hash, signature }) => [
    sized(hash, HASH_BYTES),
    sized(signature, SIGNATURE_BYTES),
  ]);
  return concatBytes([magic(MAP_MAGIC), ...parts]);
}

/** @throws ProtocolError `length-wrong` or `message-malformed`. */
export function parseMaps(bytes: Uint8Array, statements: number): readonly MapStatement[] {
  const each = HASH_BYTES + SIGNATURE_BYTES;
  parseHeader(bytes, mapsBytes(statements), MAP_MAGIC);
  return Array.from({ length: statements }, (_, index) => {
    const at = MAGIC_BYTES + index * each;
    return {
      hash: bytes.slice(at, at + HASH_BYTES),
      signature: bytes.slice(at + HASH_BYTES, at + each),
    };
  });
}

function frameBodyBytes(layout: Layout, block: number, frame: number): number {
  const left = bodyBytes(layout, block) - frame * FRAME_BODY_BYTES;
  if (frame < 0 || left <= 0) {
    throw new ProtocolError('parameter-invalid', `frame ${frame} is outside the block`);
  }
  return Math.min(left, FRAME_BODY_BYTES);
}

function parseHeader(bytes: Uint8Array, lengthBytes: number, expectedMagic: number): DataView {
  if (bytes.length !== lengthBytes) {
    throw new ProtocolError('length-wrong', `${bytes.length} bytes where ${lengthBytes} belong`);
  }
  const view = viewOf(bytes);
  if (view.getUint32(0) !== expectedMagic) {
    throw new ProtocolError('message-malformed', 'not a message of this kind and version');
  }
  return view;
}

function magic(value: number): Uint8Array {
  const out = new Uint8Array(MAGIC_BYTES);
  viewOf(out).setUint32(0, value);
  return out;
}

function sized(bytes: Uint8Array, lengthBytes: number): Uint8Array {
  if (bytes.length !== lengthBytes) {
    throw new ProtocolError('length-wrong', `${bytes.length} bytes where ${lengthBytes} belong`);
  }
  return bytes;
}
