/**
 * The engine without LPN: what its two sides derive alike. Oblivious transfer extension with a code in
 * place of the repetition code, so that a row hides an element of 128 bits and not one bit.
 * @see Kolesnikov, Kumaresan, Rosulek, Trieu: Efficient Batched Oblivious PRF, CCS 2016; Pinkas,
 *   Rosulek, Trieu, Yanai: PSI from PaXoS, EUROCRYPT 2020, §5 (linear code, so that rows add up)
 */
import { ProtocolError } from '../../common/protocol-error.ts';
import type { KeyStream, Primitives } from '../../common/primitives.ts';
import { OT_KEY_BYTES, PAIR_BYTES } from './base-ot.ts';
import { VOLE_SIZE_MAX, type VoleParams } from './correlation.ts';
import type { SessionTerms, VoleSession } from './session.ts';

/** Length of the code and of a row: the README counts how many bits are enough. */
export const WIDTH = 512;
export const WORD_BYTES = WIDTH / 8;
/** Bits of an element: rows of the code's generator. */
export const ELEMENT_BITS = 128;
/** Rows of a message at most; a multiple of 128, so that columns are whole blocks of a stream. */
export const CHUNK_ROWS = 65_536;
/** Sums that are opened to check the correlation, and rows beyond those asked for that hide them. */
export const CHECKED_SUMS = 40;
export const ROWS = 'vole.rows';

/** @throws ProtocolError `parameter-invalid` */
export function otTerms(params: VoleParams): {
  readonly session: SessionTerms;
  readonly choicesBytes: number;
} {
  const { size, context } = params;
  if (!Number.isInteger(size) || size < 1 || size > VOLE_SIZE_MAX) {
    throw new ProtocolError('parameter-invalid', `a session has 1 to ${VOLE_SIZE_MAX} elements`);
  }
  return {
    session: { engine: 'ot', numbers: [size, WIDTH], context },
    choicesBytes: WIDTH * PAIR_BYTES,
  };
}

/** The public generator of this session's code: `ELEMENT_BITS` rows of `WORD_BYTES`. */
export function codeGenerator(
  session: Pick<VoleSession, 'publicKey'>,
  stream: Primitives['stream'],
): Uint8Array {
  const key = session.publicKey('ot code', 32);
  return new Uint8Array(stream.open(key, 0).next(ELEMENT_BITS * WORD_BYTES));
}

/** The first row and the number of rows of each message. */
export function rowChunks(rows: number): readonly { first: number; count: number }[] {
  return Array.from({ length: Math.ceil(rows / CHUNK_ROWS) }, (_, i) => {
    const first = i * CHUNK_ROWS;
    return { first, count: Math.min(CHUNK_ROWS, rows - first) };
  });
}

/**
 * Rows of a matrix whose columns are the next bytes of a stream each: `WORD_BYTES` a row, and rows
 * up to a multiple of 128.
 */
export function streamRows(
  vole: Primitives['vole'],
  streams: readonly KeyStream[],
  count: number,
): Uint8Array {
  const columnBytes = Math.ceil(count / 128) * 16;
  const columns = new Uint8Array(streams.length * columnBytes);
  streams.forEach((stream, i) => columns.set(stream.next(columnBytes), i * columnBytes));
  return vole.transpose(columns, streams.length);
}

/** The streams of a list of keys. */
export function keyStreams(stream: Primitives['stream'], keys: Uint8Array): readonly KeyStream[] {
  return Array.from({ length: keys.length / OT_KEY_BYTES }, (_, i) =>
    stream.open(keys.subarray(i * OT_KEY_BYTES, (i + 1) * OT_KEY_BYTES), 0),
  );
}
