/** Earlier exact releases on a real store, and which later ones are refused. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectedMap, sharedGroups } from '../../src/disclosure/projection.ts';
import { ITEM_BYTES, SKETCH_COUNTERS, sketcher } from '../../src/disclosure/sketch.ts';
import {
  decodeCounters,
  differenceFrom,
  encodeCounters,
} from '../../src/domain/earlier-releases.ts';
import {
  lostReleases,
  openReleaseBook,
  RELEASE_MIGRATIONS,
  type ReleaseBook,
} from '../../src/domain/release-book.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { codeOf, makePlace, SELF, type Place } from '../fixtures/counting.ts';
import { faultyStore, makeFaults } from '../fixtures/faulty.ts';

let place: Place;
let store: SqliteStore;
let book: ReleaseBook;
beforeEach(async () => {
  place = await makePlace();
  store = await openSqliteStore({ file: place.databaseFile, migrations: [RELEASE_MIGRATIONS] });
  book = openReleaseBook(store);
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

/** Counters of cells, each a list of persons by number. */
function countersOf(cells: readonly (readonly number[])[]): Int32Array {
  const work = sketcher(new Uint8Array(32).fill(5), cells.length);
  for (const [cell, persons] of cells.entries()) {
    const items = new Uint8Array(persons.length * ITEM_BYTES);
    const view = new DataView(items.buffer);
    for (const [at, person] of persons.entries()) view.setUint32(at * ITEM_BYTES + 8, person);
    work.add(items, new Uint32Array(persons.length).fill(cell));
  }
  return work.finish().counters;
}

const people = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

describe('a start', () => {
  it('reads earlier releases before the first comparison, which finds them all', async () => {
    expect(await admit([people(50)])).toBe('accepted');
    const asked: string[] = [];
    const looking = {
      ...store,
      query: (sql: string, params?: Parameters<SqliteStore['query']>[1]) => {
        asked.push(sql);
        return store.query(sql, params);
      },
    };
    book = openReleaseBook(looking);
    const warming = book.warm();
    // Asked before it is through: it waits.
    const close = admit([people(49)]);
    await warming;
    const before = asked.filter((sql) => sql.includes('counters FROM')).length;
    expect(before).toBe(1);
    expect(await close).toBe('cell-too-small');
    expect(await admit([people(50)])).toBe('accepted');
    expect(asked.filter((sql) => sql.includes('counters FROM'))).toHaveLength(before);
  });
});

async function admit(
  cells: readonly (readonly number[])[],
  { parties = 'a b c', released = cells.map(() => 1), threshold = 3 } = {},
): Promise<string> {
  const map = Uint8Array.from(released);
  const sketches = {
    partition: 'p',
    kind: 'unit',
    counters: countersOf(cells),
    asked: new Uint8Array(cells.length).fill(1),
    released: map,
  };
  return codeOf(() => book.admit([sketches], { self: SELF, parties, threshold, nowMs: 1 }));
}

describe('the difference check', () => {
  it('refuses what differs by a few from any earlier release, whoever asks, and remembers across restarts', async () => {
    expect(await admit([people(20), people(30)])).toBe('accepted');
    expect(await admit([people(20), people(30)])).toBe('accepted');
    expect(await admit([people(19), people(30)])).toBe('cell-too-small');
    expect(await admit([people(20), people(32)])).toBe('cell-too-small');
    expect(await admit([people(20), people(45)])).toBe('accepted');
    book = openReleaseBook(store);
    // Far from the latest, close to the first.
    expect(await admit([people(20), people(31)])).toBe('cell-too-small');
    expect(await admit([people(20), people(44)])).toBe('cell-too-small');
  });

  it('answers nothing exactly where releases may be forgotten, until the holder accepts that', async () => {
    expect(await admit([people(20)])).toBe('accepted');
    await store.execute([lostReleases(2)]);
    expect(await admit([people(20)])).toBe('history-rolled-back');
    book = openReleaseBook(store, 1);
    expect(await admit([people(20)])).toBe('accepted');
    await store.execute([lostReleases(3)]);
    expect(await admit([people(20)])).toBe('history-rolled-back');
  });

  it('knows a cell that held nobody', async () => {
    expect(await admit([[], people(30)])).toBe('accepted');
    expect(await admit([[7], people(30)])).toBe('cell-too-small');
  });

  it('compares cells that are withheld now with what they were, and remembers only released ones', async () => {
    expect(await admit([people(5), people(30)], { released: [0, 1] })).toBe('accepted');
    expect(await admit([people(4), people(30)], { released: [0, 1] })).toBe('accepted');
    expect(await admit([people(3), people(30)])).toBe('accepted');
    expect(await admit([people(2), people(30)], { released: [0, 1] })).toBe('cell-too-small');
  });

  it('refuses the same persons with other parties', async () => {
    expect(await admit([people(20)])).toBe('accepted');
    expect(await admit([people(20)], { parties: 'a b' })).toBe('cell-too-small');
  });

  it('of two close releases at once admits one', async () => {
    const outcomes = await Promise.all([admit([people(20)]), admit([people(21)])]);
    expect(outcomes.toSorted()).toEqual(['accepted', 'cell-too-small']);
  });

  it('knows a release that was stored though its write was reported failed', async () => {
    const faults = makeFaults();
    book = openReleaseBook(faultyStore(store, faults));
    expect(await admit([people(20)])).toBe('accepted');
    faults.arm(0, 'after');
    expect(await admit([people(60)])).toBe('store-unavailable');
    faults.recover();
    expect(await admit([people(61)])).toBe('cell-too-small');
    expect(await admit([people(90)])).toBe('accepted');
  });

  it('looks at every earlier release, page after page', async () => {
    const wide = Array.from({ length: 2100 }, (_, cell) => people(8, cell * 100));
    expect(await admit(wide)).toBe('accepted');
    expect(await admit(wide.map((persons) => persons.map((one) => one + 40)))).toBe('accepted');
    expect(await admit(wide.map((persons) => persons.map((one) => one + 80)))).toBe('accepted');
    // Read again by a book that has nothing in memory yet.
    book = openReleaseBook(store);
    const last = wide.with(2099, people(7, 209_900));
    expect(await admit(last)).toBe('cell-too-small');
  });

  it('stores counters of any size without loss', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 100, 40_000, 2 ** 30),
        fc.array(fc.integer(), { minLength: SKETCH_COUNTERS, maxLength: SKETCH_COUNTERS }),
        (most, raw) => {
          const counters = Int32Array.from(raw, (value) => (most === 0 ? 0 : value % most));
          const stored = decodeCounters(encodeCounters(counters, 0));
          expect(differenceFrom(counters, 0, stored)).toBe(0);
          const [first = 0] = counters;
          const other = counters.with(0, first + 16);
          expect(differenceFrom(other, 0, stored)).toBe(1);
        },
      ),
    );
  });
});

describe('tables that cells add up to', () => {
  it('are those over groups shared with another partition, and the release’s own', () => {
    const partitions = [['a'], ['b', 'a'], ['c'], ['b', 'c']];
    expect(sharedGroups(['a', 'b'], partitions)).toEqual([['a', 'b'], ['a'], [], ['b']]);
    expect(sharedGroups(['a', 'b'], [])).toEqual([['a', 'b']]);
  });

  it('have a cell exactly where every filled cell that adds to it is released', () => {
    const radices = [2, 3];
    const counts = Float64Array.of(5, 5, 0, 5, 5, 5);
    const permitted = Uint8Array.of(1, 1, 0, 1, 0, 1);
    const table = { radices, counts, permitted };
    expect([...projectedMap(table, [true, false])]).toEqual([1, 0]);
    expect([...projectedMap(table, [false, true])]).toEqual([1, 0, 1]);
    expect([...projectedMap(table, [false, false])]).toEqual([0]);
    expect([...projectedMap(table, [true, true])]).toEqual([1, 1, 1, 1, 0, 1]);
  });
});
