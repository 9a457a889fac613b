/**
 * The server's outputs as one bit string that a client looks its own up in: sorted, cut to so many
 * bits that a chance agreement is out of the question, and coded by their differences. Nothing smaller
 * is exact: a binary fuse filter of the same error takes a twelfth more, and a sorted list can be
 * walked beside the client's own in little memory.
 *
 * The first log2(items) bits of an output name its place among as many buckets. Bucket after bucket:
 * a 1 and the output's other bits for each that is in it, a 0 at its end; zeros up to a whole byte.
 */
import { releaseBytes } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { compareKeys } from '../sorted-list.ts';
import { OUTPUT_BYTES } from './oprf.ts';

/** Any of a run's look-ups meets a chance agreement in fewer than one of 2^40 runs. */
const ERROR_BITS = 40;
/** Bits moved at a time. */
const STEP_BITS = 16;
/** Outputs decoded into one piece. */
const PIECE_OUTPUTS = 4096;

export interface FilterShape {
  /** Outputs in it: a power of two. */
  readonly items: number;
  /** Bits of an output that count. */
  readonly outputBits: number;
}

/**
 * @param items - of the server, padded to a power of two.
 * @param clientItemsMax - look-ups of a run at most, a power of two.
 * @returns 40 + log2 of both: items · look-ups chances, each of 2^−outputBits.
 */
export function filterShape(items: number, clientItemsMax: number): FilterShape {
  const outputBits = ERROR_BITS + Math.log2(items) + Math.log2(clientItemsMax);
  if (Number.isInteger(outputBits) && outputBits <= 8 * OUTPUT_BYTES) return { items, outputBits };
  throw new ProtocolError('parameter-invalid', 'sizes of a filter are powers of two, to 2^28');
}

/** Bytes of a filter: 2 bits and the low ones for each output. */
export function filterBytes(shape: FilterShape): number {
  return Math.ceil((shape.items * (2 + lowBits(shape))) / 8);
}

/** Sets the bits of outputs that do not count to zero, in place. */
export function cutOutputs(shape: FilterShape, records: Uint8Array, recordBytes: number): void {
  const whole = shape.outputBits >> 3;
  const mask = (0xff00 >> (shape.outputBits & 7)) & 0xff;
  for (let at = 0; at < records.length; at += recordBytes) {
    for (let i = whole; i < OUTPUT_BYTES; i++) {
      records[at + i] = i === whole ? (records[at + i] ?? 0) & mask : 0;
    }
  }
}

/**
 * Codes outputs that come in ascending order.
 * @param outputs - pieces of `OUTPUT_BYTES` each, `shape.items` in all; used up.
 * @returns pieces of `pieceBytes`, the last one shorter.
 */
export async function* encodeFilter(
  shape: FilterShape,
  outputs: AsyncIterable<Uint8Array>,
  pieceBytes: number,
): AsyncGenerator<Uint8Array> {
  const writer = new BitWriter(pieceBytes);
  const bucketBits = Math.log2(shape.items);
  let [bucket, written] = [0, 0];
  for await (const piece of outputs) {
    for (let at = 0; at < piece.length; at += OUTPUT_BYTES) {
      for (const own = bitsOf(piece, at, 0, bucketBits); bucket < own; bucket++) writer.write(0, 1);
      writer.write(1, 1);
      for (let bit = bucketBits; bit < shape.outputBits; bit += STEP_BITS) {
        const count = Math.min(STEP_BITS, shape.outputBits - bit);
        writer.write(bitsOf(piece, at, bit, count), count);
      }
      written += 1;
      yield* writer.full();
    }
    releaseBytes(piece);
  }
  if (written !== shape.items) {
    throw new ProtocolError('length-wrong', 'not as many outputs as the filter is for');
  }
  for (; bucket < shape.items; bucket++) {
    writer.write(0, 1);
    yield* writer.full();
  }
  yield* writer.rest();
}

/**
 * The outputs of a filter in ascending order, cut.
 * @param pieces - the filter's bytes, untrusted; read, not used up.
 * @returns pieces of `OUTPUT_BYTES` each.
 * @throws ProtocolError `message-malformed` where it is no filter of this shape
 */
export async function* decodeFilter(
  shape: FilterShape,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const decoder = new Decoder(shape);
  for await (const piece of pieces) {
    decoder.push(piece);
    for (;;) {
      const outputs = decoder.take();
      if (outputs.length === 0) break;
      yield outputs;
    }
  }
  decoder.requireEnd();
}

function lowBits({ items, outputBits }: FilterShape): number {
  return outputBits - Math.log2(items);
}

/** `count` bits (0 to 32) of an output, from bit `from` on, the highest first. */
function bitsOf(record: Uint8Array, at: number, from: number, count: number): number {
  let value = 0;
  for (let bit = from; bit < from + count; ) {
    const inByte = bit & 7;
    const taken = Math.min(8 - inByte, from + count - bit);
    const byte = record[at + (bit >> 3)] ?? 0;
    value = value * 2 ** taken + ((byte >> (8 - inByte - taken)) & ((1 << taken) - 1));
    bit += taken;
  }
  return value;
}

/** Collects bits, the highest first, into pieces of whole bytes. */
class BitWriter {
  readonly #pieceBytes: number;
  #piece: Uint8Array;
  #filled = 0;
  #bits = 0;
  #pending = 0;
  readonly #done: Uint8Array[] = [];

  constructor(pieceBytes: number) {
    this.#pieceBytes = pieceBytes;
    this.#piece = new Uint8Array(pieceBytes);
  }

  /** @param count - 1 to 16. */
  write(value: number, count: number): void {
    this.#pending = (this.#pending << count) | value;
    this.#bits += count;
    for (; this.#bits >= 8; this.#bits -= 8) this.#put((this.#pending >> (this.#bits - 8)) & 0xff);
    this.#pending &= (1 << this.#bits) - 1;
  }

  *full(): Generator<Uint8Array> {
    for (let piece = this.#done.shift(); piece !== undefined; piece = this.#done.shift()) {
      yield piece;
    }
  }

  *rest(): Generator<Uint8Array> {
    if (this.#bits > 0) this.write(0, 8 - this.#bits);
    yield* this.full();
    if (this.#filled > 0) yield this.#piece.subarray(0, this.#filled);
  }

  #put(byte: number): void {
    this.#piece[this.#filled++] = byte;
    if (this.#filled < this.#pieceBytes) return;
    this.#done.push(this.#piece);
    this.#piece = new Uint8Array(this.#pieceBytes);
    this.#filled = 0;
  }
}

/** Reads outputs back from bytes that come in pieces. */
class Decoder {
  readonly #shape: FilterShape;
  readonly #bucketBits: number;
  /** What was pushed and not read yet; `#bit` of it is next. */
  #bytes: Uint8Array = new Uint8Array(0);
  #bit = 0;
  #bucket = 0;
  #read = 0;
  readonly #last: Uint8Array = new Uint8Array(OUTPUT_BYTES);

  constructor(shape: FilterShape) {
    this.#shape = shape;
    this.#bucketBits = Math.log2(shape.items);
  }

  push(piece: Uint8Array): void {
    const left = this.#bytes.subarray(this.#bit >> 3);
    this.#bytes = new Uint8Array(left.length + piece.length);
    this.#bytes.set(left);
    this.#bytes.set(piece, left.length);
    this.#bit &= 7;
  }

  /** Outputs that are whole by now, some at a time; none once more bytes are needed. */
  take(): Uint8Array {
    const low = lowBits(this.#shape);
    const most = Math.floor((8 * this.#bytes.length - this.#bit) / (1 + low));
    const out = new Uint8Array(Math.min(PIECE_OUTPUTS, most + 1) * OUTPUT_BYTES);
    let filled = 0;
    while (filled < out.length && this.#bucket < this.#shape.items) {
      const left = 8 * this.#bytes.length - this.#bit;
      if (left < 1) break;
      if (bitsOf(this.#bytes, 0, this.#bit, 1) === 0) {
        this.#bit += 1;
        this.#bucket += 1;
        continue;
      }
      if (left < 1 + low) break;
      this.#readOutput(out, filled);
      filled += OUTPUT_BYTES;
    }
    return out.subarray(0, filled);
  }

  requireEnd(): void {
    const rest = 8 * this.#bytes.length - this.#bit;
    const isWhole = this.#bucket === this.#shape.items && this.#read === this.#shape.items;
    if (!isWhole || rest >= 8 || bitsOf(this.#bytes, 0, this.#bit, rest) !== 0) throw malformed();
  }

  #readOutput(out: Uint8Array, at: number): void {
    const { items, outputBits } = this.#shape;
    if (this.#read === items) throw malformed();
    let bit = this.#bit + 1;
    let to = 0;
    const put = (value: number, count: number): void => {
      for (let left = count; left > 0; ) {
        const taken = Math.min(8 - (to & 7), left);
        left -= taken;
        const part = Math.floor(value / 2 ** left) & ((1 << taken) - 1);
        const byte = at + (to >> 3);
        out[byte] = (out[byte] ?? 0) | (part << (8 - (to & 7) - taken));
        to += taken;
      }
    };
    put(this.#bucket, this.#bucketBits);
    while (to < outputBits) {
      const count = Math.min(STEP_BITS, outputBits - to);
      put(bitsOf(this.#bytes, 0, bit, count), count);
      bit += count;
    }
    this.#bit = bit;
    // Equal ones are two items whose outputs agree by chance: both stand there.
    const isFirst = this.#read === 0;
    if (!isFirst && compareKeys(this.#last, 0, out, at, OUTPUT_BYTES) > 0) throw malformed();
    this.#last.set(out.subarray(at, at + OUTPUT_BYTES));
    this.#read += 1;
  }
}

function malformed(): ProtocolError {
  return new ProtocolError('message-malformed', 'the filter is not of the shape that was said');
}
