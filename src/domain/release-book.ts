/**
 * What a domain remembers of its exact releases: a sketch of who was in each released cell, and of what
 * they contributed. Written before anything of the release is sent, whether or not it then arrives. A
 * new release that differs from any of them by a few persons is refused, across versions, contracts
 * and analysts.
 *
 * One comparison at a time, from reading to writing: of two releases that are close to each other,
 * the second is refused even where both began together. A crash in between leaves sketches of a
 * release that was never sent: it refuses more than it must, never less.
 *
 * Where a store was rolled back past runs, any of them may have released something that nobody
 * remembers, though witnesses gave back its count: no exact answer about persons any more once an
 * officer has accepted that, until the holder states in its configuration that it takes that risk.
 */
import { createHash } from 'node:crypto';
import { PolicyError, StateError } from '../errors.ts';
import { judgeDifference } from '../disclosure/sketch.ts';
import type { MigrationList } from '../store/migrations.ts';
import type { Statement, Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';
import {
  decodeCounters,
  differenceFrom,
  type EarlierCell,
  type EarlierReleases,
  earlierReleases,
  encodeCounters,
} from './earlier-releases.ts';

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
    { number: 2, sql: 'CREATE TABLE release_loss (at_ms BIGINT NOT NULL)' },
  ],
};

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
   * @throws PolicyError `cell-too-small`, coarse: it tells neither the cell nor by how much;
   *   StateError `history-rolled-back` where releases may have been forgotten.
   */
  admit(sketches: readonly ReleaseSketches[], terms: ReleaseTerms): Promise<void>;
  /** Reads earlier releases before the first is compared with them; a comparison waits for it. */
  warm(): Promise<void>;
}

/**
 * @param store - holds `RELEASE_MIGRATIONS`.
 * @param lossesAccepted - how many accepted rollbacks the holder answers exactly in spite of.
 */
export function openReleaseBook(store: Store, lossesAccepted = 0): ReleaseBook {
  const earlier = earlierReleases(store);
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const mine = last.catch(() => undefined).then(work);
    last = mine;
    return mine;
  };
  return {
    admit: (sketches, terms) =>
      inTurn(async () => {
        await refuseAfterLoss(store, lossesAccepted, terms.self);
        const known: ReadonlySet<number>[] = [];
        for (const one of sketches) known.push(await compared(earlier, one, terms));
        for (const [index, one] of sketches.entries()) {
          await remember(store, earlier, one, terms, known[index] ?? new Set());
        }
      }),
    warm: () => inTurn(() => earlier.warm()),
  };
}

/** Written with an officer's acceptance of counters that were rolled back past runs. */
export function lostReleases(nowMs: number): Statement {
  return { sql: 'INSERT INTO release_loss (at_ms) VALUES (?)', params: [nowMs] };
}

async function refuseAfterLoss(store: Store, accepted: number, party: PartyId): Promise<void> {
  const [row] = await store.query('SELECT COUNT(*) AS losses FROM release_loss');
  const losses = Number(row?.['losses'] ?? 0);
  if (losses <= accepted) return;
  throw new StateError(
    'history-rolled-back',
    'What was answered exactly before may be forgotten.',
    {
      party,
      rule: 'difference of exact answers',
      remedy: `Ask for a noised answer, or the holder sets releaseLossesAccepted to ${losses}.`,
    },
  );
}

/** @returns the cells that are remembered as they are. @throws PolicyError `cell-too-small` */
async function compared(
  earlier: EarlierReleases,
  { partition, kind, asked, counters }: ReleaseSketches,
  terms: ReleaseTerms,
): Promise<ReadonlySet<number>> {
  const known = new Set<number>();
  let isClose = false;
  await earlier.each(partition, kind, ({ cell, parties, counters: before }) => {
    if (asked[cell] !== 1) return;
    const verdict = judgeDifference(differenceFrom(counters, cell, before), terms.threshold);
    if (verdict === 'apart') return;
    // The same persons with other parties: the difference is those parties' own.
    if (verdict === 'close' || parties !== terms.parties) isClose = true;
    else known.add(cell);
  });
  if (isClose) throw tooClose(terms.self);
  return known;
}

async function remember(
  store: Store,
  earlier: EarlierReleases,
  { partition, kind, counters, released }: ReleaseSketches,
  { parties, nowMs }: ReleaseTerms,
  known: ReadonlySet<number>,
): Promise<void> {
  const cells: EarlierCell[] = [];
  const statements: Statement[] = [];
  for (const [cell, isReleased] of released.entries()) {
    if (isReleased !== 1 || known.has(cell)) continue;
    const bytes = encodeCounters(counters, cell);
    const digest = createHash('sha256').update(bytes).digest('hex');
    statements.push({
      sql: `INSERT INTO released_sketch
            (partition_id, kind, cell, digest, parties, counters, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING`,
      params: [partition, kind, cell, digest, parties, bytes, nowMs],
    });
    cells.push({ cell, parties, counters: decodeCounters(bytes) });
  }
  try {
    for (let at = 0; at < statements.length; at += BATCH_ROWS) {
      await store.execute(statements.slice(at, at + BATCH_ROWS));
    }
  } catch (error) {
    earlier.forget();
    throw error;
  }
  earlier.written(partition, kind, cells);
}

function tooClose(party: PartyId): PolicyError {
  return new PolicyError('cell-too-small', 'The answer is too close to one given before.', {
    party,
    rule: 'difference of exact answers',
    remedy: 'Ask again once more of the data has changed, or for a noised answer.',
    dependedOnRows: true,
  });
}
