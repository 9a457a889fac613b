/** What both parties of a PSI agree on before anything moves, and the sizes that follow from it. */
import { ProtocolError } from '../common/protocol-error.ts';

/**
 * `intersection`: the receiver learns which of its items are shared; `cardinality`: how many; `sum`:
 * how many, and both parties get a half of what the sender's values sum to over them.
 */
export type PsiMode = 'intersection' | 'cardinality' | 'sum';

/** By groups of the receiver's: each of its items is in one, the last for whatever has no other. */
export interface PsiGroups {
  readonly cells: number;
  /**
   * Items of each group on the wire: a power of two and at least `itemsMin`; or with noise on the
   * size, then at least its noise slots.
   */
  readonly sizes: 'bucket' | 'noised';
  readonly itemsMin: number;
}

export interface PsiParams {
  readonly mode: PsiMode;
  /** Absent where one number is asked for. */
  readonly groups?: PsiGroups;
  /** Hash of the run's descriptor: keys every derivation, so that nothing compares across runs. */
  readonly context: Uint8Array;
  /**
   * `bucket` pads with dummies to the next power of two; mandatory after any filter. `cap` pads to
   * `setSizeMax`, so that a size tells nothing of how many keys differ: for noised numbers.
   */
  readonly padding: 'bucket' | 'cap' | 'none';
  /**
   * What a key that occurs more than once counts: `multiplicity` matches occurrence by occurrence
   * (Σ min of both sides), `distinct` once.
   */
  readonly duplicates: 'multiplicity' | 'distinct';
  /**
   * Slots for noise in the number, 0 for none: each party fills as many with shared dummies as it
   * chooses, the rest with dummies of its own, so that the choice does not show in its size.
   */
  readonly noiseSlots: number;
  /** Items of a chunk; the last one is shorter. */
  readonly chunkItems: number;
  /** More items than this, padded, on either side end the run. */
  readonly setSizeMax: number;
  /** An intersection of more items tells how many, and not which: bounds what is held of it. */
  readonly revealedMax?: number;
  /** The peer's own limit, where it is another. */
  readonly peerSizeMax?: number;
}

export const CONTEXT_BYTES = 32;
/** A point on the wire. */
export const POINT_BYTES = 32;
/**
 * A doubly blinded point on the wire and in comparisons is cut to its first 128 bits: two of n · m
 * different points agree there with probability n · m / 2^127: 2^−71 for the largest sets.
 */
export const EVALUATED_BYTES = 16;
export const CHUNK_ITEMS = 4096;
export const CHUNK_ITEMS_MAX = 65_536;
/** The largest set this code accepts: counts and row numbers are 32-bit. */
export const SET_SIZE_MAX = 2 ** 28;
export const NOISE_SLOTS_MAX = 2 ** 20;
/** Each costs a product a ciphertext of values, and one of half a mebibyte back. */
export const GROUP_CELLS_MAX = 64;

/** Domain separation tag of the hash to the curve. Short, so that an item costs three SHA-512 blocks. */
export const HASH_TAG: Uint8Array = new TextEncoder().encode(
  'weir-psi-v1-curve25519_XMD:SHA-512_ELL2_RO_',
);

/** @throws ProtocolError `parameter-invalid` */
export function requireParams(params: PsiParams): void {
  const { chunkItems, setSizeMax, noiseSlots, context } = params;
  const isCount = (value: number, most: number): boolean =>
    Number.isInteger(value) && value >= 1 && value <= most;
  const peerSizeMax = params.peerSizeMax ?? setSizeMax;
  const areSizes = isCount(setSizeMax, SET_SIZE_MAX) && isCount(peerSizeMax, SET_SIZE_MAX);
  if (!isCount(chunkItems, CHUNK_ITEMS_MAX) || !areSizes) {
    throw new ProtocolError('parameter-invalid', 'chunk or set size is out of range');
  }
  if (!Number.isInteger(noiseSlots) || noiseSlots < 0 || noiseSlots > NOISE_SLOTS_MAX) {
    throw new ProtocolError('parameter-invalid', 'the number of noise slots is out of range');
  }
  if (noiseSlots > 0 && params.mode === 'intersection') {
    throw new ProtocolError('parameter-invalid', 'revealed items cannot be noised');
  }
  requireGroups(params);
  if (context.length !== CONTEXT_BYTES) {
    throw new ProtocolError('parameter-invalid', `the context has ${CONTEXT_BYTES} bytes`);
  }
}

function requireGroups({ mode, groups, noiseSlots }: PsiParams): void {
  if (groups === undefined) return;
  const { cells, itemsMin } = groups;
  const isSmall = Number.isInteger(cells) && cells >= 1 && cells <= GROUP_CELLS_MAX;
  const isMin = Number.isInteger(itemsMin) && itemsMin >= 1 && itemsMin <= SET_SIZE_MAX;
  if (isSmall && isMin && mode !== 'intersection' && noiseSlots % cells === 0) return;
  throw new ProtocolError('parameter-invalid', 'impossible groups');
}

/** The public bucket of a set: the next power of two, from 1. */
export function bucketOf(items: number): number {
  let bucket = 1;
  while (bucket < items) bucket *= 2;
  return bucket;
}

/** Items on the wire for a set of so many, noise slots and padding included. */
export function wireItems(params: PsiParams, items: number): number {
  const filled = items + params.noiseSlots;
  switch (params.padding) {
    case 'bucket':
      return bucketOf(filled);
    case 'cap':
      // One that is too large stays so, and is refused.
      return Math.max(filled, params.setSizeMax);
    case 'none':
      return filled;
  }
}

/** Whether the peer can have so many items on the wire: padded, and with room for the noise slots. */
export function isWireSize(params: PsiParams, items: number): boolean {
  if (items < params.noiseSlots) return false;
  switch (params.padding) {
    case 'bucket':
      return bucketOf(items) === items;
    case 'cap':
      return items === (params.peerSizeMax ?? params.setSizeMax);
    case 'none':
      return true;
  }
}

/** How many chunks carry so many items. */
export function chunkCount(params: PsiParams, items: number): number {
  return Math.ceil(items / params.chunkItems);
}
