/** Byte strings: joining, comparing, and numbers in them. */

const ENCODER = new TextEncoder();

/** One string after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = 0;
  for (const part of parts) sizeBytes += part.length;
  const out = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Each part behind its length (four big-endian bytes), so that no two lists give the same bytes.
 * Texts are taken as UTF-8.
 */
export function lengthPrefixed(parts: readonly (Uint8Array | string)[]): Uint8Array {
  return concatBytes(
    parts.flatMap((part) => {
      const bytes = typeof part === 'string' ? ENCODER.encode(part) : part;
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, bytes.length);
      return [length, bytes];
    }),
  );
}

/** Compares without telling by its time where two strings of one length differ. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let at = 0; at < left.length; at++) difference |= (left[at] ?? 0) ^ (right[at] ?? 0);
  return difference === 0;
}

/** target ⊕= source, of one length. */
export function xorInto(target: Uint8Array, source: Uint8Array): void {
  let at = 0;
  if ((target.byteOffset | source.byteOffset) % 4 === 0) {
    const words = target.length >> 2;
    const to = new Uint32Array(target.buffer, target.byteOffset, words);
    const from = new Uint32Array(source.buffer, source.byteOffset, words);
    for (let i = 0; i < words; i++) to[i] = (to[i] ?? 0) ^ (from[i] ?? 0);
    at = words * 4;
  }
  for (; at < target.length; at++) target[at] = (target[at] ?? 0) ^ (source[at] ?? 0);
}

/** The sum (⊕) of all blocks of a vector, the last of which may be shorter. */
export function sumBlocks(vector: Uint8Array, blockBytes: number): Uint8Array {
  const sum = new Uint8Array(blockBytes);
  for (let at = 0; at < vector.length; at += blockBytes) {
    const block = vector.subarray(at, at + blockBytes);
    xorInto(sum.subarray(0, block.length), block);
  }
  return sum;
}

/**
 * Gives the memory of a buffer back at once; no view of it can be used any more. Only for buffers
 * that nobody else holds: without it, tens of megabytes of used buffers wait for the collector.
 */
export function releaseBytes(bytes: Uint8Array | Float64Array): void {
  if (bytes.buffer instanceof ArrayBuffer && !bytes.buffer.detached) bytes.buffer.transfer(0);
}

/** A view for reading and writing numbers; shares the bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
