/**
 * The leaves of a VOLE session by the AES of node:crypto and the WASM kernel, in a memory of their own,
 * which goes with them.
 */
import { createCipheriv, type Cipheriv } from 'node:crypto';
import { xorInto } from '../protocols/common/bytes.ts';
import { expanderPasses } from '../protocols/common/expander.ts';
import type {
  CodeStreams,
  KeyStream,
  LeafShape,
  LeafStore,
  TreeKeys,
} from '../protocols/common/primitives.ts';
import { instantiate, type Instance } from './vole-kernel.ts';

const BLOCK_BYTES = 16;
/** Below the allocator's mapping threshold, so that outputs of AES reuse pages. */
const CIPHER_BYTES = 65_536;
/** Parents of one batch of trees: four such buffers stay in the L2 cache. */
const BATCH_PARENTS = 8192;
/** Words of a code's stream taken at a time. */
const WORDS_BYTES = 65_536;
/** Entries before the convoluted ones; 28 of them are read. */
const HISTORY = 32;

/** Where things lie in a session's memory. */
interface Layout {
  readonly lanes: 1 | 2;
  readonly stride: number;
  /** Trees grown together. */
  readonly batch: number;
  readonly parents: readonly [number, number];
  readonly children: readonly [number, number];
  readonly sums: number;
  readonly known: number;
  readonly words: number;
  /** The first entry; from entry `size` on, `HISTORY` entries further. */
  readonly entries: number;
  readonly totalBytes: number;
}

function layoutOf(shape: LeafShape): Layout {
  const lanes = shape.withNoise ? 2 : 1;
  const perTree = 2 ** (shape.depth - 1);
  const batch = Math.max(1, Math.floor(BATCH_PARENTS / perTree));
  const bufferBytes = batch * perTree * BLOCK_BYTES;
  let top = 0;
  const take = (sizeBytes: number): number => {
    const at = top;
    top += Math.ceil(sizeBytes / 64) * 64;
    return at;
  };
  return {
    lanes,
    stride: lanes * BLOCK_BYTES,
    batch,
    parents: [take(bufferBytes), take(bufferBytes)],
    children: [take(bufferBytes), take(bufferBytes)],
    sums: take(batch * shape.depth * 2 * BLOCK_BYTES),
    known: take(batch * shape.depth * BLOCK_BYTES),
    words: take(WORDS_BYTES),
    entries: take((shape.trees * 2 ** shape.depth + HISTORY) * lanes * BLOCK_BYTES),
    totalBytes: top,
  };
}

/** @see LeafStore */
export function openLeaves(module: WebAssembly.Module, shape: LeafShape): LeafStore {
  const layout = layoutOf(shape);
  let open: Instance | undefined = instantiate(module, layout.totalBytes);
  const instance = (): Instance => {
    if (open === undefined) throw new Error('the leaves of a session were used after its end');
    return open;
  };
  const leafLane = (layout.lanes - 1) * BLOCK_BYTES;
  return {
    grow(keys, roots) {
      const levels = new Uint8Array(shape.trees * shape.depth * 2 * BLOCK_BYTES);
      growAll(instance(), layout, shape, keys, roots, levels, undefined);
      return { levels, totals: totalsOf(shape, levels) };
    },
    growPunctured(keys, places, known) {
      const levels = new Uint8Array(shape.trees * shape.depth * 2 * BLOCK_BYTES);
      const roots = new Uint8Array(shape.trees * BLOCK_BYTES);
      growAll(instance(), layout, shape, keys, roots, levels, { places, known });
      return totalsOf(shape, levels);
    },
    place(tree, at, leaf, noise) {
      const index = tree * 2 ** shape.depth + at;
      const entry = layout.entries + (index + gapOf(shape, index)) * layout.stride;
      instance().memory.set(leaf, entry + leafLane);
      if (shape.withNoise) instance().memory.set(noise, entry);
    },
    compress: (code) => compress(instance(), layout, shape, code),
    close() {
      open = undefined;
    },
  };
}

/** Entries that lie between the first one and entry `index` besides entries. */
function gapOf(shape: LeafShape, index: number): number {
  return index >= shape.size ? HISTORY : 0;
}

interface Puncture {
  readonly places: Uint32Array;
  readonly known: Uint8Array;
}

/** All trees, batch by batch, level by level; `levels` gets the sums of both sides. */
function growAll(
  { kernel, memory }: Instance,
  layout: Layout,
  shape: LeafShape,
  keys: TreeKeys,
  roots: Uint8Array,
  levels: Uint8Array,
  puncture: Puncture | undefined,
): void {
  const { depth, trees } = shape;
  const ciphers = keys.map((key) => createCipheriv('aes-128-ecb', key, null));
  const knownBytes = depth * BLOCK_BYTES;
  for (let first = 0; first < trees; first += layout.batch) {
    const batch = Math.min(layout.batch, trees - first);
    const last = first + batch;
    memory.set(roots.subarray(first * BLOCK_BYTES, last * BLOCK_BYTES), layout.parents[0]);
    const known = puncture?.known.subarray(first * knownBytes, last * knownBytes);
    if (known !== undefined) memory.set(known, layout.known);
    for (let level = 0; level < depth; level++) {
      const parents = layout.parents[(level & 1) as 0 | 1];
      ciphers.forEach((cipher, side) => {
        const to = layout.children[side as 0 | 1];
        permuteInto(cipher, memory, parents, to, batch * 2 ** level * BLOCK_BYTES);
      });
      for (let i = 0; i < batch; i++) {
        const call = levelCall(layout, shape, first + i, i, level);
        const place = puncture?.places[first + i];
        if (place === undefined) kernel.grow(...call);
        else {
          const sum = layout.known + (i * depth + level) * BLOCK_BYTES;
          kernel.growPunctured(...call, place >>> (depth - 1 - level), sum);
        }
      }
    }
    const sums = memory.subarray(layout.sums, layout.sums + batch * 2 * knownBytes);
    levels.set(sums, first * 2 * knownBytes);
  }
}

/** Arguments of `grow` for one level of a tree, the `i`-th of its batch. */
function levelCall(
  layout: Layout,
  shape: LeafShape,
  tree: number,
  i: number,
  level: number,
): readonly number[] {
  const count = 2 ** level;
  const at = i * count * BLOCK_BYTES;
  const sources = [
    layout.parents[(level & 1) as 0 | 1] + at,
    layout.children[0] + at,
    layout.children[1] + at,
  ];
  const sums = layout.sums + (i * shape.depth + level) * 2 * BLOCK_BYTES;
  if (level < shape.depth - 1) {
    const next = layout.parents[(1 - (level & 1)) as 0 | 1] + 2 * at;
    return [...sources, next, count, BLOCK_BYTES, 2 * count, 0, sums];
  }
  const firstLeaf = tree * 2 ** shape.depth;
  const lane = (layout.lanes - 1) * BLOCK_BYTES;
  const out = layout.entries + firstLeaf * layout.stride + lane;
  const gapAt = Math.max(0, shape.size - firstLeaf);
  return [...sources, out, count, layout.stride, gapAt, HISTORY * layout.stride, sums];
}

function permuteInto(
  cipher: Cipheriv,
  memory: Uint8Array,
  from: number,
  to: number,
  sizeBytes: number,
): void {
  for (let at = 0; at < sizeBytes; at += CIPHER_BYTES) {
    const end = Math.min(at + CIPHER_BYTES, sizeBytes);
    const out = cipher.update(memory.subarray(from + at, from + end));
    memory.set(out, to + at);
    // Its memory at once, not when the collector comes by. Never a buffer that others have a part of.
    if (out.buffer.byteLength === out.length && out.buffer instanceof ArrayBuffer) {
      out.buffer.transfer(0);
    }
  }
}

/** The sum of each tree's leaves: of both sides of its last level. */
function totalsOf(shape: LeafShape, levels: Uint8Array): Uint8Array {
  const totals = new Uint8Array(shape.trees * BLOCK_BYTES);
  for (let tree = 0; tree < shape.trees; tree++) {
    const at = ((tree + 1) * shape.depth - 1) * 2 * BLOCK_BYTES;
    const total = totals.subarray(tree * BLOCK_BYTES, (tree + 1) * BLOCK_BYTES);
    total.set(levels.subarray(at, at + BLOCK_BYTES));
    xorInto(total, levels.subarray(at + BLOCK_BYTES, at + 2 * BLOCK_BYTES));
  }
  return totals;
}

function compress(
  instance: Instance,
  layout: Layout,
  shape: LeafShape,
  code: CodeStreams,
): { leaves: Uint8Array; noise: Uint8Array } {
  const { memory } = instance;
  const { entries, stride } = layout;
  const tail = entries + (shape.size + HISTORY) * stride;
  const count = shape.trees * 2 ** shape.depth - shape.size;
  convolute(instance, layout, tail, count, code.open(0));
  // The second pass starts behind the end of the first, so that what lies last weighs as much.
  memory.copyWithin(
    tail - HISTORY * stride,
    tail + (count - HISTORY) * stride,
    tail + count * stride,
  );
  convolute(instance, layout, tail, count, code.open(1));
  expand(instance, layout, shape, tail, count, code);
  if (layout.lanes === 1) {
    const leaves = memory.slice(entries, entries + shape.size * BLOCK_BYTES);
    return { leaves, noise: new Uint8Array(0) };
  }
  return separate(instance, layout, shape.size);
}

function convolute(
  { kernel, memory }: Instance,
  layout: Layout,
  tail: number,
  count: number,
  stream: KeyStream,
): void {
  const step = WORDS_BYTES / 4;
  for (let at = 0; at < count; at += step) {
    const now = Math.min(step, count - at);
    takeWords(memory, layout, stream, now);
    for (let lane = 0; lane < layout.lanes; lane++) {
      const first = tail + at * layout.stride + lane * BLOCK_BYTES;
      kernel.convolute(first, layout.stride, now, layout.words, layout.children[0]);
    }
  }
}

function expand(
  { kernel, memory }: Instance,
  layout: Layout,
  shape: LeafShape,
  tail: number,
  entries: number,
  code: CodeStreams,
): void {
  const { stride } = layout;
  const passes = expanderPasses(entries, code.taps, code.regularTaps);
  passes.forEach(({ first, apart, range, taps }, pass) => {
    const stream = code.open(2 + pass);
    // A multiple of four outputs takes whole blocks of the stream.
    const step = Math.floor(WORDS_BYTES / (16 * taps)) * 4;
    for (let at = 0; at < shape.size; at += step) {
      const now = Math.min(step, shape.size - at);
      takeWords(memory, layout, stream, now * taps);
      const [out, source] = [layout.entries + at * stride, tail + first * stride];
      const call = [out, now, source, range, taps, apart * stride, layout.words];
      if (layout.lanes === 1) kernel.expandOne(...call);
      else kernel.expandTwo(...call);
    }
  });
}

/** The next words of a stream to where the kernel reads them. */
function takeWords(memory: Uint8Array, layout: Layout, stream: KeyStream, count: number): void {
  memory.set(stream.next(Math.ceil(count / 4) * 16), layout.words);
  stream.release?.();
}

/** The outputs of both lanes. */
function separate(
  { kernel, memory }: Instance,
  layout: Layout,
  size: number,
): { leaves: Uint8Array; noise: Uint8Array } {
  const noise = new Uint8Array(size * BLOCK_BYTES);
  const leaves = new Uint8Array(size * BLOCK_BYTES);
  const [first, second] = layout.children;
  const step = (layout.children[1] - layout.children[0]) / BLOCK_BYTES;
  for (let at = 0; at < size; at += step) {
    const now = Math.min(step, size - at);
    kernel.separate(layout.entries + at * layout.stride, now, first, second);
    noise.set(memory.subarray(first, first + now * BLOCK_BYTES), at * BLOCK_BYTES);
    leaves.set(memory.subarray(second, second + now * BLOCK_BYTES), at * BLOCK_BYTES);
  }
  return { leaves, noise };
}
