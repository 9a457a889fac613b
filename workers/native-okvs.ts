/**
 * The band OKVS by the WASM kernel. A table has an instance with a memory of its own: closing it
 * gives all of that back.
 */
import type {
  BandShape,
  LinearMap,
  OkvsPrimitive,
  OkvsTable,
} from '../protocols/common/primitives.ts';
import { xorInto } from '../protocols/common/bytes.ts';
import { ProtocolError } from '../protocols/common/protocol-error.ts';
import { startCount } from '../protocols/psi/vole/band.ts';
import { GF128_BYTES } from '../protocols/psi/vole/gf128.ts';
import {
  WORD_BYTES,
  requireElements,
  requireShares,
  requireVector,
  requireWords,
} from '../protocols/psi/vole/okvs-checks.ts';
import { OutputMatcher } from '../protocols/psi/vole/output-matcher.ts';
import { portableOkvs } from '../protocols/psi/vole/portable-okvs.ts';
import {
  SCALED_BYTES,
  WINDOW_BYTES,
  openOkvsKernel,
  reserve,
  roundUp,
  type OkvsKernel,
} from './okvs-kernel.ts';

const KEY_BYTES = 32;
const RECORD_BYTES = 64;
const ENTRY_BYTES = 8;
const ROW_BYTES = 32;
const OUTPUT_RECORD_BYTES = 16;
const OUTPUT_BYTES_MAX = 12;
/**
 * Items of one call: what a call runs is compiled quickly at first and well soon after, and only the
 * next call gets the better code.
 */
const CALL_ITEMS = 16_384;
/** Kernels work on four items at once and write past the last. */
const SLACK_ITEMS = 4;
/** The kernel reads so far behind elements that it shares out. */
const SHARE_SLACK_BYTES = 256;
/** Zeros behind a vector, as wide as a band's groups. */
const VECTOR_TAIL_BYTES = 65 * 64;

/** A word is worked on by quarters, each a vector of field elements. */
const QUARTERS = WORD_BYTES / GF128_BYTES;
/** Images of items made at a time. */
const IMAGE_ITEMS = 4096;

const sharing = openOkvsKernel();

/** The kernel where relaxed SIMD runs, else the portable code: slower, and equal in every bit. */
export const nativeOkvs: OkvsPrimitive =
  sharing === undefined
    ? portableOkvs
    : { engine: 'wasm', open: openTable, shareOut: wasmShareOut(sharing) };

function openTable(shape: BandShape): OkvsTable {
  const kernel = openOkvsKernel();
  return kernel === undefined ? portableOkvs.open(shape) : new WasmTable(kernel, shape);
}

function wasmShareOut(kernel: OkvsKernel): OkvsPrimitive['shareOut'] {
  return (key, elements, elementBytes, parts) => {
    const count = requireShares(key, elements, elementBytes, parts);
    const keyAt = roundUp(kernel.heapStart());
    const from = keyAt + KEY_BYTES;
    const sharesAt = roundUp(from + elements.length + SHARE_SLACK_BYTES);
    const numbersAt = sharesAt + (count + SLACK_ITEMS) * Uint32Array.BYTES_PER_ELEMENT;
    const to = roundUp(numbersAt + count * Uint32Array.BYTES_PER_ELEMENT);
    const memory = reserve(kernel, to + elements.length);
    memory.set(key, keyAt);
    memory.set(elements, from);
    kernel.shareOut(keyAt, from, elementBytes, count, parts, sharesAt, to, numbersAt);
    const words = (at: number, length: number): Uint32Array =>
      new Uint32Array(kernel.memory.buffer, at, length).slice();
    const shares = {
      elements: memory.slice(to, to + elements.length),
      numbers: words(numbersAt, count),
      starts: words(kernel.shareStarts(), parts + 1),
    };
    memory.fill(0);
    return shares;
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
  /** From decoding on; each quarter of values of 64 bytes `valuesBytes` behind the one before. */
  readonly values: number;
  readonly valuesBytes: number;
  readonly hashes: number;
  readonly outputs: number;
  readonly spareOutputs: number;
  readonly end: number;
}

function layoutOf(start: number, { itemsMax, columns, valueBytes }: BandShape): Layout {
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
  const outputs = values + valuesBytes * ((valueBytes ?? GF128_BYTES) / GF128_BYTES);
  const spareOutputs = outputs + items * OUTPUT_RECORD_BYTES;
  const end = Math.max(
    spareEntries + items * ENTRY_BYTES,
    sums + columns * GF128_BYTES,
    spareOutputs + items * OUTPUT_RECORD_BYTES,
    outputs + valuesBytes,
  );
  const layout = {
    key,
    window,
    sorted,
    free,
    entries,
    spareEntries,
    rows,
    sums,
    values,
    valuesBytes,
  };
  return { ...layout, vector: free, hashes: outputs, outputs, spareOutputs, end };
}

class WasmTable implements OkvsTable {
  readonly #kernel: OkvsKernel;
  readonly #shape: BandShape;
  readonly #at: Layout;
  readonly #memory: Uint8Array;
  #count = 0;
  #isDecoded = false;
  #matcher: OutputMatcher | undefined;

  constructor(kernel: OkvsKernel, shape: BandShape) {
    this.#kernel = kernel;
    this.#shape = shape;
    this.#at = layoutOf(kernel.heapStart(), shape);
    this.#memory = reserve(kernel, this.#at.end);
  }

  load(key: Uint8Array, pieces: readonly Uint8Array[]): void {
    const at = this.#at;
    const count = requireElements(this.#shape, key, pieces);
    const starts = startCount(this.#shape);
    this.#memory.set(key, at.key);
    let first = 0;
    for (const piece of pieces) first = this.#hash(piece, first, starts);
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
    let outcome = 0;
    this.#eachCall((first, items) => {
      const from = sorted + first * RECORD_BYTES;
      if (outcome === 0) outcome = this.#kernel.eliminate(from, items, rows, sums);
    });
    if (outcome === 1) return 'dependent';
    if (outcome === 2) throw new ProtocolError('point-repeated', 'an element comes twice');
    this.#putVector(vector);
    this.#kernel.solve(rows, sums, this.#at.vector, columns);
    vector.set(this.#memory.subarray(this.#at.vector, this.#at.vector + vector.length));
    return 'encoded';
  }

  decode(vector: Uint8Array): void {
    requireVector(this.#shape, vector);
    this.#putVector(vector);
    this.#decodeTo(this.#at.values);
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

  decodeWords(words: Uint8Array): void {
    requireWords(this.#shape, words);
    const { values, valuesBytes } = this.#at;
    for (let quarter = 0; quarter < QUARTERS; quarter++) {
      this.#putVector(quarterOf(words, quarter));
      this.#decodeTo(values + quarter * valuesBytes);
    }
    this.#isDecoded = true;
  }

  addImages(map: LinearMap): void {
    this.#requireDecoded();
    const { sorted, values, valuesBytes, hashes } = this.#at;
    this.#kernel.gatherHashes(sorted, this.#count, hashes);
    for (let first = 0; first < this.#count; first += IMAGE_ITEMS) {
      const count = Math.min(IMAGE_ITEMS, this.#count - first);
      const from = hashes + first * GF128_BYTES;
      const images = new Uint8Array(count * WORD_BYTES);
      map.addTo(images, this.#memory.subarray(from, from + count * GF128_BYTES));
      for (let quarter = 0; quarter < QUARTERS; quarter++) {
        const to = values + quarter * valuesBytes + first * GF128_BYTES;
        const target = this.#memory.subarray(to, to + count * GF128_BYTES);
        xorInto(target, quarterOf(images, quarter));
      }
    }
  }

  outputs(key: Uint8Array, outputBytes: number): Uint8Array {
    this.#requireDecoded();
    if (outputBytes > OUTPUT_BYTES_MAX) {
      throw new ProtocolError('parameter-invalid', `an output has up to ${OUTPUT_BYTES_MAX} bytes`);
    }
    const { sorted, values, outputs, spareOutputs, key: keyAt } = this.#at;
    const count = this.#count;
    this.#memory.set(key, keyAt);
    if (this.#shape.valueBytes === WORD_BYTES) {
      this.#kernel.hashWords(keyAt, sorted, values, this.#at.valuesBytes, count, outputs);
    } else {
      this.#eachCall((first, items) => {
        const [from, value] = [sorted + first * RECORD_BYTES, values + first * GF128_BYTES];
        this.#kernel.hashValues(keyAt, from, value, items, outputs + first * OUTPUT_RECORD_BYTES);
      });
    }
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
    // The kernel's own tables too, of multiples of the scalar and sums of the vector.
    this.#memory.fill(0);
    this.#matcher = undefined;
    this.#count = 0;
  }

  /** Hashes a piece into the records from `first` on; answers where the next piece goes. */
  #hash(piece: Uint8Array, first: number, starts: number): number {
    const { elementBytes, width } = this.#shape;
    const { key, window, free } = this.#at;
    const stepBytes = Math.floor(WINDOW_BYTES / elementBytes / 4) * 4 * elementBytes;
    let next = first;
    for (let from = 0; from < piece.length; from += stepBytes) {
      const part = piece.subarray(from, from + stepBytes);
      const count = part.length / elementBytes;
      this.#memory.set(part, window);
      this.#kernel.hashItems(key, window, elementBytes, count, free, next, starts, width);
      next += count;
    }
    return next;
  }

  /** The set's items, so many at a time. */
  #eachCall(work: (first: number, items: number) => void): void {
    for (let first = 0; first < this.#count; first += CALL_ITEMS) {
      work(first, Math.min(CALL_ITEMS, this.#count - first));
    }
  }

  #decodeTo(values: number): void {
    const { sorted, vector } = this.#at;
    const { columns } = this.#shape;
    this.#eachCall((first, items) => {
      const [from, to] = [sorted + first * RECORD_BYTES, values + first * GF128_BYTES];
      this.#kernel.decode(from, items, vector, to, columns);
    });
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

/** One quarter of each word, one behind the other. */
function quarterOf(words: Uint8Array, quarter: number): Uint8Array {
  const count = words.length / WORD_BYTES;
  const from = new Uint32Array(words.buffer, words.byteOffset, words.length / 4);
  const out = new Uint32Array(count * QUARTERS);
  for (let i = 0, at = quarter * QUARTERS; i < out.length; i += QUARTERS, at += 16) {
    out[i] = from[at] ?? 0;
    out[i + 1] = from[at + 1] ?? 0;
    out[i + 2] = from[at + 2] ?? 0;
    out[i + 3] = from[at + 3] ?? 0;
  }
  return new Uint8Array(out.buffer);
}
