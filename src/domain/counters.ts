/**
 * The domain's own count of runs: durable, atomic, never given back. A gateway that was taken over
 * can neither run a contract once too often nor run a request twice.
 *
 * A spend is one transaction (chain head, statement, request, counts), then the anchor; only then
 * the caller hears of it, so a crash anywhere may count a run that never began, never the reverse.
 */
import { CapacityError, StateError, assertInvariant } from '../errors.ts';
import { windowsAt } from '../contracts/calendar.ts';
import type { Contract } from '../contracts/contract.ts';
import { SPEND_GENESIS, signSpend, spendHash, verifySpend } from '../contracts/spend.ts';
import type { SignedSpend, Spend } from '../contracts/spend.ts';
import { StoreConflict } from '../store/store.ts';
import type { Statement, Store } from '../store/store.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { Anchor, SpendHead } from './anchor.ts';
import {
  advanceHead,
  insertEntry,
  readGaps,
  readHead,
  readRequest,
  readRuns,
  readSpends,
  spendHashAt,
  spendStatements,
} from './counter-rows.ts';
import type { HeadRow } from './counter-rows.ts';
import { decideAttempt, decideLimits, hasRunsLeft } from './spend-rules.ts';
import type { CountedRuns, SpendCommand } from './spend-rules.ts';

/** Spends that wait for one another; one more is refused. */
export const SPENDS_WAITING_MAX = 256;
export const SPENDS_PAGE_MAX = 1000;

export interface CountersOptions {
  /** Holds `COUNTER_MIGRATIONS`. */
  readonly store: Store;
  /** Outside of every backup. */
  readonly anchor: Anchor;
  readonly self: PartyId;
  readonly identity: KeyPair;
}

export interface ChainNote {
  /** Dotted name of what happened: `contract.revoked`. */
  readonly kind: string;
  /** Hash of what it happened to. */
  readonly digest: Hash;
}

export interface CountersState {
  readonly kind: 'ready' | 'rolled-back';
  readonly head: SpendHead;
  /** What shows the rollback, in a sentence. */
  readonly reason: string | undefined;
}

export interface Counters {
  state(): Promise<CountersState>;
  /**
   * Counts a run, before anything derived from data leaves. The answer is the signed statement that
   * the gateway and the other domains witness.
   * @throws StateError `request-replayed`, `party-set-changed`, `history-rolled-back`;
   *   MeteringError `contract-counter-exhausted`; CapacityError `queue-full`, `store-unavailable`
   */
  spend(command: SpendCommand): Promise<SignedSpend>;
  /** Whether `spend` would refuse now; counts nothing. @throws as `spend` */
  check(command: SpendCommand): Promise<void>;
  /**
   * From now on this request runs under this descriptor or not at all. Awaited before the first
   * message derived from data; of two calls the second is refused, so nothing is sent twice.
   * @throws StateError `request-replayed`
   */
  markSent(requestHash: Hash, descriptorHash: Hash): Promise<void>;
  /**
   * Writes what a restored backup must not undo unnoticed (a revocation, say) and takes a number of
   * the chain for it, so that an older store is behind the anchor. Works while rolled back, too.
   */
  note(note: ChainNote, alongside: readonly Statement[]): Promise<void>;
  /** Whether a further run of the contract may be counted, today or on a later day. */
  hasRunsLeft(contract: Contract, contractHash: Hash, nowMs: number): Promise<boolean>;
  /** Runs counted of a contract, without what accepted rollbacks add. */
  usage(contract: Contract, contractHash: Hash, nowMs: number): Promise<CountedRuns>;
  /**
   * A witness shows a statement that this domain signed: one that its history does not have means
   * that the history was rolled back, and from then on runs are refused.
   * @throws IdentityError `signature-invalid`; StateError `history-rolled-back`
   */
  present(signed: SignedSpend): Promise<void>;
  /** Own statements after a number, in order, for witnesses that missed some. */
  statements(afterSeq: number, most: number): Promise<readonly SignedSpend[]>;
}

/**
 * Opens the counters and compares the store with the anchor. A rolled-back history opens too: it
 * refuses runs until the officer accepts (`rollback.ts`).
 * @throws CapacityError `store-unavailable`
 */
export async function openCounters(options: CountersOptions): Promise<Counters> {
  const { store, anchor, self, identity } = options;
  const alone = oneAtATime();
  await alone(() => begin(store, anchor));
  return {
    state: async () => stateOf(await mustHead(store)),
    check: async (command) => {
      await decide(store, self, command);
    },
    spend: (command) =>
      alone(async () => {
        const { head, isFirst, spend } = await decide(store, self, command);
        const reason = await markedBehind(store, anchor, head);
        if (reason !== undefined) throw rolledBack(reason);
        const hash = spendHash(spend);
        const signed = signSpend(spend, identity);
        const next = { seq: spend.seq, hash };
        const atMs = Date.parse(spend.at);
        await write(store, [
          advanceHead(head, next, atMs),
          ...spendStatements(signed, hash, isFirst),
        ]);
        await anchor.write(next);
        return signed;
      }),
    markSent: (requestHash, descriptorHash) =>
      alone(async () => {
        const sql = `UPDATE counted_request SET status = 'sent'
                     WHERE request_hash = ? AND descriptor_hash = ? AND status = 'counted'`;
        const params = [requestHash, descriptorHash];
        await write(store, [{ sql, params, expectChanges: 1 }]);
      }),
    note: (note, alongside) => alone(() => writeNote(store, anchor, note, alongside)),
    hasRunsLeft: async (contract, contractHash, nowMs) => {
      const counted = await readRuns(store, contractHash, windowsAt(nowMs, contract.timeZone));
      return hasRunsLeft(contract, counted, await readGaps(store));
    },
    usage: (contract, contractHash, nowMs) =>
      readRuns(store, contractHash, windowsAt(nowMs, contract.timeZone)),
    present: (signed) => alone(() => present(store, identity.publicKey, signed)),
    statements: (afterSeq, most) => readSpends(store, afterSeq, Math.min(most, SPENDS_PAGE_MAX)),
  };
}

interface Decision {
  readonly head: HeadRow;
  readonly isFirst: boolean;
  readonly spend: Spend;
}

async function decide(store: Store, self: PartyId, command: SpendCommand): Promise<Decision> {
  const { contract, contractHash, request, requestHash, descriptor, nowMs } = command;
  const head = await mustHead(store);
  if (head.rolledBack !== undefined) throw rolledBack(head.rolledBack);
  const prior = await readRequest(store, requestHash, contractHash, request.nonce);
  const runs = decideAttempt(command, prior);
  const windows = windowsAt(nowMs, contract.timeZone);
  const before = await readRuns(store, contractHash, windows);
  if (runs === 1) decideLimits(command, before, await readGaps(store));
  const spend: Spend = {
    format: 'weir-spend/1',
    party: self,
    seq: head.seq + 1,
    previous: head.hash,
    contractHash,
    requestHash,
    nonce: request.nonce,
    runId: descriptor.runId,
    attempt: descriptor.attempt,
    descriptorHash: command.descriptorHash,
    parties: descriptor.parties.map((party) => party.id),
    runs,
    counted: {
      total: before.total + runs,
      day: { key: windows.day, runs: before.day + runs },
      month: { key: windows.month, runs: before.month + runs },
    },
    // Never earlier than the statement before, so that witnesses can tell the order of two.
    at: new Date(Math.max(nowMs, head.atMs)).toISOString(),
  };
  return { head, isFirst: prior === undefined, spend };
}

async function writeNote(
  store: Store,
  anchor: Anchor,
  note: ChainNote,
  alongside: readonly Statement[],
): Promise<void> {
  const head = await mustHead(store);
  // A number taken of an older history would hide from the anchor that it is one.
  const older = head.rolledBack ?? (await markedBehind(store, anchor, head));
  if (older !== undefined) return store.execute(alongside);
  const { kind, digest } = note;
  const seq = head.seq + 1;
  const document = { format: 'weir-note/1', seq, previous: head.hash, kind, digest };
  const next = { seq, hash: canonicalHash(document) };
  await store.execute([
    advanceHead(head, next, head.atMs),
    insertEntry(seq, 'note', next.hash, JSON.stringify(document)),
    ...alongside,
  ]);
  await anchor.write(next);
}

async function begin(store: Store, anchor: Anchor): Promise<void> {
  const found = await readHead(store);
  if (found === undefined) {
    await store.execute([
      {
        sql: `INSERT INTO spend_head (id, seq, hash, at_ms, rolled_back) VALUES (1, 0, ?, 0, NULL)
              ON CONFLICT (id) DO NOTHING`,
        params: [SPEND_GENESIS],
      },
    ]);
  }
  const head = await mustHead(store);
  if (head.rolledBack !== undefined) return;
  const anchored = await anchor.read();
  const reason = await behind(store, head, anchored);
  if (reason !== undefined) return markRolledBack(store, reason);
  // A crash between transaction and anchor leaves the anchor one behind: the transaction holds.
  if (anchored === undefined || anchored.seq < head.seq) await anchor.write(head);
}

/** Why the store is older than the anchor, or of another history; undefined where it is not. */
async function behind(
  store: Store,
  head: SpendHead,
  anchored: SpendHead | undefined,
): Promise<string | undefined> {
  if (anchored === undefined) {
    return head.seq === 0 ? undefined : 'the anchor file is missing or damaged';
  }
  if (anchored.seq > head.seq) {
    return `the anchor names spend ${anchored.seq}, the store ends at ${head.seq}`;
  }
  if (await isInHistory(store, head, anchored)) return undefined;
  return `the anchor and the store name different statements as spend ${anchored.seq}`;
}

async function isInHistory(store: Store, head: SpendHead, claim: SpendHead): Promise<boolean> {
  if (claim.seq > head.seq) return false;
  if (claim.seq === head.seq && claim.hash === head.hash) return true;
  if (claim.seq === 0) return claim.hash === SPEND_GENESIS;
  if ((await spendHashAt(store, claim.seq)) === claim.hash) return true;
  // The officer has accepted that what happened under these numbers is not known any more.
  const gaps = await readGaps(store);
  return gaps.some((gap) => gap.fromSeq <= claim.seq && claim.seq <= gap.toSeq);
}

/** The store may be replaced beneath a running domain. @returns why it is older than the anchor. */
async function markedBehind(
  store: Store,
  anchor: Anchor,
  head: SpendHead,
): Promise<string | undefined> {
  const reason = await behind(store, head, await anchor.read());
  if (reason !== undefined) await markRolledBack(store, reason);
  return reason;
}

async function present(store: Store, publicKey: Uint8Array, signed: SignedSpend): Promise<void> {
  const hash = verifySpend(signed, publicKey);
  const { seq } = signed.spend;
  const head = await mustHead(store);
  if (await isInHistory(store, head, { seq, hash })) return;
  const reason = `a witness holds spend ${seq}, which the store does not have`;
  await markRolledBack(store, reason);
  throw rolledBack(reason);
}

async function markRolledBack(store: Store, reason: string): Promise<void> {
  await store.execute([
    {
      sql: 'UPDATE spend_head SET rolled_back = ? WHERE id = 1 AND rolled_back IS NULL',
      params: [reason],
    },
  ]);
}

async function mustHead(store: Store): Promise<HeadRow> {
  const head = await readHead(store);
  assertInvariant(head !== undefined, 'the counters have a head');
  return head;
}

function stateOf(head: HeadRow): CountersState {
  const kind = head.rolledBack === undefined ? 'ready' : 'rolled-back';
  return { kind, head: { seq: head.seq, hash: head.hash }, reason: head.rolledBack };
}

async function write(store: Store, statements: readonly Statement[]): Promise<void> {
  try {
    await store.execute(statements);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
    throw new StateError(
      'request-replayed',
      'The request was counted or sent by another call at the same time.',
      { rule: 'a request runs once', remedy: 'See that one domain process runs on this store.' },
      { cause: error },
    );
  }
}

function rolledBack(reason: string): StateError {
  return new StateError('history-rolled-back', 'The domain’s counters were rolled back.', {
    rule: reason,
    remedy: 'The officer restores them from the witnessed statements and accepts.',
  });
}

/** Calls run one after another; each reads what the one before wrote. */
function oneAtATime(): <Answer>(work: () => Promise<Answer>) => Promise<Answer> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return async (work) => {
    if (waiting >= SPENDS_WAITING_MAX) {
      throw new CapacityError('queue-full', 'Too many runs begin at once.', { retryAfterS: 1 });
    }
    waiting += 1;
    const before = last;
    const mine = before.then(work, work);
    last = mine.catch(() => undefined);
    try {
      return await mine;
    } finally {
      waiting -= 1;
    }
  };
}
