/**
 * How an officer brings counters that were rolled back into force again: forward only. Statements
 * that witnesses kept restore the counts exactly; for each number without a statement one run is
 * counted against every contract that may have had it.
 */
import { InputError, StateError, assertInvariant } from '../errors.ts';
import { spendHash, verifySpend } from '../contracts/spend.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Statement, Store } from '../store/store.ts';
import type { PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { Anchor, SpendHead } from './anchor.ts';
import { readGaps, readHead, restoredStatements, spendHashAt } from './counter-rows.ts';
import type { HeadRow } from './counter-rows.ts';

/** Statements taken in one go. */
export const ACCEPT_STATEMENTS_MAX = 100_000;

export interface RollbackView {
  /** Where the store's history ends. */
  readonly head: SpendHead;
  /** The highest number that the anchor or a statement names. */
  readonly highestSeq: number;
  /** Numbers for which nobody has a statement that fits the store's history. */
  readonly lostRuns: number;
}

export interface AcceptOptions {
  readonly store: Store;
  readonly anchor: Anchor;
  readonly self: PartyId;
  readonly identity: KeyPair;
  /** Own statements that witnesses kept, in any order. */
  readonly statements: readonly SignedSpend[];
  readonly nowMs: number;
  /** Written with the acceptance where numbers are lost: what else they may have stood for. */
  readonly ofLoss: readonly Statement[];
  /**
   * Written where runs were counted past the store's history, lost or known: what runs leave in the store
   * besides their count, no statement brings back.
   */
  readonly ofForgotten: readonly Statement[];
}

/** Those that the store does not have as they are, in their order. */
export async function unknownTo(
  store: Store,
  statements: readonly SignedSpend[],
): Promise<SignedSpend[]> {
  const unknown: SignedSpend[] = [];
  for (const signed of statements) {
    const own = await spendHashAt(store, signed.spend.seq);
    if (own !== spendHash(signed.spend)) unknown.push(signed);
  }
  return unknown;
}

/**
 * What accepting would mean, for the officer to read first.
 * @throws IdentityError `signature-invalid`; StateError `history-rolled-back` where nothing was
 */
export async function viewRollback(options: AcceptOptions): Promise<RollbackView> {
  const { head, highestSeq, lostRuns } = await plan(options);
  return { head: { seq: head.seq, hash: head.hash }, highestSeq, lostRuns };
}

/**
 * Accepts, in one transaction: takes in the statements, counts what is lost, moves the chain past
 * every number that may have been used.
 * @param lostRuns - as `viewRollback` told; another number is refused, so nobody accepts unread.
 * @throws InputError `parameter-invalid`; IdentityError `signature-invalid`
 */
export async function acceptRollback(options: AcceptOptions, lostRuns: number): Promise<SpendHead> {
  const { store, anchor, self, nowMs } = options;
  const planned = await plan(options);
  if (planned.lostRuns !== lostRuns) {
    throw new InputError('parameter-invalid', 'Another number of runs is lost.', {
      rule: 'the officer states the number of lost runs',
      remedy: `State ${planned.lostRuns}.`,
    });
  }
  const { head, highestSeq, firstUnsureSeq, restored } = planned;
  const statements: Statement[] = restored.flatMap((signed) =>
    restoredStatements(signed, spendHash(signed.spend)),
  );
  // The acceptance takes a number of its own: no witness has seen it, so none can contradict it.
  const next: SpendHead = {
    seq: highestSeq + 1,
    hash: canonicalHash({
      format: 'weir-spend-acceptance/1',
      party: self,
      after: head.hash,
      nowMs,
    }),
  };
  if (lostRuns > 0) statements.push(...options.ofLoss);
  if (lostRuns + restored.length > 0) statements.push(...options.ofForgotten);
  statements.push(
    {
      sql: 'INSERT INTO spend_gap (from_seq, to_seq, runs, accepted_at_ms) VALUES (?, ?, ?, ?)',
      params: [firstUnsureSeq, next.seq, lostRuns, nowMs],
    },
    {
      sql: `UPDATE spend_head SET seq = ?, hash = ?, at_ms = ?, rolled_back = NULL
            WHERE id = 1 AND seq = ? AND hash = ? AND rolled_back IS NOT NULL`,
      params: [next.seq, next.hash, Math.max(nowMs, head.atMs), head.seq, head.hash],
      expectChanges: 1,
    },
  );
  await store.execute(statements);
  await anchor.write(next);
  return next;
}

interface Plan {
  readonly head: HeadRow;
  readonly highestSeq: number;
  readonly firstUnsureSeq: number;
  readonly lostRuns: number;
  readonly restored: readonly SignedSpend[];
}

async function plan(options: AcceptOptions): Promise<Plan> {
  const { store, anchor, identity } = options;
  if (options.statements.length > ACCEPT_STATEMENTS_MAX) {
    throw new InputError('set-too-large', 'Too many statements at once.', {
      rule: `at most ${ACCEPT_STATEMENTS_MAX}`,
    });
  }
  const head = await readHead(store);
  assertInvariant(head !== undefined, 'the counters have a head');
  if (head.rolledBack === undefined) {
    throw new StateError(
      'already-exists',
      'The counters are in force; there is nothing to accept.',
    );
  }
  const gaps = await readGaps(store);
  const isAccepted = (seq: number): boolean =>
    gaps.some(({ fromSeq, toSeq }) => fromSeq <= seq && seq <= toSeq);
  const bySeq = new Map<number, SignedSpend>();
  let forkSeq = Number.POSITIVE_INFINITY;
  for (const signed of options.statements) {
    const hash = verifySpend(signed, identity.publicKey);
    const { seq } = signed.spend;
    // Another branch, whose runs an acceptance counted before.
    if (isAccepted(seq)) continue;
    const own = seq <= head.seq ? await spendHashAt(store, seq) : undefined;
    if (seq <= head.seq && own !== hash) forkSeq = Math.min(forkSeq, seq);
    if (seq > head.seq) bySeq.set(seq, signed);
  }
  const anchored = await anchor.read();
  const isAnchored = anchored !== undefined && anchored.seq > 0 && !isAccepted(anchored.seq);
  if (isAnchored && anchored.seq <= head.seq) {
    const own = anchored.seq === head.seq ? head.hash : await spendHashAt(store, anchored.seq);
    if (own !== anchored.hash) forkSeq = Math.min(forkSeq, anchored.seq);
  }
  const highestSeq = Math.max(head.seq, anchored?.seq ?? 0, ...highest(bySeq));
  // Of a history that branched, every number since the branch may have been used twice.
  const firstUnsureSeq = Math.min(forkSeq, head.seq + 1);
  const restored = [...bySeq.values()].toSorted((a, b) => a.spend.seq - b.spend.seq);
  const lostRuns = highestSeq - firstUnsureSeq + 1 - restored.length;
  return { head, highestSeq, firstUnsureSeq, lostRuns, restored };
}

function highest(bySeq: ReadonlyMap<number, SignedSpend>): readonly number[] {
  let most = 0;
  for (const seq of bySeq.keys()) most = Math.max(most, seq);
  return [most];
}
