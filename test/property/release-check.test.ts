/** The difference check from a holder's file to the verdict: which tables an exact answer is compared over. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DataSource } from '../../src/catalog/data-source.ts';
import { DatasetRegistrationSchema } from '../../src/catalog/dataset.ts';
import type { ReleaseCells } from '../../src/computations/computation.ts';
import {
  openReleaseBook,
  RELEASE_MIGRATIONS,
  type ReleaseBook,
} from '../../src/domain/release-book.ts';
import { SKETCHED_MAX, sketchesOf } from '../../src/domain/release-check.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../src/domain/sources/engine-limits.ts';
import { openDuckDbSource } from '../../src/domain/sources/duckdb-source.ts';
import { openSqliteStore, type SqliteStore } from '../../src/store/sqlite-store.ts';
import { codeOf, makePlace, SELF, type Place } from '../fixtures/counting.ts';

const WARD = { column: 'ward', labels: ['surgery', 'heart'] };
const AGE = { column: 'age', labels: ['young', 'old'] };
const PARTITIONS = [['ward'], ['ward', 'age']];
type Group = typeof WARD;
interface Person {
  readonly name: string;
  readonly ward: string;
  readonly age: string;
}
/** Forty in each ward, half of them young. */
const EVERYBODY: readonly Person[] = Array.from({ length: 80 }, (_, index) => ({
  name: `p${index}`,
  ward: index < 40 ? 'surgery' : 'heart',
  age: index % 2 === 0 ? 'young' : 'old',
}));
const without = (name: string): readonly Person[] => EVERYBODY.filter((one) => one.name !== name);

const registration = DatasetRegistrationSchema.parse({
  format: 'weir-dataset/1',
  name: 'stays',
  title: { zh: '住院', en: 'Stays' },
  grade: 'general',
  personalInformation: 'none',
  legalBasis: 'test',
  privacyUnit: 'name',
  partitions: PARTITIONS,
  source: { kind: 'duckdb', format: 'csv', files: ['stays.csv'] },
  columns: [
    { name: 'name', type: 'text', usage: [] },
    { name: 'ward', type: 'text', usage: ['group', 'filter'], labels: WARD.labels },
    { name: 'age', type: 'text', usage: ['group', 'filter'], labels: AGE.labels },
  ],
});

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

/** Over groups of both columns or of one; `chosen` ages alone; cells of `withheld` wards stay. */
function releaseOf(
  persons: readonly Person[],
  groups: readonly Group[],
  { chosen, withheld }: { readonly chosen?: string; readonly withheld?: string } = {},
): ReleaseCells {
  const radices = groups.map(({ labels }) => labels.length + 1);
  const cells = radices.reduce((product, radix) => product * radix, 1);
  const counts = new Float64Array(cells);
  const selected = new Uint8Array(cells);
  const map = new Uint8Array(cells);
  for (const person of persons) {
    if (chosen !== undefined && person.age !== chosen) continue;
    const label = (group: Group): string => (group === WARD ? person.ward : person.age);
    const cell = groups.reduce(
      (at, group) => at * (group.labels.length + 1) + group.labels.indexOf(label(group)),
      0,
    );
    counts[cell] = (counts[cell] ?? 0) + 1;
    selected[cell] = 1;
    map[cell] = person.ward === withheld ? 0 : 1;
  }
  return {
    groups,
    chosen: groups.map((group) => (group === AGE && chosen !== undefined ? [chosen] : undefined)),
    radices,
    columns: [],
    selected,
    counts,
    maps: [map],
  };
}

const partsOf = (source: DataSource): Parameters<typeof sketchesOf>[1] => ({
  source,
  key: new Uint8Array(32).fill(7),
  partitions: PARTITIONS,
  namespace: 'units/stays',
  signal: new AbortController().signal,
});

/** Asks for an exact answer from a file with these persons. */
async function ask(
  persons: readonly Person[],
  groups: readonly Group[],
  options?: Parameters<typeof releaseOf>[2],
): Promise<string> {
  const lines = persons.map(({ name, ward, age }) => `${name},${ward},${age}`);
  await writeFile(join(place.directory, 'stays.csv'), `name,ward,age\n${lines.join('\n')}\n`);
  const source = await openDuckDbSource({
    registration,
    directory: place.directory,
    spillDirectory: join(place.directory, 'spill'),
    limits: { ...DEFAULT_ENGINE_LIMITS, threads: 1, memoryMiB: 256 },
  });
  try {
    await source.describe();
    const sketches = await sketchesOf(releaseOf(persons, groups, options), partsOf(source));
    const terms = { self: SELF, parties: 'a b c', threshold: 3, nowMs: 1 };
    return await codeOf(() => book.admit(sketches, terms));
  } finally {
    await source.close();
  }
}

describe('an exact answer about persons', () => {
  it('is compared with what the cells of a finer partition add up to', async () => {
    expect(await ask(EVERYBODY, [WARD, AGE])).toBe('accepted');
    expect(await ask(without('p0'), [WARD])).toBe('cell-too-small');
    expect(await ask(EVERYBODY, [WARD])).toBe('accepted');
  });

  it('is compared with a coarser one, in whatever order its groups are', async () => {
    expect(await ask(EVERYBODY, [WARD])).toBe('accepted');
    expect(await ask(without('p0'), [AGE, WARD])).toBe('cell-too-small');
    expect(await ask(EVERYBODY, [AGE, WARD])).toBe('accepted');
  });

  it('over some labels of a group says nothing of the sums over all of them', async () => {
    expect(await ask(EVERYBODY, [WARD, AGE], { chosen: 'young' })).toBe('accepted');
    // An old person left: no cell that was shown has changed.
    expect(await ask(without('p1'), [WARD])).toBe('accepted');
  });

  it('is compared cell by cell even where the cell is withheld this time', async () => {
    expect(await ask(EVERYBODY, [WARD])).toBe('accepted');
    expect(await ask(without('p0'), [WARD], { withheld: 'surgery' })).toBe('cell-too-small');
  });

  it('gives nothing to add up where one of the cells was withheld', async () => {
    expect(await ask(EVERYBODY, [WARD, AGE], { withheld: 'surgery' })).toBe('accepted');
    expect(await ask(without('p0'), [WARD])).toBe('accepted');
  });

  it('has so many cells at most, before any row is read', async () => {
    const labels = Array.from({ length: SKETCHED_MAX }, (_, index) => String(index));
    const release = { ...releaseOf([], []), groups: [{ column: 'ward', labels }] };
    const wide = { ...release, chosen: [undefined], radices: [SKETCHED_MAX + 1] };
    const unread = (): never => {
      throw new Error('a row was read');
    };
    const source = { unitItems: unread } as unknown as DataSource;
    expect(await codeOf(() => sketchesOf(wide, partsOf(source)))).toBe('too-many-cells');
  });

  it('is not given by a source that cannot tell who is in a cell', async () => {
    const source = {} as DataSource;
    const asked = sketchesOf(releaseOf(EVERYBODY, [WARD]), partsOf(source));
    expect(await codeOf(() => asked)).toBe('query-not-supported');
  });
});
