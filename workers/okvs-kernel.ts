/** The kernel of the fast match: its module, its instances, and their memory. */
import { kernelBytes } from './kernel-file.ts';

/** What the kernel exports. @see workers/kernels/okvs/index.ts */
export interface OkvsKernel {
  readonly memory: WebAssembly.Memory;
  heapStart(): number;
  useScalar(scalar: number): void;
  accumulateScaled(target: number, vector: number, bytes: number): void;
  addElements(target: number, vector: number, bytes: number): void;
  hashItems(
    key: number,
    elements: number,
    elementBytes: number,
    count: number,
    records: number,
    first: number,
    starts: number,
    width: number,
  ): void;
  orderItems(
    records: number,
    sorted: number,
    entries: number,
    spare: number,
    count: number,
    keyBits: number,
  ): number;
  eliminate(sorted: number, count: number, rows: number, sums: number): number;
  solve(rows: number, sums: number, vector: number, columns: number): void;
  decode(sorted: number, count: number, vector: number, values: number, columns: number): void;
  gatherHashes(sorted: number, count: number, out: number): void;
  hashValues(key: number, sorted: number, values: number, count: number, out: number): void;
  hashWords(
    key: number,
    sorted: number,
    values: number,
    apart: number,
    count: number,
    out: number,
  ): void;
  sortRecords(records: number, spare: number, count: number): number;
  packOutputs(records: number, count: number, bytes: number, out: number): void;
  shareStarts(): number;
  shareOut(
    key: number,
    elements: number,
    elementBytes: number,
    count: number,
    parts: number,
    shares: number,
    out: number,
    numbers: number,
  ): void;
}

const PAGE_BYTES = 65_536;
/** Elements and scaled vectors pass through a window of this size. */
export const WINDOW_BYTES = 131_072;
/** The kernel multiplies sixteen elements at a time. */
export const SCALED_BYTES = 256;

const moduleBytes = kernelBytes('okvs');
const kernelModule = WebAssembly.validate(moduleBytes)
  ? new WebAssembly.Module(moduleBytes)
  : undefined;

/** A fresh instance with a memory of its own, or nothing where relaxed SIMD does not run. */
export function openOkvsKernel(): OkvsKernel | undefined {
  if (kernelModule === undefined) return undefined;
  return new WebAssembly.Instance(kernelModule, { env: {} }).exports as unknown as OkvsKernel;
}

/** Room up to `end`, as bytes; what was there before stays. */
export function reserve({ memory }: OkvsKernel, end: number): Uint8Array {
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  return new Uint8Array(memory.buffer);
}

/** The next multiple of `step`. */
export function roundUp(bytes: number, step = 16): number {
  return Math.ceil(bytes / step) * step;
}
