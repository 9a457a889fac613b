/**
 * A list of fixed-size records that comes back sorted, whatever its size, in little memory: full
 * buffers are put in bucket order and spilled, and reading back takes one slice of all of them at a
 * time. Made for keys that look random (digests, blinded points): their first bits share the
 * records out evenly.
 */
import { releaseBytes } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { copyBytes } from './records.ts';
import { LazySpill, type OpenSpill } from './spill.ts';

/** Records of one buffer; below this many nothing is spilled. */
export const BUFFER_RECORDS = 65_536;
const BUCKET_BITS = 10;
const BUCKETS = 1 << BUCKET_BITS;
/** Records that reading takes together on average. */
const SLICE_RECORDS = 32_768;
/** Integers a double holds exactly: a prefix of the key above the record's number. */
const DOUBLE_BITS = 53;
const PREFIX_BYTES = 6;

/** A spilled buffer: its offset, and where in it each bucket starts, counted in records. */
interface Run {
  readonly offset: number;
  readonly starts: Uint32Array;
}

export interface RecordShape {
  readonly recordBytes: number;
  /** The record's first bytes, which order it. */
  readonly keyBytes: number;
}

/** Owns a spill: `close` it. Records are added first, then read, as often as needed. */
export class SortedList {
  readonly shape: RecordShape;
  readonly #runs: Run[] = [];
  readonly #spill: LazySpill;
  #buffer: Uint8Array;
  #buffered = 0;
  #size = 0;

  constructor(shape: RecordShape, openSpill: OpenSpill) {
    this.shape = shape;
    this.#spill = new LazySpill(openSpill);
    this.#buffer = new Uint8Array(0);
  }

  /** Records added so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds whole records. */
  async add(records: Uint8Array): Promise<void> {
    const { recordBytes } = this.shape;
    this.#spill.requireOpen();
    for (let at = 0; at < records.length; ) {
      if (this.#buffered === BUFFER_RECORDS) await this.#spillBuffer();
      const free = (BUFFER_RECORDS - this.#buffered) * recordBytes;
      const part = records.subarray(at, at + free);
      this.#reserve(this.#buffered * recordBytes + part.length);
      this.#buffer.set(part, this.#buffered * recordBytes);
      this.#buffered += part.length / recordBytes;
      this.#size += part.length / recordBytes;
      at += part.length;
    }
  }

  /** All records in ascending order of their keys, equal ones as they came; slices are the caller's. */
  async *sorted(): AsyncGenerator<Uint8Array> {
    let slices = 1;
    while (slices < BUCKETS && slices * SLICE_RECORDS < this.#size) slices *= 2;
    const { recordBytes } = this.shape;
    const last = intoBuckets(this.#buffer.subarray(0, this.#buffered * recordBytes), this.shape);
    for (let slice = 0; slice < slices; slice++) {
      const from = (slice * BUCKETS) / slices;
      const to = ((slice + 1) * BUCKETS) / slices;
      const own = recordsOf(last.starts, from, to);
      const spilled = this.#runs.map((run) => recordsOf(run.starts, from, to));
      const count = spilled.reduce((sum, part) => sum + part.count, own.count);
      // One array for all runs: an array a run would leave the allocator in shreds.
      const records = new Uint8Array(count * recordBytes);
      let filled = 0;
      for (const [index, part] of spilled.entries()) {
        const length = part.count * recordBytes;
        await this.#readRun(index, part.first, records.subarray(filled, filled + length));
        filled += length;
      }
      const start = own.first * recordBytes;
      records.set(last.records.subarray(start, start + own.count * recordBytes), filled);
      yield sortRecords(records, this.shape);
    }
    releaseBytes(last.records);
  }

  async close(): Promise<void> {
    releaseBytes(this.#buffer);
    this.#buffer = new Uint8Array(0);
    this.#buffered = 0;
    this.#runs.length = 0;
    await this.#spill.close();
  }

  /** Grows the buffer by doubling, so that small lists stay small. */
  #reserve(neededBytes: number): void {
    if (neededBytes <= this.#buffer.length) return;
    const most = BUFFER_RECORDS * this.shape.recordBytes;
    const grown = new Uint8Array(Math.min(most, Math.max(2 * this.#buffer.length, neededBytes)));
    grown.set(this.#buffer);
    releaseBytes(this.#buffer);
    this.#buffer = grown;
  }

  async #spillBuffer(): Promise<void> {
    const { records, starts } = intoBuckets(this.#buffer, this.shape);
    const spill = await this.#spill.opened();
    this.#runs.push({ offset: await spill.append(records), starts });
    releaseBytes(records);
    this.#buffered = 0;
  }

  async #readRun(index: number, first: number, into: Uint8Array): Promise<void> {
    const run = this.#runs[index];
    if (run === undefined || into.length === 0) return;
    const spill = await this.#spill.opened();
    await spill.read(run.offset + first * this.shape.recordBytes, into);
  }
}

/** The records of some buckets. */
function recordsOf(
  starts: Uint32Array,
  fromBucket: number,
  toBucket: number,
): { first: number; count: number } {
  const first = starts[fromBucket] ?? 0;
  return { first, count: (starts[toBucket] ?? 0) - first };
}

/** Counting sort by the first bits; `starts` has one entry more than there are buckets. */
function intoBuckets(
  records: Uint8Array,
  { recordBytes }: RecordShape,
): { records: Uint8Array; starts: Uint32Array } {
  const bucketAt = (at: number): number =>
    (((records[at] ?? 0) << 8) | (records[at + 1] ?? 0)) >> (16 - BUCKET_BITS);
  const starts = new Uint32Array(BUCKETS + 1);
  for (let at = 0; at < records.length; at += recordBytes) {
    const after = bucketAt(at) + 1;
    starts[after] = (starts[after] ?? 0) + 1;
  }
  for (let i = 1; i <= BUCKETS; i++) starts[i] = (starts[i] ?? 0) + (starts[i - 1] ?? 0);
  const next = starts.slice();
  const out = new Uint8Array(records.length);
  for (let at = 0; at < records.length; at += recordBytes) {
    const bucket = bucketAt(at);
    const place = next[bucket] ?? 0;
    next[bucket] = place + 1;
    copyBytes(records, at, out, place * recordBytes, recordBytes);
  }
  return { records: out, starts };
}

/** The records in order; what was given is used up. */
function sortRecords(records: Uint8Array, shape: RecordShape): Uint8Array {
  const { recordBytes } = shape;
  const order = sortedOrder(records, shape);
  const out = new Uint8Array(records.length);
  for (let place = 0; place < order.length; place++) {
    const at = (order[place] ?? 0) * recordBytes;
    copyBytes(records, at, out, place * recordBytes, recordBytes);
  }
  releaseBytes(records);
  releaseBytes(order);
  return out;
}

/**
 * Record numbers in the order of the keys. As many leading key bits as fit stand above the number
 * in one double each, which sorts natively; the few that agree there are compared in full.
 */
function sortedOrder(records: Uint8Array, { recordBytes, keyBytes }: RecordShape): Float64Array {
  const count = records.length / recordBytes;
  const numberBits = Math.ceil(Math.log2(Math.max(count, 2)));
  const numbers = 2 ** numberBits;
  const cut = 2 ** (8 * PREFIX_BYTES - (DOUBLE_BITS - numberBits));
  if (numberBits > DOUBLE_BITS - 8) {
    throw new ProtocolError('set-too-large', 'one key occurs too often to be sorted');
  }
  const tagged = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const prefix = prefixAt(records, i * recordBytes);
    tagged[i] = Math.floor(prefix / Math.max(cut, 1)) * numbers + i;
  }
  tagged.sort();
  const compare = (left: number, right: number): number =>
    compareKeys(records, left * recordBytes, records, right * recordBytes, keyBytes);
  let groupStart = 0;
  for (let i = 1; i <= count; i++) {
    const isSame =
      i < count &&
      Math.floor((tagged[i] ?? 0) / numbers) === Math.floor((tagged[groupStart] ?? 0) / numbers);
    if (isSame) continue;
    for (let k = groupStart; k < i; k++) tagged[k] = (tagged[k] ?? 0) % numbers;
    // Nearly every group is one record, and a view of each would be garbage by the million.
    if (i - groupStart > 1) tagged.subarray(groupStart, i).sort(compare);
    groupStart = i;
  }
  return tagged;
}

/** The first 48 bits as a number. */
function prefixAt(records: Uint8Array, at: number): number {
  const high = ((records[at] ?? 0) << 16) | ((records[at + 1] ?? 0) << 8) | (records[at + 2] ?? 0);
  const low =
    ((records[at + 3] ?? 0) << 16) | ((records[at + 4] ?? 0) << 8) | (records[at + 5] ?? 0);
  return high * 2 ** 24 + low;
}

/** Negative, zero or positive as the left key comes before, equals or follows the right one. */
export function compareKeys(
  left: Uint8Array,
  leftAt: number,
  right: Uint8Array,
  rightAt: number,
  keyBytes: number,
): number {
  for (let i = 0; i < keyBytes; i++) {
    const difference = (left[leftAt + i] ?? 0) - (right[rightAt + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
