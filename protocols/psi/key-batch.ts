/**
 * Join keys by the thousand: rows become encoded keys in one buffer, and these become digests. No
 * object is made for a row on the way, since a set has millions.
 */
import { concatBytes, lengthPrefixed, viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { HashPrimitive } from '../common/primitives.ts';
import {
  canonicalValue,
  KEY_VALUE_CHARACTERS_MAX,
  type KeyColumn,
  type KeyGap,
} from './join-key.ts';
import { CONTEXT_BYTES } from './params.ts';
import { NOT_PLAIN, writePlain } from './plain-value.ts';

const KEY_COLUMNS_MAX = 8;
/** A batch ends with the first key beyond: long values must not fill memory. */
export const BATCH_BYTES = 1_048_576;
/** What a batch starts with for each row; it grows by doubling. */
const BYTES_A_ROW = 32;
const LENGTH_BYTES = 4;
/** UTF-8 of a UTF-16 code unit, at most. */
const UTF8_BYTES_MAX = 3;

const ENCODER = new TextEncoder();
/** A byte order mark is a character like others. */
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });
const DIGEST_LABEL = ENCODER.encode('weir/psi/join-key/v1');

/** Rows read so far: `rows` = `keys` + `nulls` + `malformed`. */
export interface KeyTally {
  rows: number;
  keys: number;
  nulls: number;
  malformed: number;
}

/**
 * Composite keys: each value in canonical form behind its type and its length, so that no two keys
 * share an encoding ("ab" + "c" is not "a" + "bc", and text "1" is not the number 1).
 */
export interface KeyBatch {
  /** One key behind the other. Secret. */
  readonly keys: Uint8Array;
  /** Where in `keys` each of them ends. */
  readonly ends: Uint32Array;
}

/**
 * Keys of some rows; rows without a key are left out and counted in `tally`.
 * @param rows - a value for each column; what stands behind these is not looked at.
 * @param onKey - told the index within `rows` of each row that has a key, in order.
 */
export function* encodeKeys(
  columns: readonly KeyColumn[],
  rows: readonly (readonly (string | null)[])[],
  tally: KeyTally,
  onKey?: (index: number) => void,
): Generator<KeyBatch, void, undefined> {
  if (columns.length < 1 || columns.length > KEY_COLUMNS_MAX) throw wrongColumns();
  let writer = new KeyWriter(columns, rows.length);
  for (let index = 0; index < rows.length; index++) {
    tally.rows += 1;
    const gap = writer.add(rows[index] ?? []);
    if (gap === 'null') tally.nulls += 1;
    else if (gap === 'malformed') tally.malformed += 1;
    else {
      tally.keys += 1;
      onKey?.(index);
    }
    if (writer.sizeBytes < BATCH_BYTES) continue;
    yield writer.batch();
    writer = new KeyWriter(columns, rows.length - index - 1);
  }
  if (writer.sizeBytes > 0) yield writer.batch();
}

/**
 * Digests of keys, `DIGEST_BYTES` each.
 * @param context - the run's context: digests of one run compare with those of no other.
 */
export function digestKeys(
  hash: Pick<HashPrimitive, 'sha256Each'>,
  context: Uint8Array,
  { keys, ends }: KeyBatch,
): Uint8Array {
  if (context.length !== CONTEXT_BYTES) {
    throw new ProtocolError('parameter-invalid', `the context has ${CONTEXT_BYTES} bytes`);
  }
  return hash.sha256Each(concatBytes([DIGEST_LABEL, context]), keys, ends);
}

/** Where the key that starts at `at` ends. @param columns - how many it has. */
export function keyEnd(keys: Uint8Array, at: number, columns: number): number {
  const view = viewOf(keys);
  let end = at;
  // A type and a value each.
  for (let part = 0; part < 2 * columns; part++) end += LENGTH_BYTES + view.getUint32(end);
  return end;
}

/** The values of an encoded key, in canonical form. */
export function keyValues(key: Uint8Array): string[] {
  const view = viewOf(key);
  const parts: string[] = [];
  for (let at = 0; at < key.length; ) {
    const from = at + LENGTH_BYTES;
    at = from + view.getUint32(at);
    parts.push(DECODER.decode(key.subarray(from, at)));
  }
  return parts.filter((_, part) => part % 2 === 1);
}

/** Encodes the rows of one batch. */
class KeyWriter {
  readonly #columns: readonly KeyColumn[];
  /** What stands before each column's value. */
  readonly #heads: readonly Uint8Array[];
  readonly #ends: Uint32Array;
  #bytes: Uint8Array;
  #count = 0;
  #at = 0;

  constructor(columns: readonly KeyColumn[], rowsMax: number) {
    this.#columns = columns;
    this.#heads = columns.map(({ type }) => lengthPrefixed([type]));
    this.#ends = new Uint32Array(rowsMax);
    this.#bytes = new Uint8Array(Math.min(rowsMax * BYTES_A_ROW, BATCH_BYTES));
  }

  /** Bytes of the keys so far. */
  get sizeBytes(): number {
    return this.#at;
  }

  /** Adds a row's key, or says why it has none. */
  add(row: readonly (string | null)[]): KeyGap | undefined {
    if (row.length < this.#columns.length) throw wrongColumns();
    const start = this.#at;
    let gap: KeyGap | undefined;
    for (let i = 0; i < this.#columns.length; i++) {
      const own = this.#addValue(i, row[i] ?? null);
      // A missing value outranks a malformed one: the row would not join either way.
      if (own !== undefined && gap !== 'null') gap = own;
    }
    if (gap === undefined) this.#ends[this.#count++] = this.#at;
    else this.#at = start;
    return gap;
  }

  batch(): KeyBatch {
    return {
      keys: this.#bytes.subarray(0, this.#at),
      ends: this.#ends.subarray(0, this.#count),
    };
  }

  #addValue(index: number, value: string | null): KeyGap | undefined {
    const [column, head] = [this.#columns[index], this.#heads[index]];
    if (column === undefined || head === undefined) throw wrongColumns();
    if (value === null) return 'null';
    const from = this.#at + head.length + LENGTH_BYTES;
    this.#reserve(from + Math.min(value.length, KEY_VALUE_CHARACTERS_MAX));
    let length = writePlain(column, value, this.#bytes, from);
    if (length === 0) return 'null';
    if (length === NOT_PLAIN) {
      const canonical = canonicalValue(column, value);
      if (typeof canonical !== 'string') return canonical.gap;
      this.#reserve(from + canonical.length * UTF8_BYTES_MAX);
      length = ENCODER.encodeInto(canonical, this.#bytes.subarray(from)).written;
    }
    this.#bytes.set(head, this.#at);
    this.#writeLength(from - LENGTH_BYTES, length);
    this.#at = from + length;
    return undefined;
  }

  #writeLength(at: number, length: number): void {
    this.#bytes[at] = length >>> 24;
    this.#bytes[at + 1] = length >>> 16;
    this.#bytes[at + 2] = length >>> 8;
    this.#bytes[at + 3] = length;
  }

  #reserve(neededBytes: number): void {
    if (neededBytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, neededBytes));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }
}

function wrongColumns(): ProtocolError {
  return new ProtocolError('parameter-invalid', 'a key has 1 to 8 columns and a value for each');
}
