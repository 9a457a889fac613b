// Sharing a piece of a set out into parts by a keyed hash.
import { compress, outputLane, useKey, useLength } from './blake3';

/** Parts at most. */
const PARTS: usize = 1024;
const STARTS: usize = memory.data(4100, 16); // (PARTS + 1) · 4
const PLACES: usize = memory.data(4096, 16); // PARTS · 4

/** Where the parts start, so many and one numbers, once `shareOut` is done. */
export function shareStarts(): usize {
  return STARTS;
}

/**
 * Writes `count` elements to `out` part by part, and the number of each to `numbers`. `shares` is
 * room for count + 3 numbers, and behind the elements 256 bytes can be read.
 */
export function shareOut(
  key: usize, elements: usize, elementBytes: usize, count: usize, parts: u32,
  shares: usize, out: usize, numbers: usize,
): void {
  useKey(key);
  useLength(elementBytes);
  memory.fill(STARTS, 0, (PARTS + 1) << 2);
  for (let i: usize = 0; i < count; i += 4) {
    const p = elements + i * elementBytes;
    compress(p, p + elementBytes, p + 2 * elementBytes, p + 3 * elementBytes, <u32>elementBytes);
    for (let lane: usize = 0; lane < 4; lane++) {
      const share = <u32>((<u64>outputLane(lane) * <u64>parts) >> 32);
      store<u32>(shares + ((i + lane) << 2), share);
    }
  }
  for (let i: usize = 0; i < count; i++) {
    const at = STARTS + ((<usize>load<u32>(shares + (i << 2)) + 1) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  for (let part: usize = 0; part < <usize>parts; part++) {
    const at = STARTS + (part << 2);
    store<u32>(PLACES + (part << 2), load<u32>(at));
    store<u32>(at, load<u32>(at) + load<u32>(at, 4), 4);
  }
  for (let i: usize = 0; i < count; i++) {
    const next = PLACES + (<usize>load<u32>(shares + (i << 2)) << 2);
    const place = <usize>load<u32>(next);
    store<u32>(next, <u32>place + 1);
    memory.copy(out + place * elementBytes, elements + i * elementBytes, elementBytes);
    store<u32>(numbers + (place << 2), <u32>i);
  }
}
