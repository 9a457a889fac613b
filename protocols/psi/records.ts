/**
 * Records of a fixed size, one behind the other. Copied byte by byte and not by a view each: that
 * would be an object a record, and garbage by the million makes V8 grow its young generation to
 * 64 MiB before it collects. A loop is no slower.
 */

/** Each record cut to its first `toBytes`, or with zeros behind it up to as many. */
export function resizeRecords(
  records: Uint8Array,
  recordBytes: number,
  toBytes: number,
): Uint8Array<ArrayBuffer> {
  const count = records.length / recordBytes;
  const out = new Uint8Array(count * toBytes);
  const kept = Math.min(recordBytes, toBytes);
  for (let i = 0; i < count; i++) copyBytes(records, i * recordBytes, out, i * toBytes, kept);
  return out;
}

/** A few bytes from one place to another, without a view of either. */
export function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i] ?? 0;
}

/** The number in four bytes, the lowest first, without a view of them. */
export function uint32At(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
  return low + (bytes[at + 3] ?? 0) * 2 ** 24;
}
