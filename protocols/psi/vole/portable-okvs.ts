/**
 * The band OKVS and what is done with it in plain TypeScript: what the kernel is compared with, and
 * what runs where WASM SIMD is missing. Slow: a band is one big integer.
 */
import { blake3 } from '@noble/hashes/blake3.js';
import { concatBytes, viewOf } from '../../common/bytes.ts';
import type {
  BandShape,
  LinearMap,
  OkvsPrimitive,
  OkvsTable,
  Shares,
} from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import { compareKeys } from '../sorted-list.ts';
import { startCount } from './band.ts';
import { GF128_BYTES, portableGf128 } from './gf128.ts';
import { OutputMatcher } from './output-matcher.ts';
import {
  WORD_BYTES,
  requireElements,
  requireShares,
  requireVector,
  requireWords,
} from './okvs-checks.ts';

const BAND_BYTES = 32;
const START_AT = 16;
const BAND_AT = 24;
const HASH_BYTES = 64;

/** @see OkvsPrimitive */
export const portableOkvs: OkvsPrimitive = {
  engine: 'portable',
  open: (shape) => new PortableTable(shape),
  shareOut,
};

interface Item {
  readonly number: number;
  readonly hash: Uint8Array;
  readonly start: number;
  readonly band: bigint;
}

interface Row {
  readonly band: bigint;
  readonly sum: Uint8Array;
}

class PortableTable implements OkvsTable {
  readonly #shape: BandShape;
  #items: readonly Item[] = [];
  #values: Uint8Array[] = [];
  #matcher: OutputMatcher | undefined;

  constructor(shape: BandShape) {
    this.#shape = shape;
  }

  load(key: Uint8Array, pieces: readonly Uint8Array[]): void {
    const { elementBytes } = this.#shape;
    const count = requireElements(this.#shape, key, pieces);
    const elements = concatBytes(pieces);
    this.#items = Array.from({ length: count }, (_, number) => {
      const at = number * elementBytes;
      return itemOf(this.#shape, key, elements.subarray(at, at + elementBytes), number);
    });
    this.#values = [];
    this.#matcher = undefined;
  }

  encode(vector: Uint8Array): 'encoded' | 'dependent' {
    requireVector(this.#shape, vector);
    const rows = new Map<number, Row>();
    for (const { start, band, hash } of this.#items.toSorted((a, b) => a.start - b.start)) {
      let [column, rest] = [start, band];
      const sum = hash.slice();
      for (let row = rows.get(column); row !== undefined; row = rows.get(column)) {
        rest ^= row.band;
        portableGf128.add(sum, row.sum);
        if (rest === 0n) {
          if (sum.some((byte) => byte !== 0)) return 'dependent';
          throw new ProtocolError('point-repeated', 'an element comes twice');
        }
        while ((rest & 1n) === 0n) {
          rest >>= 1n;
          column += 1;
        }
      }
      rows.set(column, { band: rest, sum });
    }
    for (const [column, { band, sum }] of [...rows].toSorted(([a], [b]) => b - a)) {
      const own = sum.slice();
      addChosen(own, vector, column + 1, band >> 1n);
      vector.set(own, column * GF128_BYTES);
    }
    return 'encoded';
  }

  decode(vector: Uint8Array): void {
    requireVector(this.#shape, vector);
    this.#values = this.#items.map(({ start, band }) => {
      const value = new Uint8Array(GF128_BYTES);
      addChosen(value, vector, start, band);
      return value;
    });
  }

  decodeWords(words: Uint8Array): void {
    requireWords(this.#shape, words);
    this.#values = this.#items.map(({ start, band }) => {
      const value = new Uint8Array(WORD_BYTES);
      addChosen(value, words, start, band);
      return value;
    });
  }

  addImages(map: LinearMap): void {
    for (const { number, hash } of this.#items) map.addTo(this.#valueOf(number), hash);
  }

  addHashes(scalar: Uint8Array): void {
    for (const { number, hash } of this.#items) {
      portableGf128.accumulate(this.#valueOf(number), scalar, hash);
    }
  }

  outputs(key: Uint8Array, outputBytes: number): Uint8Array {
    const all = this.#items.map(({ number, hash }) => {
      const value = this.#valueOf(number);
      const message = value.length === WORD_BYTES ? value : concatBytes([value, hash]);
      return { number, output: blake3(message, { key, dkLen: outputBytes }) };
    });
    all.sort((a, b) => compareKeys(a.output, 0, b.output, 0, outputBytes));
    const out = new Uint8Array(all.length * outputBytes);
    for (const [place, { output }] of all.entries()) out.set(output, place * outputBytes);
    this.#matcher = new OutputMatcher(
      out.slice(),
      Uint32Array.from(all, ({ number }) => number),
      outputBytes,
    );
    return out;
  }

  match(piece: Uint8Array): Uint32Array {
    if (this.#matcher !== undefined) return this.#matcher.match(piece);
    throw new ProtocolError('message-unexpected', 'outputs are matched before there are any');
  }

  close(): void {
    for (const value of this.#values) value.fill(0);
    this.#items = [];
    this.#values = [];
    this.#matcher = undefined;
  }

  #valueOf(number: number): Uint8Array {
    const value = this.#values[number];
    if (value !== undefined) return value;
    throw new ProtocolError('message-unexpected', 'a value is used before it is decoded');
  }
}

function shareOut(
  key: Uint8Array,
  elements: Uint8Array,
  elementBytes: number,
  parts: number,
): Shares {
  const count = requireShares(key, elements, elementBytes, parts);
  const all = Array.from({ length: count }, (_, number) => {
    const element = elements.subarray(number * elementBytes, (number + 1) * elementBytes);
    const word = BigInt(viewOf(blake3(element, { key })).getUint32(0, true));
    return { number, element, share: Number((word * BigInt(parts)) >> 32n) };
  }).toSorted((a, b) => a.share - b.share);
  const starts = Uint32Array.from(
    { length: parts + 1 },
    (_, part) => all.filter(({ share }) => share < part).length,
  );
  return {
    elements: concatBytes(all.map(({ element }) => element)),
    numbers: Uint32Array.from(all, ({ number }) => number),
    starts,
  };
}

function itemOf(shape: BandShape, key: Uint8Array, element: Uint8Array, number: number): Item {
  const digest = blake3(element, { key, dkLen: HASH_BYTES });
  const place = BigInt(viewOf(digest).getUint32(START_AT, true));
  let band = 0n;
  for (let i = BAND_BYTES - 1; i >= 0; i--) band = (band << 8n) | BigInt(digest[BAND_AT + i] ?? 0);
  return {
    number,
    hash: digest.slice(0, GF128_BYTES),
    start: Number((place * BigInt(startCount(shape))) >> 32n),
    band: BigInt.asUintN(shape.width, band) | 1n,
  };
}

/** sum += the columns from `first` on that the bits of `band` choose. */
function addChosen(sum: Uint8Array, vector: Uint8Array, first: number, band: bigint): void {
  for (let [rest, at] = [band, first * sum.length]; rest !== 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) portableGf128.add(sum, vector.subarray(at, at + sum.length));
    at += sum.length;
  }
}
