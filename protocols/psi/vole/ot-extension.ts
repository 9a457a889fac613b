/**
 * Oblivious transfer extension after Ishai, Kilian, Nissim and Petrank: from 128 base transfers to any
 * number, semi-honest. The sender of the many was the chooser of the few.
 * @see Ishai, Kilian, Nissim, Petrank: Extending Oblivious Transfers Efficiently, CRYPTO 2003
 */
import { viewOf, xorInto } from '../../common/bytes.ts';
import type { Primitives } from '../../common/primitives.ts';
import { OT_KEY_BYTES } from './base-ot.ts';

/** Base transfers that one extension takes, and bits of its rows. */
export const COLUMNS = 128;
const ROW_BYTES = 16;

type ExtensionPrimitives = Pick<Primitives, 'stream' | 'vole'>;

/** Rows of an extension of at least `count` transfers: whole blocks of every column's stream. */
export function extensionRows(count: number): number {
  return Math.ceil(count / 128) * 128;
}

/** Bytes of the receiver's message. */
export function extensionBytes(rows: number): number {
  return (COLUMNS * rows) / 8;
}

/**
 * The receiver's part.
 *
 * Secret: all but `message`.
 * @param keys - both keys of each base transfer, `COLUMNS` of `OT_KEY_BYTES`.
 * @param segment - of the keys' streams; a segment is used once.
 * @param choices - a bit a row, from the lowest bit of the first byte.
 * @returns `pads`: 16 bytes a row, that of the chosen side.
 */
export function extendReceiver(
  primitives: ExtensionPrimitives,
  keys: readonly [Uint8Array, Uint8Array],
  segment: number,
  hashKey: Uint8Array,
  choices: Uint8Array,
): { message: Uint8Array; pads: Uint8Array } {
  const columnBytes = choices.length;
  const columns = new Uint8Array(COLUMNS * columnBytes);
  const message = new Uint8Array(COLUMNS * columnBytes);
  for (let j = 0; j < COLUMNS; j++) {
    const column = columns.subarray(j * columnBytes, (j + 1) * columnBytes);
    const sent = message.subarray(j * columnBytes, (j + 1) * columnBytes);
    column.set(streamOf(primitives, keys[0], j, segment, columnBytes));
    sent.set(streamOf(primitives, keys[1], j, segment, columnBytes));
    xorInto(sent, column);
    xorInto(sent, choices);
  }
  const pads = hashRows(primitives, hashKey, primitives.vole.transpose(columns, COLUMNS));
  return { message, pads };
}

/**
 * The sender's part.
 *
 * Secret: `choices`, `keys` and what comes out.
 * @param choices - 16 bytes: its bits in the base transfers.
 * @param keys - the keys it got there.
 * @returns 16 bytes a row for each side.
 */
export function extendSender(
  primitives: ExtensionPrimitives,
  choices: Uint8Array,
  keys: Uint8Array,
  segment: number,
  hashKey: Uint8Array,
  message: Uint8Array,
): readonly [Uint8Array, Uint8Array] {
  const rows = primitives.vole.transpose(
    senderColumns(primitives, choices, keys, segment, message),
    COLUMNS,
  );
  const zeros = hashRows(primitives, hashKey, rows);
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    xorInto(rows.subarray(at, at + ROW_BYTES), choices);
  }
  return [zeros, hashRows(primitives, hashKey, rows)];
}

/**
 * The columns the sender of an extension gets: the stream of its key, plus the message where its bit
 * is one.
 */
export function senderColumns(
  primitives: Pick<Primitives, 'stream'>,
  choices: Uint8Array,
  keys: Uint8Array,
  segment: number,
  message: Uint8Array,
): Uint8Array {
  const count = choices.length * 8;
  const columnBytes = message.length / count;
  const columns = new Uint8Array(message.length);
  for (let j = 0; j < count; j++) {
    const column = columns.subarray(j * columnBytes, (j + 1) * columnBytes);
    const mask = -(((choices[j >> 3] ?? 0) >> (j & 7)) & 1);
    column.set(message.subarray(j * columnBytes, (j + 1) * columnBytes));
    for (let i = 0; i < columnBytes; i++) column[i] = (column[i] ?? 0) & mask;
    xorInto(column, streamOf(primitives, keys, j, segment, columnBytes));
  }
  return columns;
}

/** The stream of key `index` of a list. */
export function streamOf(
  primitives: Pick<Primitives, 'stream'>,
  keys: Uint8Array,
  index: number,
  segment: number,
  lengthBytes: number,
): Uint8Array {
  const key = keys.subarray(index * OT_KEY_BYTES, (index + 1) * OT_KEY_BYTES);
  return primitives.stream.open(key, segment).next(lengthBytes);
}

/**
 * Breaks the correlation between rows: π(π(x) ⊕ i) ⊕ π(x) for row i, a tweakable hash that stays
 * random where the inputs differ by one unknown offset.
 * @see Guo, Katz, Wang, Yu: Efficient and Secure Multiparty Computation from Fixed-Key Block Ciphers,
 *   IEEE S&P 2020, §7.4
 */
function hashRows(primitives: ExtensionPrimitives, key: Uint8Array, rows: Uint8Array): Uint8Array {
  const once = new Uint8Array(primitives.vole.permute(key, rows));
  const tweaked = new Uint8Array(once);
  const view = viewOf(tweaked);
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    view.setUint32(at, view.getUint32(at, true) ^ (at / ROW_BYTES), true);
  }
  xorInto(once, primitives.vole.permute(key, tweaked));
  return once;
}
