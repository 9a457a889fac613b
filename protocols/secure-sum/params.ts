/** Sizes, bounds and labels of a secure sum, and how a round's vectors are laid out in messages. */
import { ProtocolError } from '../common/protocol-error.ts';
import { laneBytes, type Ring } from '../common/rings.ts';

export const PARTIES_MAX = 256;
/** Up to here every pair of parties shares a mask; beyond, each party has some neighbours. */
export const COMPLETE_GRAPH_MAX = 64;
/** Beyond that, the honest parties fall apart with a probability below 2^−this. */
export const NEIGHBOUR_SECURITY_BITS = 40;
export const NONCE_BYTES = 32;
export const PARTIES_MIN = 2;
/** Vectors of one round: three for each of 16 measured columns, and one for the rows. */
export const VECTORS_MAX = 49;
/** Work is cut into blocks of cells whose vectors together fit this: what memory a run needs. */
export const BLOCK_BYTES = 2_097_152;
/** A message's body; with its header well below the 256 KiB a frame may have. */
export const FRAME_BODY_BYTES = 131_072;
/** Cells of one run. */
export const CELLS_MAX = 16_777_216;
/** Opened counts are held as doubles, exact up to here; field elements hold more. */
export const COUNT_MAX = 2 ** 53 - 1;
export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const HASH_BYTES = 32;

/** Labels under which keys are derived: nothing derived for one purpose equals another's. */
export const LABELS = {
  pair: 'weir/secure-sum/v1/pair',
  mask: 'weir/secure-sum/v1/mask',
  output: 'weir/secure-sum/v1/output-mask',
  factor: 'weir/secure-sum/v1/tag-factors',
  map: 'weir/secure-sum/v1/suppression-map',
  commitment: 'weir/secure-sum/v1/graph-commitment',
  graph: 'weir/secure-sum/v1/graph',
} as const;

/** What travels in a round: one lane a cell in each vector, in this order. */
export interface Layout {
  readonly round: 1 | 2;
  readonly cells: number;
  readonly vectors: readonly Ring[];
}

/** The vectors that count one thing: how many there are, and how many holders have any. */
export const VECTORS_PER_COUNT = 2;

/**
 * Round 1: for the rows, then for each measured column's non-null values, counts and contributing
 * holders; last, one tag a cell over all of them.
 */
export function countsLayout(cells: number, counted: number): Layout {
  const vectors = Array.from({ length: counted * VECTORS_PER_COUNT + 1 }, (): Ring => 'field61');
  return checked({ round: 1, cells, vectors });
}

/** Round 2: rows, then for each column its non-null rows, sum and, where asked, sum of squares. */
export function measuresLayout(cells: number, squares: readonly boolean[]): Layout {
  const vectors: Ring[] = ['mod64'];
  for (const square of squares) {
    vectors.push('mod64', 'mod64');
    if (square) vectors.push('mod128');
  }
  return checked({ round: 2, cells, vectors });
}

/** Bytes that all vectors of the round take for one cell. */
export function cellBytes(layout: Layout): number {
  let bytes = 0;
  for (const ring of layout.vectors) bytes += laneBytes(ring);
  return bytes;
}

/** Cells of every block but the last. */
export function cellsPerBlock(layout: Layout): number {
  return Math.floor(BLOCK_BYTES / cellBytes(layout));
}

/** How many blocks a round takes. */
export function blockCount(layout: Layout): number {
  return Math.ceil(layout.cells / cellsPerBlock(layout));
}

/** The cells `start` to `end` (exclusive) of a block. */
export function blockRange(layout: Layout, block: number): { start: number; end: number } {
  const perBlock = cellsPerBlock(layout);
  const start = block * perBlock;
  if (!Number.isSafeInteger(block) || block < 0 || start >= layout.cells) {
    throw new ProtocolError('parameter-invalid', `block ${block} is outside the round`);
  }
  return { start, end: Math.min(start + perBlock, layout.cells) };
}

/** Bytes of a block's body: its vectors one after another. */
export function bodyBytes(layout: Layout, block: number): number {
  const { start, end } = blockRange(layout, block);
  return (end - start) * cellBytes(layout);
}

/** The part of a block's body that is one vector's lanes. */
export interface Section {
  readonly ring: Ring;
  readonly offset: number;
  readonly length: number;
}

/** Where each vector's lanes are within a block's body. */
export function sections(layout: Layout, block: number): readonly Section[] {
  const { start, end } = blockRange(layout, block);
  let offset = 0;
  return layout.vectors.map((ring) => {
    const section = { ring, offset, length: (end - start) * laneBytes(ring) };
    offset += section.length;
    return section;
  });
}

function checked(layout: Layout): Layout {
  const { cells, vectors } = layout;
  if (!Number.isSafeInteger(cells) || cells < 1 || cells > CELLS_MAX) {
    throw new ProtocolError('set-too-large', `cells must be 1 to ${CELLS_MAX}`);
  }
  if (vectors.length > VECTORS_MAX) {
    throw new ProtocolError('set-too-large', `a round has at most ${VECTORS_MAX} vectors`);
  }
  return layout;
}
