// Kernel of the fast match: band OKVS, products in GF(2^128), keyed hashes, sorting. AssemblyScript;
// its TypeScript side is ../../native-okvs.ts; each part has a plain TypeScript twin in
// protocols/psi/vole that a property test compares it with. All pointers are the caller's, 16-byte
// aligned, from `heapStart` on.
export { accumulateScaled, addElements, useScalar } from './gf128';
export { decode, eliminate, solve } from './band';
export { gatherHashes, hashItems, hashValues, hashWords, orderItems, packOutputs } from './items';
export { sortRecords } from './order';
export { shareOut, shareStarts } from './shares';

/** Memory from here on is free. */
export function heapStart(): usize {
  return __heap_base;
}
