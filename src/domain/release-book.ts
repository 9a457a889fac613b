/**
 * What a domain remembers of its exact releases: a sketch of who was in each released cell, and of what
 * they contributed. Written before anything of the release is sent, whether or not it then arrives. A
 * new release that differs from any of them by a few persons is refused, across versions, contracts
 * and analysts.
 *
 * One comparison at a time, from reading to writing: of two releases that are close to each other,
 * the second is refused even where both began together. A crash in between leaves sketches of a
 * release that was never sent: it refuses more than it must, never less.
 */
import { createHash } from 'node:crypto';
import { PolicyError } from '../errors.ts';
import { judgeDifference, SKETCH_COUNTERS } from '../disclosure/sketch.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Statement, Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';

export const RELEASE_MIGRATIONS: MigrationList = {
  area: 'domain-releases',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE released_sketch (
  partition_id TEXT NOT NULL, kind TEXT NOT NULL, cell BIGINT NOT NULL, digest TEXT NOT NULL,
  parties TEXT NOT NULL, counters BYTEA NOT NULL, at_ms BIGINT NOT NULL,
  PRIMARY KEY (partition_id, kind, cell, digest, parties))`,
    },
  ],
};

const PAGE_ROWS = 4096;
const BATCH_ROWS = 1024;

/** One kind of sketch of a release's cells: of the units, or of the units with a contribution. */
export interface ReleaseSketches {
  /** Tells tables over the same groups and labels from others. */
  readonly partition: string;
  readonly kind: string;
  /** 256 counters a cell. */
  readonly counters: Int32Array;
  /** 1 a cell that is compared with what was released before. */
  readonly asked: Uint8Array;
  /** 1 a cell that is to be released. */
  readonly released: Uint8Array;
}

export interface ReleaseTerms {
  readonly self: PartyId;
  /** Who takes part: the same cells of other parties tell the parties that differ. */
  readonly parties: string;
  readonly threshold: number;
  readonly nowMs: number;
}

export interface ReleaseBook {
  /**
   * Compares with every earlier release, and remembers this one.
   * @throws PolicyError `cell-too-small`, coarse: it tells neither the cell nor by how much.
   */
  admit(sketches: readonly ReleaseSketches[], terms: ReleaseTerms): Promise<void>;
}

/** @param store - holds `RELEASE_MIGRATIONS`. */
export function openReleaseBook(store: Store): ReleaseBook {
  let last: Promise<unknown> = Promise.resolve();
  return {
    admit(sketches, terms) {
      const before = last;
      const mine = (async (): Promise<void> => {
        await before.catch(() => undefined);
        const fresh: Statement[] = [];
        for (const one of sketches) fresh.push(...(await compared(store, one, terms)));
        for (let at = 0; at < fresh.length; at += BATCH_ROWS) {
          await store.execute(fresh.slice(at, at + BATCH_ROWS));
        }
      })();
      last = mine;
      return mine;
    },
  };
}

/** @returns what to remember of it. @throws PolicyError `cell-too-small` */
async function compared(
  store: Store,
  sketches: ReleaseSketches,
  terms: ReleaseTerms,
): Promise<readonly Statement[]> {
  const { partition, kind, asked, released, counters } = sketches;
  const known = new Set<number>();
  let after: { cell: number; digest: string; parties: string } = {
    cell: -1,
    digest: '',
    parties: '',
  };
  for (;;) {
    const rows = await store.query(
      `SELECT cell, digest, parties, counters FROM released_sketch
       WHERE partition_id = ? AND kind = ?
         AND (cell > ? OR (cell = ? AND (digest > ? OR (digest = ? AND parties > ?))))
       ORDER BY cell, digest, parties LIMIT ?`,
      [
        partition,
        kind,
        after.cell,
        after.cell,
        after.digest,
        after.digest,
        after.parties,
        PAGE_ROWS,
      ],
    );
    for (const row of rows) {
      const cell = Number(row['cell']);
      const parties = String(row['parties']);
      after = { cell, digest: String(row['digest']), parties };
      if (asked[cell] !== 1) continue;
      const earlier = row['counters'];
      if (!(earlier instanceof Uint8Array)) continue;
      const verdict = judgeDifference(differenceFrom(counters, cell, earlier), terms.threshold);
      // The same persons with other parties: the difference is those parties' own.
      const isSame = verdict === 'same' && parties === terms.parties;
      if (verdict === 'close' || (verdict === 'same' && !isSame)) throw tooClose(terms.self);
      if (isSame) known.add(cell);
    }
    if (rows.length < PAGE_ROWS) break;
  }
  return remembered(sketches, terms, known, released);
}

function remembered(
  { partition, kind, counters }: ReleaseSketches,
  terms: ReleaseTerms,
  known: ReadonlySet<number>,
  released: Uint8Array,
): readonly Statement[] {
  const statements: Statement[] = [];
  for (const [cell, isReleased] of released.entries()) {
    if (isReleased !== 1 || known.has(cell)) continue;
    const bytes = encodeCounters(counters, cell);
    const digest = createHash('sha256').update(bytes).digest('hex');
    statements.push({
      sql: `INSERT INTO released_sketch
            (partition_id, kind, cell, digest, parties, counters, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING`,
      params: [partition, kind, cell, digest, terms.parties, bytes, terms.nowMs],
    });
  }
  return statements;
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

/** The estimate of `estimatedDifference`, from stored counters. */
export function differenceFrom(counters: Int32Array, cell: number, stored: Uint8Array): number {
  const isWide = stored.length === SKETCH_COUNTERS * 4;
  // A row's bytes may begin anywhere in their buffer.
  const aligned = stored.byteOffset % 4 === 0 ? stored : stored.slice();
  const { buffer, byteOffset } = aligned;
  const earlier =
    stored.length === 0
      ? undefined
      : isWide
        ? new Int32Array(buffer, byteOffset, SKETCH_COUNTERS)
        : new Int16Array(buffer, byteOffset, SKETCH_COUNTERS);
  const from = cell * SKETCH_COUNTERS;
  let sum = 0;
  for (let counter = 0; counter < SKETCH_COUNTERS; counter += 1) {
    const difference = (counters[from + counter] ?? 0) - (earlier?.[counter] ?? 0);
    sum += difference * difference;
  }
  return sum / SKETCH_COUNTERS;
}

function tooClose(party: PartyId): PolicyError {
  return new PolicyError('cell-too-small', 'The answer is too close to one given before.', {
    party,
    rule: 'difference of exact answers',
    remedy: 'Ask again once more of the data has changed, or for a noised answer.',
    dependedOnRows: true,
  });
}
