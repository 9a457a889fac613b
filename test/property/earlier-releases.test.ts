/** What a domain keeps in memory of its earlier releases, on a real store: bounded, and never wrong. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SKETCH_COUNTERS } from '../../src/disclosure/sketch.ts';
import {
  earlierReleases,
  encodeCounters,
  type EarlierCell,
  type EarlierReleases,
} from '../../src/domain/earlier-releases.ts';
import { RELEASE_MIGRATIONS } from '../../src/domain/release-book.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { makePlace, type Place } from '../fixtures/counting.ts';

let place: Place;
let store: SqliteStore;
/** Reads of a table's cells so far: none where the cells were in memory. */
let reads: number;
let looking: SqliteStore;
beforeEach(async () => {
  place = await makePlace();
  store = await openSqliteStore({ file: place.databaseFile, migrations: [RELEASE_MIGRATIONS] });
  reads = 0;
  looking = {
    ...store,
    query: (sql, params) => {
      if (sql.includes('counters FROM')) reads += 1;
      return store.query(sql, params);
    },
  };
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

/** What a cell of 16-bit counters takes, with what stands beside them. */
const CELL_BYTES = 64 + 2 * SKETCH_COUNTERS;
/** Room for ten cells. */
const BOUND_BYTES = 10 * CELL_BYTES;

const countersOf = (cell: number): Int32Array => new Int32Array(SKETCH_COUNTERS).fill(cell + 1);
const earlier = (cell: number): EarlierCell => ({
  cell,
  parties: 'a b',
  counters: Int16Array.from(countersOf(cell)),
});

/** Stores a table of so many cells, the later the newer. */
async function fill(partition: string, cells: number, first = 0, atMs = 1): Promise<void> {
  await store.execute(
    Array.from({ length: cells }, (_, index) => ({
      sql: `INSERT INTO released_sketch VALUES (?, 'unit', ?, 'digest', 'a b', ?, ?)`,
      params: [partition, first + index, encodeCounters(countersOf(first + index), 0), atMs],
    })),
  );
}

async function cellsOf(releases: EarlierReleases, partition: string): Promise<readonly number[]> {
  const cells: number[] = [];
  await releases.each(partition, 'unit', (found) => {
    expect(found).toEqual(earlier(found.cell));
    cells.push(found.cell);
  });
  return cells;
}

/** Asks for a table; whether it was read from the store. */
async function isRead(
  releases: EarlierReleases,
  partition: string,
  cells: number,
): Promise<boolean> {
  const before = reads;
  expect(await cellsOf(releases, partition)).toEqual(Array.from({ length: cells }, (_, i) => i));
  return reads > before;
}

describe('earlier releases', () => {
  it('are kept in memory up to the bound, and no table beyond it', async () => {
    await fill('fits', 10);
    await fill('beyond', 11);
    const releases = earlierReleases(looking, BOUND_BYTES);
    expect(await isRead(releases, 'fits', 10)).toBe(true);
    expect(await isRead(releases, 'fits', 10)).toBe(false);
    expect(await isRead(releases, 'beyond', 11)).toBe(true);
    expect(await isRead(releases, 'beyond', 11)).toBe(true);
    // One that is not kept pushes nothing out.
    expect(await isRead(releases, 'fits', 10)).toBe(false);
  });

  it('give way to those asked for last, so that all tables together keep the bound', async () => {
    await fill('first', 6);
    await fill('second', 4);
    await fill('third', 1);
    const releases = earlierReleases(looking, BOUND_BYTES);
    await isRead(releases, 'first', 6);
    await isRead(releases, 'second', 4);
    expect(await isRead(releases, 'first', 6)).toBe(false);
    expect(await isRead(releases, 'second', 4)).toBe(false);
    await isRead(releases, 'third', 1);
    expect(await isRead(releases, 'third', 1)).toBe(false);
    expect(await isRead(releases, 'first', 6)).toBe(true);
  });

  it('are read at a start as far as they fit, the latest first', async () => {
    await fill('oldest', 5, 0, 1);
    await fill('small', 3, 0, 2);
    await fill('large', 8, 0, 3);
    await fill('latest', 6, 0, 4);
    const releases = earlierReleases(looking, BOUND_BYTES);
    await releases.warm();
    expect(await isRead(releases, 'latest', 6)).toBe(false);
    expect(await isRead(releases, 'small', 3)).toBe(false);
    expect(await isRead(releases, 'large', 8)).toBe(true);
    expect(await isRead(releases, 'oldest', 5)).toBe(true);
  });

  it('are forgotten where what is written since outgrows the bound, and read anew in full', async () => {
    await fill('grows', 9);
    const releases = earlierReleases(looking, BOUND_BYTES);
    await isRead(releases, 'grows', 9);
    await fill('grows', 1, 9);
    releases.written('grows', 'unit', [earlier(9)]);
    expect(await isRead(releases, 'grows', 10)).toBe(false);
    await fill('grows', 1, 10);
    releases.written('grows', 'unit', [earlier(10)]);
    expect(await isRead(releases, 'grows', 11)).toBe(true);
    expect(await isRead(releases, 'grows', 11)).toBe(true);
  });

  it('of cells that held nobody count too', async () => {
    await store.execute(
      Array.from({ length: 100 }, (_, cell) => ({
        sql: `INSERT INTO released_sketch VALUES ('empty', 'unit', ?, 'digest', 'a b', ?, 1)`,
        params: [cell, new Uint8Array()],
      })),
    );
    const bare = async (bytes: number): Promise<number> => {
      const releases = earlierReleases(looking, bytes);
      await releases.each('empty', 'unit', () => undefined);
      const before = reads;
      await releases.each('empty', 'unit', () => undefined);
      return reads - before;
    };
    expect(await bare(100 * 64)).toBe(0);
    expect(await bare(100 * 64 - 1)).toBe(1);
  });
});
