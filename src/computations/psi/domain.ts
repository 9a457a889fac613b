/** The domain's part of a match: its keys, read and blinded, exchanged with the other holder's. */
import { ownCounts } from './own-counts.ts';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { assertInvariant } from '../../errors.ts';
import type { SealedChannel } from '../../link/channel.ts';
import { GATEWAY, HashSchema } from '../../system/ids.ts';
import {
  prepareSet,
  type BlindedSet,
  type PsiMachine,
} from '../../../protocols/psi/blinded-set.ts';
import type { KeyTally } from '../../../protocols/psi/key-batch.ts';
import type { PsiParams } from '../../../protocols/psi/params.ts';
import { prepareGroupedSet } from '../../../protocols/psi/grouped-set.ts';
import { PieceLog } from '../../../protocols/psi/piece-log.ts';
import { PART_ITEMS_MAX } from '../../../protocols/psi/vole/parts.ts';
import { VOLE_CHUNK_ITEMS } from '../../../protocols/psi/vole/psi-params.ts';
import { settleElements, sharedRows } from '../../../protocols/psi/vole/settled-elements.ts';
import {
  runReceiver,
  type GroupOutcome,
  type ReceiverOutcome,
} from '../../../protocols/psi/receiver.ts';
import { runSender } from '../../../protocols/psi/sender.ts';
import { slotOf } from '../../../protocols/psi/sum.ts';
import { sendValues, sumShared, type SumEngine } from '../../../protocols/psi/sum-exchange.ts';
import type { DomainRole, Release } from '../computation.ts';
import { requirePlanned } from '../planned.ts';
import { ENGINES } from './engine.ts';
import { fileSpills } from './file-spill.ts';
import { permittedCells } from './group-release.ts';
import { groupPlanOf, groupsSizeBytes, releasedGroups } from './grouped.ts';
import { noisedNumbers, sharedDummiesOf, sumNoise } from './noise.ts';
import { keyDigests, poolDigests, READ_ROWS } from './key-digests.ts';
import { poolEngine } from './pool-engine.ts';
import { progressTeller, type ProgressTeller } from './progress.ts';
import { reviewOf } from './review.ts';
import { RowCells } from './row-cells.ts';
import { RowValues } from './row-values.ts';
import { keyColumnsOf, matchShapeOf, psiParams, type MatchShape } from './shape.ts';
import { sharedKeys } from './shared-keys.ts';
import { encodeStatement } from './statement.ts';
import { poolSumEngine } from './sum-engine.ts';
import { filterContext, receiveUnbalanced, sendUnbalanced } from './unbalanced/domain.ts';
import { runVoleThread, type VoleThread } from './vole-thread.ts';
import { asPsiAbort, encodePsiResult, PSI_KINDS, type PsiResult } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const PSI_STEPS = ['psi.points', 'psi.result'] as const;

/** A half is no released cell by itself. */
const HALF = { suppressedCells: 0, releasedCells: 0 };

/** @see Computation.runDomain */
export async function runPsiDomain(role: DomainRole): Promise<void> {
  await asPsiAbort(async () => {
    const shape = verifiedShape(role);
    const params = psiParams(shape, role.descriptorHash, role.self);
    const directory = await role.source.spillDirectory();
    const progress = progressTeller(role, shape);
    const machine: PsiMachine = {
      engine: poolEngine(role.pool, availableParallelism(), role.channel.signal),
      openSpill: fileSpills(directory, role.random),
      randomBytes: (count) => role.random.bytes(count),
      onProgress: (step, done, total) => progress.tell(step, done, total),
    };
    const log = new PieceLog(machine.openSpill);
    const keyContext =
      shape.engine === ENGINES.unbalanced ? filterContext(role, shape) : role.descriptorHash;
    try {
      await match({ role, shape, params, machine, keyContext, log, progress });
    } finally {
      await log.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
}

/** A run of this domain. */
interface Matching {
  readonly role: DomainRole;
  readonly shape: MatchShape;
  readonly params: PsiParams;
  readonly machine: PsiMachine;
  /** What join keys are digested with: of the run alone, or of a kept filter. */
  readonly keyContext: Uint8Array;
  /** The own keys in the order of their rows; empty where none are revealed. */
  readonly log: PieceLog;
  readonly progress: ProgressTeller;
}

async function match(matching: Matching): Promise<void> {
  const { role, shape, params, machine } = matching;
  await admitted(role, shape);
  if (shape.engine === ENGINES.vole || shape.engine === ENGINES['vole-without-lpn']) {
    return matchByVole(matching);
  }
  if (shape.engine === ENGINES.unbalanced) return matchOverFilter(matching);
  const isSender = role.self === shape.sender;
  const values =
    isSender && shape.sumBounds !== undefined ? new RowValues(shape.sumBounds) : undefined;
  const groups = isSender ? undefined : shape.groups;
  const cells = groups === undefined ? undefined : new RowCells(groups.labels);
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  const read = digests(matching, tally, values ?? cells);
  const set =
    groups === undefined || cells === undefined
      ? await prepareSet(params, machine, read, await sharedDummiesOf(role, shape))
      : await prepareGroupedSet(
          params,
          groups.params,
          machine,
          read,
          await groupPlanOf(role, shape, groups, cells),
        );
  role.note?.(ownCounts(tally, set));
  role.review?.(reviewOf(set.items));
  try {
    await role.step(PSI_STEPS[0]);
    if (isSender) await send(matching, set, values);
    else await receive(matching, set);
  } finally {
    await set.close();
  }
}

/** The same by the other engine: which keys are shared, and nothing beside. */
async function matchByVole(matching: Matching): Promise<void> {
  const { role, shape, machine, progress } = matching;
  const params = { ...matching.params, chunkItems: VOLE_CHUNK_ITEMS, partItemsMax: PART_ITEMS_MAX };
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  const startMs = performance.now();
  const set = await settleElements(
    params,
    machine.randomBytes,
    digests(matching, tally, undefined),
  );
  const readMs = performance.now() - startMs;
  role.review?.(reviewOf(set.items));
  await role.step(PSI_STEPS[0]);
  const isSender = role.self === shape.sender;
  const channel = role.sealedTo(isSender ? shape.receiver : shape.sender);
  const { signal } = role.channel;
  const itemsMax = shape.itemsMax.get(role.self) ?? 1;
  progress.tell('blind', itemsMax);
  // Parts are as good as of one size.
  const onProgress: VoleThread['onProgress'] = (done, total) =>
    progress.tell('evaluate', Math.floor((done * itemsMax) / total), itemsMax);
  const { numbers, peerItems } = await runVoleThread(
    { pool: role.pool, channel, signal, onProgress },
    isSender ? 'sender' : 'receiver',
    params,
    set,
    shape.engine === ENGINES['vole-without-lpn'],
  );
  const matchMs = performance.now() - startMs - readMs;
  role.note?.({ ...ownCounts(tally, set), readMs, matchMs });
  if (numbers === undefined) return sendDone(matching, new Uint8Array(0));
  const rows = sharedRows(set, numbers);
  const isTooMany = rows.length > (params.revealedMax ?? rows.length);
  const outcome: ReceiverOutcome = {
    shared: rows.length,
    rows: isTooMany ? undefined : rows,
    places: undefined,
    groups: undefined,
    peerItems,
  };
  return sendResult(matching, await receivedNumber(matching, channel, outcome, set.items));
}

/** The same over a filter of the sender's set, which may have no need to read its rows again. */
async function matchOverFilter(matching: Matching): Promise<void> {
  const { role, shape, params, machine } = matching;
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  const own = {
    role,
    shape,
    params,
    machine,
    digests: () => digests(matching, tally, undefined),
    onRead: (set: Pick<BlindedSet, 'items' | 'distinct'>) => role.note?.(ownCounts(tally, set)),
    beforeSending: (items: number) => {
      role.review?.(reviewOf(items));
      return role.step(PSI_STEPS[0]);
    },
  };
  if (role.self === shape.sender) {
    await sendUnbalanced(own);
    return sendDone(matching, new Uint8Array(0));
  }
  const outcome = await receiveUnbalanced(own);
  const channel = role.sealedTo(shape.sender);
  return sendResult(matching, await receivedNumber(matching, channel, outcome, tally.keys));
}

/**
 * An exact number over persons whose set has changed by a few since an earlier one, under whichever
 * contract, would tell of these few. Each holder compares its own set, the receiver its groups as
 * well, before anything of it leaves: the peer sees the number before any threshold. Nothing to
 * compare where the keys themselves are revealed by grant, or the number is noised.
 */
async function admitted(role: DomainRole, shape: MatchShape): Promise<void> {
  if (shape.plan.ask === 'intersection') return;
  const groups = role.self === shape.receiver && shape.groups !== undefined ? [shape.groups] : [];
  const whole = new Uint8Array(groups.length === 0 ? 1 : shape.cells).fill(1);
  await role.admit?.({
    groups: groups.map(({ column, labels }) => ({ column, labels: [...labels] })),
    chosen: groups.map(() => undefined),
    radices: groups.map(() => shape.cells),
    columns: [],
    selected: whole,
    counts: Float64Array.from(whole),
    maps: [whole],
    matchedWith: role.self === shape.sender ? shape.receiver : shape.sender,
  });
}

/** @throws StateError `descriptor-mismatch` where another run was planned. */
function verifiedShape(role: DomainRole): MatchShape {
  const shape = matchShapeOf(role.contract, role.descriptor.arguments);
  const { engine, cells, itemsMaxTotal: lanes, sender, receiver } = shape;
  requirePlanned(role, { protocol: 'psi', engine, cells, lanes, parties: [sender, receiver] });
  assertInvariant(
    shape.noise === undefined || role.noiseOf !== undefined,
    'a contract with noise runs without its source',
  );
  return shape;
}

/**
 * Digests of the own join keys, in the order of the rows that have one.
 * @param beside - gets one column more of each: the values, or the groups.
 */
function digests(
  { role, shape, log, keyContext }: Matching,
  tally: KeyTally,
  beside: RowValues | RowCells | undefined,
): AsyncGenerator<Uint8Array> {
  const { names, forms } = keyColumnsOf(shape.plan, role.self);
  const further = (role.self === shape.sender ? shape.plan.sum : shape.plan.group)?.column;
  const columns = beside === undefined || further === undefined ? names : [...names, further];
  const isRevealing = role.self === shape.receiver && shape.plan.ask === 'intersection';
  const { signal } = role.channel;
  return keyDigests(role.source.streamColumns(columns, READ_ROWS, signal), {
    forms,
    context: keyContext,
    tally,
    digest: poolDigests(role.pool, signal),
    ...(beside === undefined ? {} : { onKey: (row) => beside.add(row[names.length] ?? null) }),
    ...(isRevealing ? { keep: (keys) => log.add(keys) } : {}),
  });
}

async function send(
  matching: Matching,
  set: BlindedSet,
  values: RowValues | undefined,
): Promise<void> {
  const { role, shape, params, machine } = matching;
  const channel = role.sealedTo(shape.receiver);
  await runSender(channel, params, machine, set);
  let done: Uint8Array = new Uint8Array(0);
  if (values !== undefined) {
    const engine = sumEngineOf(role);
    const exact = await sendValues(channel, engine, set, (row) => values.at(row), shape.cells);
    const noise = await sumNoise(role, shape);
    const rows = exact.map((half, cell) => [slotOf(half + (noise[cell] ?? 0n)).toString()]);
    const release: Release = { ...HALF, columns: ['half'], rows };
    done = encodePsiResult({ ask: 'sum', statement: await stated(role, release, shape.cells) });
  }
  await sendDone(matching, done);
}

async function sendDone({ role, progress }: Matching, done: Uint8Array): Promise<void> {
  await progress.end();
  await role.channel.send(GATEWAY, PSI_KINDS.done, done);
}

async function sendResult({ role, progress }: Matching, result: PsiResult): Promise<void> {
  await role.step(PSI_STEPS[1]);
  await progress.end();
  await role.channel.send(GATEWAY, PSI_KINDS.result, encodePsiResult(result));
}

async function receive(matching: Matching, set: BlindedSet): Promise<void> {
  const { role, shape, params, machine } = matching;
  const channel = role.sealedTo(shape.sender);
  const outcome = await runReceiver(channel, params, machine, set);
  const { groups } = outcome;
  const result: PsiResult =
    groups === undefined
      ? await receivedNumber(matching, channel, outcome, set.items)
      : { ask: 'groups', statement: await receivedGroups(matching, channel, groups, set.items) };
  await sendResult(matching, result);
}

async function receivedNumber(
  matching: Matching,
  channel: SealedChannel,
  outcome: ReceiverOutcome,
  ownItems: number,
): Promise<PsiResult> {
  const { role, shape, machine } = matching;
  const { peerItems, places } = outcome;
  const [shared = 0] = await noisedNumbers(role, shape, [outcome.shared]);
  const isPermitted = permits(role, shared, shape.noise !== undefined);
  role.review?.(reviewOf(ownItems, { number: shared, isPermitted }));
  // Answered in any case: the sender is not to know whether the number passed.
  const half =
    places === undefined
      ? undefined
      : slotOf(
          (await sumShared(channel, sumEngineOf(role), machine, peerItems, places)) -
            ((await sumNoise(role, shape))[0] ?? 0n),
        );
  return resultOf(matching, { ...outcome, shared }, isPermitted, half);
}

async function receivedGroups(
  { role, shape, machine }: Matching,
  channel: SealedChannel,
  groups: GroupOutcome,
  ownItems: number,
): Promise<string> {
  const run = { ownItems, channel, engine: sumEngineOf(role), machine };
  return stated(role, await releasedGroups(role, shape, groups, run), shape.cells);
}

function sumEngineOf(role: DomainRole): SumEngine {
  return poolSumEngine(role.pool, availableParallelism(), role.channel.signal);
}

/** A table for the recipient's eyes, with this domain's word for it. */
function stated(role: DomainRole, release: Release, cells = 1): Promise<string> {
  const { runId, contractHash, requestHash } = role.descriptor;
  const { recipient } = role.contract;
  const descriptorHash = HashSchema.parse(Buffer.from(role.descriptorHash).toString('hex'));
  const place = { runId, contractHash, requestHash, descriptorHash };
  const sizeBytesMin = groupsSizeBytes(cells);
  return encodeStatement(place, role.self, release, recipient, role.identity, sizeBytesMin);
}

/** Disclosure control over the one number: one cell, to which both holders contribute. */
function permits(role: DomainRole, shared: number, isNoised: boolean): boolean {
  const { stages, contract } = role;
  return permittedCells(Float64Array.of(shared), stages, contract.disclosure, isNoised)[0] === 1;
}

async function resultOf(
  matching: Matching,
  outcome: ReceiverOutcome,
  isPermitted: boolean,
  half: bigint | undefined,
): Promise<PsiResult> {
  const { role, shape, log } = matching;
  const { ask, key } = shape.plan;
  const { shared } = outcome;
  if (ask === 'cardinality') return { ask, shared: isPermitted ? shared : null };
  if (ask === 'sum') {
    const rows = isPermitted && half !== undefined ? [[shared, half.toString()]] : [];
    return { ask, statement: await stated(role, { ...HALF, columns: ['shared', 'half'], rows }) };
  }
  // Sealed and padded also where nothing may be released, so that the gateway cannot tell.
  const startMs = performance.now();
  const keys = isPermitted ? await sharedKeys(role.self, key.length, log, outcome.rows) : [];
  role.note?.({ revealMs: performance.now() - startMs });
  const release: Release = {
    columns: key.map(({ as }) => as),
    rows: keys,
    suppressedCells: isPermitted ? 0 : 1,
    releasedCells: keys.length,
  };
  return { ask, statement: await stated(role, release) };
}
