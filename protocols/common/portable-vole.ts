/**
 * `VolePrimitive` in plain TypeScript: what the kernel is compared with, and what runs where WASM SIMD
 * is missing. Blocks are four 32-bit words.
 */
import { ecb } from '@noble/ciphers/aes.js';
import { xorInto } from './bytes.ts';
import { expanderPasses } from './expander.ts';
import type {
  CodeStreams,
  KeyStream,
  LeafShape,
  LeafStore,
  TreeKeys,
  VolePrimitive,
} from './primitives.ts';

const BLOCK_BYTES = 16;
/** Bytes that a linear map gives for a block. */
const IMAGE_BYTES = 64;
/** How far back a convolution reaches by coefficients, beyond the entry before. */
const REACH = 24;
/** Words of a stream read at a time. */
const CHUNK_WORDS = 4096;

/** @see VolePrimitive */
export const portableVole: VolePrimitive = {
  permute: (key, blocks) => ecb(key, { disablePadding: true }).encrypt(blocks),
  transpose(columns, count) {
    const columnBytes = columns.length / count;
    const rows = new Uint8Array(columns.length);
    for (let column = 0; column < count; column++) {
      for (let row = 0; row < columnBytes * 8; row++) {
        const bit = ((columns[column * columnBytes + (row >> 3)] ?? 0) >> (row & 7)) & 1;
        const at = row * (count / 8) + (column >> 3);
        rows[at] = (rows[at] ?? 0) | (bit << (column & 7));
      }
    }
    return rows;
  },
  openMap(rows) {
    return {
      addTo(target, elements) {
        for (let bit = 0; bit < elements.length * 8; bit++) {
          if (((elements[bit >> 3] ?? 0) >> (bit & 7)) % 2 === 0) continue;
          const at = (bit >> 7) * IMAGE_BYTES;
          const row = (bit & 127) * IMAGE_BYTES;
          xorInto(target.subarray(at, at + IMAGE_BYTES), rows.subarray(row, row + IMAGE_BYTES));
        }
      },
    };
  },
  openLeaves(shape) {
    const length = shape.trees * 2 ** shape.depth;
    const leaves = new Uint8Array(length * BLOCK_BYTES);
    const noise = new Uint8Array(shape.withNoise ? leaves.length : 0);
    return storeOf(shape, leaves, noise);
  },
};

function storeOf(shape: LeafShape, leaves: Uint8Array, noise: Uint8Array): LeafStore {
  const treeBytes = 2 ** shape.depth * BLOCK_BYTES;
  return {
    grow(keys, roots) {
      const levels = new Uint8Array(shape.trees * shape.depth * 2 * BLOCK_BYTES);
      const totals = new Uint8Array(shape.trees * BLOCK_BYTES);
      for (let tree = 0; tree < shape.trees; tree++) {
        let nodes: Uint8Array = roots.slice(tree * BLOCK_BYTES, (tree + 1) * BLOCK_BYTES);
        for (let level = 0; level < shape.depth; level++) {
          nodes = childrenOf(keys, nodes);
          const at = (tree * shape.depth + level) * 2 * BLOCK_BYTES;
          levels.set(sumsOf(nodes), at);
        }
        leaves.set(nodes, tree * treeBytes);
        addHalves(totals.subarray(tree * BLOCK_BYTES), sumsOf(nodes));
      }
      return { levels, totals };
    },
    growPunctured(keys, places, sums) {
      const totals = new Uint8Array(shape.trees * BLOCK_BYTES);
      for (let tree = 0; tree < shape.trees; tree++) {
        let nodes: Uint8Array = new Uint8Array(BLOCK_BYTES);
        for (let level = 0; level < shape.depth; level++) {
          const missing = (places[tree] ?? 0) >>> (shape.depth - 1 - level);
          const at = (tree * shape.depth + level) * BLOCK_BYTES;
          nodes = withSibling(childrenOf(keys, nodes), missing, sums.subarray(at));
        }
        leaves.set(nodes, tree * treeBytes);
        addHalves(totals.subarray(tree * BLOCK_BYTES), sumsOf(nodes));
      }
      return totals;
    },
    place(tree, place, leaf, value) {
      const at = tree * treeBytes + place * BLOCK_BYTES;
      leaves.set(leaf, at);
      if (shape.withNoise) noise.set(value, at);
    },
    compress: (code) => ({
      leaves: compressVector(shape.size, leaves, code),
      noise: shape.withNoise ? compressVector(shape.size, noise, code) : noise,
    }),
    close() {},
  };
}

/** Left and right child of each node by turns: π(x) ⊕ x under either key. */
function childrenOf(keys: TreeKeys, nodes: Uint8Array): Uint8Array {
  const children = new Uint8Array(2 * nodes.length);
  keys.forEach((key, side) => {
    const grown = portableVole.permute(key, nodes);
    for (let at = 0; at < nodes.length; at += BLOCK_BYTES) {
      const to = children.subarray(2 * at + side * BLOCK_BYTES, 2 * at + (side + 1) * BLOCK_BYTES);
      to.set(nodes.subarray(at, at + BLOCK_BYTES));
      xorInto(to, grown.subarray(at, at + BLOCK_BYTES));
    }
  });
  return children;
}

/** The sums of the nodes at even and at odd places. */
function sumsOf(nodes: Uint8Array): Uint8Array {
  const sums = new Uint8Array(2 * BLOCK_BYTES);
  for (let at = 0; at < nodes.length; at += sums.length) {
    xorInto(sums, nodes.subarray(at, at + sums.length));
  }
  return sums;
}

/** Makes the missing node zero, and its sibling what its side's known sum says it is. */
function withSibling(nodes: Uint8Array, missing: number, sum: Uint8Array): Uint8Array {
  const pair = (missing >> 1) * 2 * BLOCK_BYTES;
  nodes.fill(0, pair, pair + 2 * BLOCK_BYTES);
  const sibling = missing ^ 1;
  const of = sumsOf(nodes).subarray((sibling & 1) * BLOCK_BYTES);
  const node = nodes.subarray(sibling * BLOCK_BYTES, (sibling + 1) * BLOCK_BYTES);
  node.set(of.subarray(0, BLOCK_BYTES));
  xorInto(node, sum.subarray(0, BLOCK_BYTES));
  return nodes;
}

function addHalves(target: Uint8Array, sums: Uint8Array): void {
  const total = target.subarray(0, BLOCK_BYTES);
  xorInto(total, sums.subarray(0, BLOCK_BYTES));
  xorInto(total, sums.subarray(BLOCK_BYTES));
}

/** The first `size` entries plus the expansion of the others, convoluted twice. */
function compressVector(size: number, vector: Uint8Array, code: CodeStreams): Uint8Array {
  const head = vector.slice(0, size * BLOCK_BYTES);
  const tail = vector.slice(size * BLOCK_BYTES);
  convolute(tail, new Uint8Array((REACH + 1) * BLOCK_BYTES), code.open(0));
  // The second pass starts behind the end of the first, so that what lies last weighs as much.
  convolute(tail, tail.slice(-(REACH + 1) * BLOCK_BYTES), code.open(1));
  expand(head, tail, code);
  return head;
}

/**
 * Each entry plus the one before, plus by 24 coefficients those before that; `history` lies before
 * the first.
 */
function convolute(entries: Uint8Array, history: Uint8Array, stream: KeyStream): void {
  const all = new Uint8Array(history.length + entries.length);
  all.set(history);
  all.set(entries, history.length);
  const words = wordsOf(stream, entries.length / BLOCK_BYTES);
  for (let at = history.length; at < all.length; at += BLOCK_BYTES) {
    const entry = all.subarray(at, at + BLOCK_BYTES);
    xorInto(entry, all.subarray(at - BLOCK_BYTES, at));
    const coefficients = words();
    for (let j = 0; j < REACH; j++) {
      if (((coefficients >>> j) & 1) === 0) continue;
      const from = at - (j + 2) * BLOCK_BYTES;
      xorInto(entry, all.subarray(from, from + BLOCK_BYTES));
    }
  }
  entries.set(all.subarray(history.length));
}

/** Adds entries to each output, pass by pass. */
function expand(outputs: Uint8Array, entries: Uint8Array, code: CodeStreams): void {
  const passes = expanderPasses(entries.length / BLOCK_BYTES, code.taps, code.regularTaps);
  passes.forEach(({ first, apart, range, taps }, pass) => {
    const words = wordsOf(code.open(2 + pass), (outputs.length / BLOCK_BYTES) * taps);
    for (let at = 0; at < outputs.length; at += BLOCK_BYTES) {
      for (let tap = 0; tap < taps; tap++) {
        const from = (first + tap * apart + scaled(words(), range)) * BLOCK_BYTES;
        xorInto(outputs.subarray(at, at + BLOCK_BYTES), entries.subarray(from, from + BLOCK_BYTES));
      }
    }
  });
}

/** ⌊word · range / 2^32⌋, in halves: the product may have more bits than a number holds. */
function scaled(word: number, range: number): number {
  const low = Math.floor(((word & 0xffff) * range) / 2 ** 16);
  return Math.floor(((word >>> 16) * range + low) / 2 ** 16);
}

/** Little-endian 32-bit words of a stream, `count` of them, one by one. */
function wordsOf(stream: KeyStream, count: number): () => number {
  let left = count;
  let at = 0;
  let view: DataView = new DataView(new ArrayBuffer(0));
  return () => {
    if (at === view.byteLength) {
      const chunk = Math.min(left, CHUNK_WORDS);
      const bytes = stream.next(Math.ceil(chunk / 4) * 16);
      view = new DataView(bytes.buffer, bytes.byteOffset, chunk * 4);
      left -= chunk;
      at = 0;
    }
    at += 4;
    return view.getUint32(at - 4, true);
  };
}
