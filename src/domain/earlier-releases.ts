/**
 * Sketches of earlier releases as the difference check reads them: from the store, or from memory
 * where they were read before. This process is the only one that writes them.
 */
import { SKETCH_COUNTERS } from '../disclosure/sketch.ts';
import type { Store } from '../store/store.ts';

/** What is kept in memory of sketches read before, in all. */
export const KEPT_BYTES_MAX: number = 64 * 2 ** 20;
const PAGE_ROWS = 4096;
/** Tables that a start looks at; each is a query. */
const WARMED_TABLES_MAX = 1000;

/** A cell of an earlier release. */
export interface EarlierCell {
  readonly cell: number;
  readonly parties: string;
  /** Undefined for a cell that held nobody. */
  readonly counters: Int16Array | Int32Array | undefined;
}

export interface EarlierReleases {
  /** Every earlier cell of a table and kind, to `take` one by one. */
  each(partition: string, kind: string, take: (earlier: EarlierCell) => void): Promise<void>;
  /** Reads what fits into memory, the tables of the latest releases first; nothing may be written meanwhile. */
  warm(): Promise<void>;
  /** Cells that have been written since. */
  written(partition: string, kind: string, cells: readonly EarlierCell[]): void;
  /** A write failed, or may have: what is in memory may not be what is stored. */
  forget(): void;
}

/**
 * @param store - holds `RELEASE_MIGRATIONS`.
 * @param keptBytesMax - what is kept in memory, whatever is stored and however it is asked for.
 */
export function earlierReleases(
  store: Store,
  keptBytesMax: number = KEPT_BYTES_MAX,
): EarlierReleases {
  const kept = new Map<string, EarlierCell[]>();
  let keptBytes = 0;
  const nameOf = (partition: string, kind: string): string => `${partition}\0${kind}`;
  const forget = (): void => {
    kept.clear();
    keptBytes = 0;
  };
  const each: EarlierReleases['each'] = async (partition, kind, take) => {
    const name = nameOf(partition, kind);
    const known = kept.get(name);
    if (known !== undefined) {
      for (const earlier of known) take(earlier);
      return;
    }
    let read: EarlierCell[] | undefined = [];
    let readBytes = 0;
    await readAll(store, partition, kind, (earlier) => {
      take(earlier);
      readBytes += sizeOf(earlier);
      if (readBytes > keptBytesMax) read = undefined;
      else read?.push(earlier);
    });
    if (read === undefined) return;
    if (keptBytes + readBytes > keptBytesMax) forget();
    kept.set(name, read);
    keptBytes += readBytes;
  };
  return {
    each,
    async warm() {
      const tables = await store.query(
        `SELECT partition_id, kind, SUM(64 + LENGTH(counters)) AS size_bytes FROM released_sketch
         GROUP BY partition_id, kind ORDER BY MAX(at_ms) DESC LIMIT ?`,
        [WARMED_TABLES_MAX],
      );
      for (const row of tables) {
        const fits = keptBytes + Number(row['size_bytes']) <= keptBytesMax;
        if (fits) await each(String(row['partition_id']), String(row['kind']), () => undefined);
      }
    },
    written(partition, kind, cells) {
      const known = kept.get(nameOf(partition, kind));
      if (known === undefined) return;
      for (const earlier of cells) {
        known.push(earlier);
        keptBytes += sizeOf(earlier);
      }
      if (keptBytes > keptBytesMax) forget();
    },
    forget,
  };
}

async function readAll(
  store: Store,
  partition: string,
  kind: string,
  take: (earlier: EarlierCell) => void,
): Promise<void> {
  let [cell, digest, after] = [-1, '', ''];
  for (;;) {
    const rows = await store.query(
      `SELECT cell, digest, parties, counters FROM released_sketch
       WHERE partition_id = ? AND kind = ?
         AND (cell > ? OR (cell = ? AND (digest > ? OR (digest = ? AND parties > ?))))
       ORDER BY cell, digest, parties LIMIT ?`,
      [partition, kind, cell, cell, digest, digest, after, PAGE_ROWS],
    );
    for (const row of rows) {
      [cell, digest, after] = [Number(row['cell']), String(row['digest']), String(row['parties'])];
      const bytes = row['counters'];
      const counters = bytes instanceof Uint8Array ? decodeCounters(bytes) : undefined;
      take({ cell, parties: after, counters });
    }
    if (rows.length < PAGE_ROWS) return;
  }
}

/** 16-bit counters where all fit, else 32-bit; none at all for an empty cell. */
export function encodeCounters(counters: Int32Array, cell: number): Uint8Array {
  const own = counters.subarray(cell * SKETCH_COUNTERS, (cell + 1) * SKETCH_COUNTERS);
  let most = 0;
  for (const counter of own) most = Math.max(most, Math.abs(counter));
  if (most === 0) return new Uint8Array();
  const packed = most < 2 ** 15 ? Int16Array.from(own) : Int32Array.from(own);
  return new Uint8Array(packed.buffer);
}

/** @see encodeCounters */
export function decodeCounters(bytes: Uint8Array): EarlierCell['counters'] {
  if (bytes.length === 0) return undefined;
  // A row's bytes may begin anywhere in their buffer.
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return bytes.length === SKETCH_COUNTERS * 4
    ? new Int32Array(buffer, byteOffset, SKETCH_COUNTERS)
    : new Int16Array(buffer, byteOffset, SKETCH_COUNTERS);
}

/** The estimate of `estimatedDifference` between a cell of a new release and an earlier one. */
export function differenceFrom(
  counters: Int32Array,
  cell: number,
  earlier: EarlierCell['counters'],
): number {
  const own = counters.subarray(cell * SKETCH_COUNTERS, (cell + 1) * SKETCH_COUNTERS);
  // A loop for each width: one over both would be several times slower.
  if (earlier === undefined) return squares(own, EMPTY) / SKETCH_COUNTERS;
  const sum = earlier instanceof Int16Array ? squares16(own, earlier) : squares(own, earlier);
  return sum / SKETCH_COUNTERS;
}

const EMPTY = new Int32Array(SKETCH_COUNTERS);

function squares(own: Int32Array, earlier: Int32Array): number {
  let sum = 0;
  for (let counter = 0; counter < SKETCH_COUNTERS; counter += 1) {
    const difference = (own[counter] ?? 0) - (earlier[counter] ?? 0);
    sum += difference * difference;
  }
  return sum;
}

function squares16(own: Int32Array, earlier: Int16Array): number {
  let sum = 0;
  for (let counter = 0; counter < SKETCH_COUNTERS; counter += 1) {
    const difference = (own[counter] ?? 0) - (earlier[counter] ?? 0);
    sum += difference * difference;
  }
  return sum;
}

function sizeOf({ counters }: EarlierCell): number {
  return 64 + (counters?.byteLength ?? 0);
}
