/**
 * Frames as bytes: MessagePack without extensions. The bytes are walked before msgpackr sees them,
 * so that record definitions, typed extensions, bombs of tiny values and trailing bytes never
 * reach its decoder.
 */
import { Packr } from 'msgpackr';
import type { z } from 'zod';
import { LinkViolation } from './close-reason.ts';
import { FRAME_DEPTH_MAX, FRAME_ITEMS_MAX } from './limits.ts';

const PACKR = new Packr({
  useRecords: false,
  moreTypes: false,
  mapsAsObjects: true,
  variableMapSize: true,
});

/** The value as MessagePack; the caller checks `isPlain` where the value is not its own. */
export function encodeFrame(value: unknown): Uint8Array {
  return PACKR.pack(value);
}

/**
 * The frame of `schema` that the bytes encode, exactly and wholly.
 * @throws LinkViolation `frame-malformed` on anything else; never another error.
 */
export function decodeFrame<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  if (!isPlain(bytes)) throw new LinkViolation('frame-malformed');
  let value: unknown;
  try {
    // A view that is no Buffer: then the byte strings inside come out as plain Uint8Array too.
    value = PACKR.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch {
    throw new LinkViolation('frame-malformed');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new LinkViolation('frame-malformed');
  return parsed.data;
}

/** A value's head: bytes of head, bytes of body, values that follow inside, whether a map, a string. */
interface Head {
  readonly head: number;
  readonly body: number;
  readonly items: number;
  readonly map: boolean;
  readonly text: boolean;
}

const SCALAR = { body: 0, items: 0, map: false, text: false };

/**
 * Whether the bytes are one whole MessagePack value out of nil, booleans, numbers, strings, bytes,
 * arrays and maps with string keys, within FRAME_ITEMS_MAX and FRAME_DEPTH_MAX.
 */
export function isPlain(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: { left: number; readonly map: boolean }[] = [];
  let offset = 0;
  for (let items = 1; items <= FRAME_ITEMS_MAX; items += 1) {
    const head = headAt(view, offset);
    if (head === undefined) return false;
    offset += head.head + head.body;
    if (offset > bytes.length) return false;
    const inside = open.at(-1);
    if (inside !== undefined) {
      // A map has an even number of values left where a key stands.
      if (inside.map && inside.left % 2 === 0 && !head.text) return false;
      inside.left -= 1;
    }
    if (head.items > 0) {
      // Each value takes a byte at least: a count beyond the bytes left is a lie.
      if (open.length >= FRAME_DEPTH_MAX || head.items > bytes.length - offset) return false;
      open.push({ left: head.items, map: head.map });
    }
    while (open.at(-1)?.left === 0) open.pop();
    if (open.length === 0) return offset === bytes.length;
  }
  return false;
}

function headAt(view: DataView, offset: number): Head | undefined {
  if (offset >= view.byteLength) return undefined;
  const type = view.getUint8(offset);
  if (type <= 0x7f || type >= 0xe0) return { ...SCALAR, head: 1 };
  if (type <= 0x8f) return { ...SCALAR, head: 1, items: (type & 0x0f) * 2, map: true };
  if (type <= 0x9f) return { ...SCALAR, head: 1, items: type & 0x0f };
  if (type <= 0xbf) return { ...SCALAR, head: 1, body: type & 0x1f, text: true };
  const size = SIZES.get(type);
  if (size === undefined) return undefined;
  if (size.kind === 'scalar') return { ...SCALAR, head: 1 + size.bytes };
  if (offset + 1 + size.bytes > view.byteLength) return undefined;
  const length = lengthAt(view, offset + 1, size.bytes);
  const head = 1 + size.bytes;
  if (size.kind === 'map') return { ...SCALAR, head, items: length * 2, map: true };
  if (size.kind === 'array') return { ...SCALAR, head, items: length };
  return { ...SCALAR, head, body: length, text: size.kind === 'text' };
}

function lengthAt(view: DataView, offset: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(offset);
  return bytes === 2 ? view.getUint16(offset) : view.getUint32(offset);
}

type Kind = 'scalar' | 'bytes' | 'text' | 'array' | 'map';

/** The types 0xc0..0xdf that a frame may hold; absent: 0xc1 and every extension. */
const SIZES: ReadonlyMap<number, { readonly kind: Kind; readonly bytes: number }> = new Map([
  [0xc0, { kind: 'scalar', bytes: 0 }],
  [0xc2, { kind: 'scalar', bytes: 0 }],
  [0xc3, { kind: 'scalar', bytes: 0 }],
  [0xc4, { kind: 'bytes', bytes: 1 }],
  [0xc5, { kind: 'bytes', bytes: 2 }],
  [0xc6, { kind: 'bytes', bytes: 4 }],
  [0xca, { kind: 'scalar', bytes: 4 }],
  [0xcb, { kind: 'scalar', bytes: 8 }],
  [0xcc, { kind: 'scalar', bytes: 1 }],
  [0xcd, { kind: 'scalar', bytes: 2 }],
  [0xce, { kind: 'scalar', bytes: 4 }],
  [0xcf, { kind: 'scalar', bytes: 8 }],
  [0xd0, { kind: 'scalar', bytes: 1 }],
  [0xd1, { kind: 'scalar', bytes: 2 }],
  [0xd2, { kind: 'scalar', bytes: 4 }],
  [0xd3, { kind: 'scalar', bytes: 8 }],
  [0xd9, { kind: 'text', bytes: 1 }],
  [0xda, { kind: 'text', bytes: 2 }],
  [0xdb, { kind: 'text', bytes: 4 }],
  [0xdc, { kind: 'array', bytes: 2 }],
  [0xdd, { kind: 'array', bytes: 4 }],
  [0xde, { kind: 'map', bytes: 2 }],
  [0xdf, { kind: 'map', bytes: 4 }],
] as const);
