/**
 * How two sets are shared out: up to `partItemsMax` items a match goes in one piece; larger sets are
 * divided by a keyed hash into parts that are matched one after the other in the same memory. Every
 * part is filled with dummies up to a bound that follows from the public sizes alone.
 */
import { ProtocolError } from '../../common/protocol-error.ts';
import { CANARIES } from './canaries.ts';

/** The largest part without a word to the contrary: about 400 MB of memory a party. */
export const PART_ITEMS_MAX = 2 ** 20;
/** A part exceeds its bound with probability below 2^−this, over all parts of both sets. */
const OVERFLOW_BITS = 40;
const STATISTICAL_BITS = 40;

export interface PartPlan {
  readonly parts: number;
  /** Items of each part of the sender's set: its own, dummies and canaries. */
  readonly senderItems: number;
  readonly receiverItems: number;
  /** Bytes of an output: 40 + log2(n_A · n_B) bits. */
  readonly outputBytes: number;
}

/**
 * @param senderItems - padded size of the set, as is `receiverItems`.
 * @param partItemsMax - items of a part on average, at most.
 * @throws ProtocolError `parameter-invalid`
 */
export function partPlan(
  senderItems: number,
  receiverItems: number,
  partItemsMax: number,
): PartPlan {
  if (!Number.isInteger(partItemsMax) || partItemsMax < 1) {
    throw new ProtocolError('parameter-invalid', 'a part has at least one item');
  }
  const parts = Math.max(1, Math.ceil(Math.max(senderItems, receiverItems) / partItemsMax));
  const pairs = Math.max(senderItems, 1) * Math.max(receiverItems, 1);
  return {
    parts,
    senderItems: partBound(senderItems, parts) + CANARIES,
    receiverItems: partBound(receiverItems, parts) + CANARIES,
    outputBytes: Math.ceil((STATISTICAL_BITS + Math.log2(pairs)) / 8),
  };
}

/**
 * The most items a part is expected to get of so many. By Chernoff a part of mean µ gets µ + t or
 * more with probability at most exp(−t² / (2µ + 2t/3)); t is where that is 2^−40 for all parts of
 * both sets together.
 */
function partBound(items: number, parts: number): number {
  if (parts === 1) return items;
  const mean = items / parts;
  const nats = Math.LN2 * (OVERFLOW_BITS + 1 + Math.log2(parts));
  const excess = nats / 3 + Math.sqrt((nats / 3) ** 2 + 2 * nats * mean);
  return Math.min(items, Math.ceil(mean + excess));
}
