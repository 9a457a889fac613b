/**
 * What the counting round costs, for every computation that begins with it; by formula, in
 * nanoseconds of one core:
 *
 *     scan  = Σ over holders of rowsMax · (1 + measured columns) · 20 ns
 *     count = holders² · counted lanes · 8 bytes · 0.5 ns
 */
import type { Shape } from './secure-sum/shape.ts';

const SCAN_NS_PER_VALUE = 20n;
const COUNT_NS_PER_LANE = 4n;
const NS_PER_MS = 1_000_000n;

/** Reading every holder's rows, and opening the counts between `parties` holders. */
export function countingNs(base: Shape, parties: bigint): bigint {
  const values = BigInt(base.rowsMaxTotal) * BigInt(1 + base.columns.length);
  const counted = BigInt(base.counts.vectors.length) * BigInt(base.cells);
  return values * SCAN_NS_PER_VALUE + parties * parties * counted * COUNT_NS_PER_LANE;
}

/** Compute milli-units, of one millisecond of one core each: rounded up, at least 1. */
export function milliUnitsOf(ns: bigint): bigint {
  const milli = (ns + NS_PER_MS - 1n) / NS_PER_MS;
  return milli > 0n ? milli : 1n;
}
