/** `VolePrimitive` by the AES of node:crypto and the WASM kernel. */
import { createCipheriv } from 'node:crypto';
import { portableVole } from '../protocols/common/portable-vole.ts';
import type { LinearMap, VolePrimitive } from '../protocols/common/primitives.ts';
import { kernelBytes } from './kernel-file.ts';
import { openLeaves } from './native-leaves.ts';
import { instantiate, type Instance } from './vole-kernel.ts';

const BLOCK_BYTES = 16;
/** Matrices are turned, and linear maps applied, in windows of this size. */
const WINDOW_BYTES = 262_144;
/** How much longer the images of a linear map are than what is mapped. */
const IMAGE_RATIO = 4;
/** 16 tables of 256 images of 64 bytes. */
const TABLES_BYTES = 16 * 256 * 64;

/** The kernel where WASM SIMD runs, else the portable code: slower, and equal in every bit. */
export const nativeVole: VolePrimitive = voleOf(kernelBytes('vole'));

/** The kernel of a module, or the portable code where this engine cannot run it. */
export function voleOf(bytes: Uint8Array): VolePrimitive {
  if (!WebAssembly.validate(bytes)) return { ...portableVole, permute };
  const module = new WebAssembly.Module(bytes);
  const windows = instantiate(module, 2 * WINDOW_BYTES);
  return {
    permute,
    transpose: (columns, count) => transpose(windows, columns, count),
    openMap: (rows) => openMap(module, rows),
    openLeaves: (shape) => openLeaves(module, shape),
  };
}

function permute(key: Uint8Array, blocks: Uint8Array): Uint8Array {
  const out = createCipheriv('aes-128-ecb', key, null).update(blocks);
  // A plain array: slices of a Buffer are no copies.
  return new Uint8Array(out.buffer, out.byteOffset, out.length);
}

/** By as many rows at a time as a window holds, from one window to the other. */
function transpose({ kernel, memory }: Instance, columns: Uint8Array, count: number): Uint8Array {
  const columnBytes = columns.length / count;
  const step = Math.floor(WINDOW_BYTES / count);
  const rows = new Uint8Array(columns.length);
  for (let at = 0; at < columnBytes; at += step) {
    const now = Math.min(step, columnBytes - at);
    for (let i = 0; i < count; i++) {
      const from = i * columnBytes + at;
      memory.set(columns.subarray(from, from + now), i * now);
    }
    kernel.transpose(0, count, now, WINDOW_BYTES);
    rows.set(memory.subarray(WINDOW_BYTES, WINDOW_BYTES + now * count), at * count);
  }
  // Sessions share the windows: nothing secret stays in them.
  memory.fill(0);
  return rows;
}

/** In a memory of its own, since the tables may be secret. */
function openMap(module: WebAssembly.Module, rows: Uint8Array): LinearMap {
  const target = TABLES_BYTES;
  const elements = target + WINDOW_BYTES;
  const { kernel, memory } = instantiate(module, elements + WINDOW_BYTES / IMAGE_RATIO);
  memory.set(rows, target);
  kernel.fillTables(target, 0);
  return {
    addTo(images, from) {
      const step = WINDOW_BYTES / IMAGE_RATIO;
      for (let at = 0; at < from.length; at += step) {
        const part = from.subarray(at, at + step);
        const into = images.subarray(at * IMAGE_RATIO, (at + part.length) * IMAGE_RATIO);
        memory.set(part, elements);
        memory.set(into, target);
        kernel.addImages(target, elements, part.length / BLOCK_BYTES, 0);
        into.set(memory.subarray(target, target + into.length));
      }
    },
  };
}
