/**
 * The difference check of an exact answer about persons, from its suppression maps to the sketches
 * that are compared: over its own cells, and over those that its cells and another partition's add
 * up to alike.
 */
import type { AggregateQuery, DataSource } from '../catalog/data-source.ts';
import type { ReleaseCells } from '../computations/computation.ts';
import { InputError } from '../errors.ts';
import { cellPlaces } from '../disclosure/noise-vector.ts';
import { projectedMap, sharedGroups } from '../disclosure/projection.ts';
import { SKETCH_COUNTERS, sketcher } from '../disclosure/sketch.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { ReleaseSketches } from './release-book.ts';

/** Cells times kinds of one release: 128 MiB of counters. */
export const SKETCHED_MAX = 131_072;

export interface ReleaseCheckParts {
  readonly source: DataSource;
  /** Secret: 32 bytes. */
  readonly key: Uint8Array;
  /** The sets of groups that this dataset answers exactly. */
  readonly partitions: readonly (readonly string[])[];
  readonly namespace: string;
  readonly signal: AbortSignal;
}

/**
 * Sketches of a release, a table at a time.
 * @throws InputError `too-many-cells`, `query-not-supported`
 */
export async function sketchesOf(
  release: ReleaseCells,
  parts: ReleaseCheckParts,
): Promise<readonly ReleaseSketches[]> {
  const groups = release.groups.map(({ column }) => column);
  const all: ReleaseSketches[] = [];
  for (const shared of sharedGroups(groups, parts.partitions)) {
    const keep = groups.map((group) => shared.includes(group));
    // Labels left out of a dropped group leave the sum over it unknown.
    const isWhole = keep.every((kept, index) => kept || release.chosen[index] === undefined);
    if (isWhole) all.push(...(await sketchTable(release, keep, parts)));
  }
  return all;
}

async function sketchTable(
  release: ReleaseCells,
  keep: readonly boolean[],
  parts: ReleaseCheckParts,
): Promise<readonly ReleaseSketches[]> {
  const { source, key, signal, namespace } = parts;
  const kinds = ['unit', ...release.columns.map(({ column, scale }) => `value/${column}/${scale}`)];
  const kept = release.groups
    .map((dictionary, index) => ({ dictionary, chosen: release.chosen[index] }))
    .filter((_, index) => keep[index] === true);
  const query: AggregateQuery = {
    groups: kept.map(({ dictionary }) => dictionary),
    chosen: kept.map(({ chosen }) => chosen),
    sums: release.columns.map((column) => ({ ...column, squares: true })),
  };
  const radices = query.groups.map(({ labels }) => labels.length + 1);
  const cells = radices.reduce((product, radix) => product * radix, 1);
  if (cells * kinds.length > SKETCHED_MAX) throw tooManyCells();
  if (source.unitItems === undefined) throw notOffered();
  const sketchers = kinds.map(() => sketcher(key, cells));
  await source.unitItems(
    query,
    ({ cells: itemCells, items }) => {
      for (const [kind, one] of sketchers.entries()) {
        one.add(items[kind] ?? new Uint8Array(), itemCells);
      }
    },
    signal,
  );
  const names = query.groups.map(({ column }) => column);
  const order = cellPlaces(names, radices, names.toSorted());
  const partition = canonicalHash({
    namespace,
    groups: query.groups.toSorted((a, b) => (a.column < b.column ? -1 : 1)),
  });
  const isOwn = keep.every(Boolean);
  return kinds.map((kind, index) => {
    const permitted = release.maps[index] ?? new Uint8Array(release.counts.length);
    const table = { radices: release.radices, counts: release.counts, permitted };
    const released = isOwn ? permitted : projectedMap(table, keep);
    // Own cells are compared even where they are withheld now: that says how they have changed.
    const asked = isOwn ? release.selected : released;
    return {
      partition,
      kind,
      counters: reordered(sketchers[index]?.finish().counters ?? new Int32Array(), order),
      asked: reorderedMap(asked, order),
      released: reorderedMap(released, order),
    };
  });
}

function reorderedMap(map: Uint8Array, order: Uint32Array | undefined): Uint8Array {
  return order === undefined ? map : Uint8Array.from(order, (cell) => map[cell] ?? 0);
}

function reordered(counters: Int32Array, order: Uint32Array | undefined): Int32Array {
  if (order === undefined) return counters;
  const out = new Int32Array(counters.length);
  for (const [to, from] of order.entries()) {
    const at = from * SKETCH_COUNTERS;
    out.set(counters.subarray(at, at + SKETCH_COUNTERS), to * SKETCH_COUNTERS);
  }
  return out;
}

function tooManyCells(): InputError {
  return new InputError('too-many-cells', 'An exact answer about persons has too many cells.', {
    rule: `cells × (1 + measured columns) at most ${SKETCHED_MAX}`,
    remedy: 'Fewer groups or labels, fewer measures, or a noised answer.',
  });
}

function notOffered(): InputError {
  return new InputError(
    'query-not-supported',
    'This source gives no exact answers about persons.',
    {
      rule: 'differences of exact answers are checked',
      remedy: 'Ask for a noised answer.',
    },
  );
}
