/**
 * The band OKVS and products in GF(2^128) by the WASM kernel. A table has an instance with a memory
 * of its own: closing it gives all of that back.
 */
import { existsSync, readFileSync } from 'node:fs';
import type {
  BandShape,
  Gf128Primitive,
  OkvsPrimitive,
  OkvsTable,
} from '../protocols/common/primitives.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { startCount } from '../protocols/psi/vole/band.ts';
import { GF128_BYTES, portableGf128, requireVectors } from '../protocols/psi/vole/gf128.ts';
import { requireElements, requireVector } from '../protocols/psi/vole/okvs-checks.ts';
import { OutputMatcher } from '../protocols/psi/vole/output-matcher.ts';
import { portableOkvs } from '../protocols/psi/vole/portable-okvs.ts';

/** What the kernel exports. @see workers/kernels/okvs/index.ts */
interface Kernel {
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
    lastWordMask: bigint,
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
  sortRecords(records: number, spare: number, count: number): number;
  packOutputs(records: number, count: number, bytes: number, out: number): void;
}

const PAGE_BYTES = 65_536;
/** Elements and scaled vectors pass through a window of this size. */
const WINDOW_BYTES = 131_072;
const KEY_BYTES = 32;
const RECORD_BYTES = 64;
const ENTRY_BYTES = 8;
const ROW_BYTES = 32;
const OUTPUT_RECORD_BYTES = 16;
const OUTPUT_BYTES_MAX = 12;
/** Kernels work on four items at once and write past the last. */
const SLACK_ITEMS = 4;
/** Zeros behind a vector, as wide as a band's groups. */
const VECTOR_TAIL_BYTES = 65 * 64;
/** The kernel multiplies sixteen elements at a time. */
const SCALED_BYTES = 256;

const module = loadModule();

/** The kernel where relaxed SIMD runs, else the portable code: slower, and equal in every bit. */
export const nativeOkvs: OkvsPrimitive =
  module === undefined
    ? portableOkvs
    : { engine: 'wasm', open: (shape) => new WasmTable(openKernel(module), shape) };

/** @see nativeOkvs */
export const nativeGf128: Gf128Primitive =
  module === undefined ? portableGf128 : wasmGf128(openKernel(module));

/** Beside this file in the build; from source, in the build's folder. */
function loadModule(): WebAssembly.Module | undefined {
  const path = import.meta.url.endsWith('.ts')
    ? '../dist/workers/kernels/okvs.wasm'
    : './kernels/okvs.wasm';
  const url = new URL(path, import.meta.url);
  if (!existsSync(url)) throw new Error(`The OKVS kernel is not built (${path}): npm run build.`);
  const bytes = new Uint8Array(readFileSync(url));
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined;
}

function openKernel(from: WebAssembly.Module): Kernel {
  return new WebAssembly.Instance(from, { env: {} }).exports as unknown as Kernel;
}

/** Room up to `end`, as bytes; what was there before stays. */
function reserve({ memory }: Kernel, end: number): Uint8Array {
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  return new Uint8Array(memory.buffer);
}

function wasmGf128(kernel: Kernel): Gf128Primitive {
  const scalarAt = roundUp(kernel.heapStart());
  const targetAt = scalarAt + GF128_BYTES;
  const vectorAt = targetAt + WINDOW_BYTES;
  const memory = reserve(kernel, vectorAt + WINDOW_BYTES);
  const eachWindow = (
    target: Uint8Array,
    vector: Uint8Array,
    work: (bytes: number) => void,
  ): void => {
    requireVectors(target, vector);
    for (let at = 0; at < target.length; at += WINDOW_BYTES) {
      const part = target.subarray(at, at + WINDOW_BYTES);
      memory.set(part, targetAt);
      memory.set(vector.subarray(at, at + WINDOW_BYTES), vectorAt);
      work(part.length);
      part.set(memory.subarray(targetAt, targetAt + part.length));
    }
    // The windows held secrets.
    memory.fill(0, targetAt, targetAt + Math.min(target.length, WINDOW_BYTES));
  };
  return {
    accumulate(target, scalar, vector) {
      if (scalar.length !== GF128_BYTES) {
        throw new ProtocolError('length-wrong', `a field element has ${GF128_BYTES} bytes`);
      }
      memory.set(scalar, scalarAt);
      kernel.useScalar(scalarAt);
      eachWindow(target, vector, (bytes) =>
        kernel.accumulateScaled(targetAt, vectorAt, roundUp(bytes, SCALED_BYTES)),
      );
    },
    add(target, vector) {
      eachWindow(target, vector, (bytes) => kernel.addElements(targetAt, vectorAt, bytes));
    },
  };
}

/** Where things lie in a table's memory; each phase has its own use of what follows `free`. */
interface Layout {
  readonly key: number;
  readonly window: number;
  /** The set's records, as long as it is loaded. */
  readonly sorted: number;
  readonly free: number;
  /** While a set is loaded. */
  readonly entries: number;
  readonly spareEntries: number;
  /** While it is encoded. */
  readonly rows: number;
  readonly sums: number;
  /** While it is encoded or decoded. */
  readonly vector: number;
  /** From decoding on. */
  readonly values: number;
  readonly hashes: number;
  readonly outputs: number;
  readonly spareOutputs: number;
  readonly end: number;
}

function layoutOf(start: number, { itemsMax, columns }: BandShape): Layout {
  const items = itemsMax + SLACK_ITEMS;
  const key = roundUp(start);
  const window = key + roundUp(KEY_BYTES);
  const sorted = window + WINDOW_BYTES + RECORD_BYTES;
  const free = sorted + items * RECORD_BYTES;
  const entries = roundUp(free + items * RECORD_BYTES);
  const spareEntries = roundUp(entries + items * ENTRY_BYTES);
  const vectorBytes = columns * GF128_BYTES + VECTOR_TAIL_BYTES;
  const rows = free + vectorBytes;
  const sums = rows + columns * ROW_BYTES;
  const values = free + vectorBytes;
  // A multiple of the group the kernel scales.
  const valuesBytes = roundUp(items * GF128_BYTES, SCALED_BYTES);
  const outputs = values + valuesBytes;
  const spareOutputs = outputs + items * OUTPUT_RECORD_BYTES;
  const end = Math.max(
    spareEntries + items * ENTRY_BYTES,
    sums + columns * GF128_BYTES,
    spareOutputs + items * OUTPUT_RECORD_BYTES,
    outputs + valuesBytes,
  );
  const layout = { key, window, sorted, free, entries, spareEntries, rows, sums, values };
  return { ...layout, vector: free, hashes: outputs, outputs, spareOutputs, end };
}

class WasmTable implements OkvsTable {
  readonly #kernel: Kernel;
  readonly #shape: BandShape;
  readonly #at: Layout;
  readonly #memory: Uint8Array;
  #count = 0;
  #isDecoded = false;
  #matcher: OutputMatcher | undefined;

  constructor(kernel: Kernel, shape: BandShape) {
    this.#kernel = kernel;
    this.#shape = shape;
    this.#at = layoutOf(kernel.heapStart(), shape);
    this.#memory = reserve(kernel, this.#at.end);
  }

  load(key: Uint8Array, elements: Uint8Array): void {
    const { elementBytes, width } = this.#shape;
    const at = this.#at;
    const count = requireElements(this.#shape, key, elements);
    const starts = startCount(this.#shape);
    const lastWordMask = BigInt.asUintN(64, (1n << BigInt(width - 192)) - 1n);
    const step = Math.floor(WINDOW_BYTES / elementBytes / SLACK_ITEMS) * SLACK_ITEMS;
    this.#memory.set(key, at.key);
    for (let first = 0; first < count; first += step) {
      const part = elements.subarray(first * elementBytes, (first + step) * elementBytes);
      this.#memory.set(part, at.window);
      this.#kernel.hashItems(
        at.key,
        at.window,
        elementBytes,
        part.length / elementBytes,
        at.free,
        first,
        starts,
        lastWordMask,
      );
    }
    const keyBits = 32 - Math.clz32(starts);
    const isOrdered = this.#kernel.orderItems(
      at.free,
      at.sorted,
      at.entries,
      at.spareEntries,
      count,
      keyBits,
    );
    if (isOrdered !== 1) throw new ProtocolError('encoding-failed', 'a set could not be sorted');
    this.#count = count;
    this.#isDecoded = false;
    this.#matcher = undefined;
  }

  encode(vector: Uint8Array): 'encoded' | 'dependent' {
    requireVector(this.#shape, vector);
    const { columns } = this.#shape;
    const { sorted, rows, sums } = this.#at;
    this.#memory.fill(0, rows, sums);
    const outcome = this.#kernel.eliminate(sorted, this.#count, rows, sums);
    if (outcome === 1) return 'dependent';
    if (outcome === 2) throw new ProtocolError('point-repeated', 'an element comes twice');
    this.#putVector(vector);
    this.#kernel.solve(rows, sums, this.#at.vector, columns);
    vector.set(this.#memory.subarray(this.#at.vector, this.#at.vector + vector.length));
    return 'encoded';
  }

  decode(vector: Uint8Array): void {
    requireVector(this.#shape, vector);
    const { sorted, values } = this.#at;
    this.#putVector(vector);
    this.#kernel.decode(sorted, this.#count, this.#at.vector, values, this.#shape.columns);
    this.#isDecoded = true;
  }

  addHashes(scalar: Uint8Array): void {
    this.#requireDecoded();
    const { sorted, values, hashes, key } = this.#at;
    this.#memory.set(scalar, key);
    this.#kernel.useScalar(key);
    this.#kernel.gatherHashes(sorted, this.#count, hashes);
    const bytes = roundUp(this.#count * GF128_BYTES, SCALED_BYTES);
    this.#kernel.accumulateScaled(values, hashes, bytes);
  }

  outputs(key: Uint8Array, outputBytes: number): Uint8Array {
    this.#requireDecoded();
    if (outputBytes > OUTPUT_BYTES_MAX) {
      throw new ProtocolError('parameter-invalid', `an output has up to ${OUTPUT_BYTES_MAX} bytes`);
    }
    const { sorted, values, outputs, spareOutputs, key: keyAt } = this.#at;
    const count = this.#count;
    this.#memory.set(key, keyAt);
    this.#kernel.hashValues(keyAt, sorted, values, count, outputs);
    const repeated = this.#kernel.sortRecords(outputs, spareOutputs, count);
    if (repeated > 0) throw new ProtocolError('point-repeated', 'an element comes twice');
    if (repeated < 0) throw new ProtocolError('encoding-failed', 'outputs could not be sorted');
    const packed = spareOutputs;
    this.#kernel.packOutputs(outputs, count, outputBytes, packed);
    const out = this.#memory.slice(packed, packed + count * outputBytes);
    const words = new Uint32Array(this.#memory.buffer, outputs, count * 4);
    const numbers = new Uint32Array(count);
    for (let i = 0; i < count; i++) numbers[i] = words[4 * i + 3] ?? 0;
    this.#matcher = new OutputMatcher(out, numbers, outputBytes);
    return out;
  }

  match(piece: Uint8Array): Uint32Array {
    if (this.#matcher !== undefined) return this.#matcher.match(piece);
    throw new ProtocolError('message-unexpected', 'outputs are matched before there are any');
  }

  close(): void {
    this.#memory.fill(0, this.#at.key, this.#at.end);
    this.#matcher = undefined;
    this.#count = 0;
  }

  #putVector(vector: Uint8Array): void {
    const end = this.#at.vector + vector.length;
    this.#memory.set(vector, this.#at.vector);
    this.#memory.fill(0, end, end + VECTOR_TAIL_BYTES);
  }

  #requireDecoded(): void {
    if (this.#isDecoded) return;
    throw new ProtocolError('message-unexpected', 'a value is used before it is decoded');
  }
}

function roundUp(bytes: number, step = 16): number {
  return Math.ceil(bytes / step) * step;
}
