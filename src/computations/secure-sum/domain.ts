/** The domain's part of a secure sum: counts under masks, opened and judged, then the measures. */
import type { AggregateAnswer } from '../../catalog/data-source.ts';
import type { Party } from '../../contracts/contract.ts';
import { InvariantError, StateError } from '../../errors.ts';
import type { CountedCells } from '../../disclosure/stage.ts';
import { GATEWAY } from '../../system/ids.ts';
import { laneBytes } from '../../../protocols/common/rings.ts';
import type { SessionKeys } from '../../../protocols/secure-sum/keys.ts';
import {
  encodeMaps,
  encodeSeed,
  parseMaps,
  parseSeed,
} from '../../../protocols/secure-sum/messages.ts';
import {
  blockCount,
  blockRange,
  bodyBytes,
  KEY_BYTES,
  sections,
} from '../../../protocols/secure-sum/params.ts';
import type { OpenedCounts } from '../../../protocols/secure-sum/party.ts';
import type {
  MaskCountsArgument,
  MaskMeasuresArgument,
  OpenCountsArgument,
  SessionKeysArgument,
} from '../../../workers/secure-sum.ts';
import type { DomainRole } from '../computation.ts';
import { requirePlanned } from '../planned.ts';
import { ENGINE } from './estimate.ts';
import { countedLanes, measuredLanes, measuredMaps, verifyAnswer } from './lanes.ts';
import { objectionsOf, withObjections } from './objections.ts';
import { noisedAnswer, offsetCountMax, offsetCounts, withoutOffsets } from './noised-answer.ts';
import { agreeOnOrder } from './neighbour-round.ts';
import { reviewOf } from './review.ts';
import { shapeOf, type Shape } from './shape.ts';
import { selectedCells, signMaps, suppressionMaps, verifyMaps } from './suppression.ts';
import { asAbort, KINDS, receiveBody, sendBlocks, isSmall } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const SECURE_SUM_STEPS = ['round1.counts', 'round1.map', 'round2.measures'] as const;

const WORKER = 'secure-sum';
/** With so few peers their keys are derived on the spot. */
const SMALL_PARTIES = 8;

/** A run of this domain, with its keys. */
export interface Session {
  readonly role: DomainRole;
  readonly shape: Shape;
  readonly selfIndex: number;
  readonly keys: SessionKeys;
}

/** What the domains agreed on before anything else of their data leaves. */
export interface Counted {
  readonly answer: AggregateAnswer;
  /** 1 a cell that may be released: for the rows, then for each measured column. */
  readonly maps: readonly Uint8Array[];
  /** Secret from the gateway, shared by all domains of the run. */
  readonly seed: Uint8Array;
  /** What draws each party's neighbours, beyond 64 parties. */
  readonly order: Uint8Array | undefined;
}

/** @see Computation.runDomain */
export async function runSecureSumDomain(role: DomainRole): Promise<void> {
  await asAbort(() =>
    countFirst(role, verifiedShape(role), ({ answer, maps }, session) =>
      measuringRound(session, answer, maps),
    ),
  );
}

/**
 * The counting round: counts opened in the domains, suppression maps signed and compared. Any
 * computation over the same partition begins with it; `measure` runs only after all parties have
 * signed the same maps, and keys and seed are wiped when it ends.
 */
export async function countFirst(
  role: DomainRole,
  shape: Shape,
  measure: (counted: Counted, session: Session) => Promise<void>,
): Promise<void> {
  const selfIndex = role.descriptor.parties.findIndex((party) => party.id === role.self);
  // The engine works while seed and order travel: neither depends on the other.
  const counting = aggregate(role, shape);
  counting.catch(() => undefined);
  const seed = await shareSeed(role, selfIndex);
  let keys: SessionKeys | undefined;
  try {
    const order = await agreeOnOrder(role, selfIndex);
    keys = await deriveKeys(role, shape, seed, order);
    const session = { role, shape, selfIndex, keys };
    const answer = await counting;
    const opened = await countingRound(session, answer);
    const maps = suppressionMaps(shape, opened, role.stages, role.contract.disclosure);
    if (shape.noise === undefined) await admitted(role, shape, opened, maps);
    await agreeOnMaps(session, maps);
    role.review?.(reviewOf(shape, answer, opened, maps));
    await measure({ answer, maps, seed, order }, session);
  } finally {
    seed.fill(0);
    if (keys !== undefined) forget(keys);
  }
}

/** One row of each unit in each cell: then rows are units. */
async function countUnits(role: DomainRole, shape: Shape): Promise<AggregateAnswer['units']> {
  const { groups, chosen } = shape;
  const sums = shape.columns.map((column) => ({ ...column, squares: false }));
  const perUnit = { cellsMax: shape.cells, rowsPerCellMax: 1 };
  const { counts, columns } = await role.source.aggregate(
    { groups, chosen, sums, perUnit },
    role.channel.signal,
  );
  return { counts, nonNull: columns.map(({ nonNull }) => nonNull) };
}

/** Nothing of an exact answer leaves that the domain's earlier ones would make a difference of. */
async function admitted(
  role: DomainRole,
  shape: Shape,
  opened: readonly CountedCells[],
  maps: readonly Uint8Array[],
): Promise<void> {
  const { groups, chosen, radices, columns } = shape;
  const counts = opened[0]?.counts ?? new Float64Array();
  const selected = selectedCells(shape);
  await role.admit?.({ groups, chosen, radices, columns, selected, counts, maps });
}

/** @throws StateError `descriptor-mismatch` where another run was planned. */
function verifiedShape(role: DomainRole): Shape {
  const shape = shapeOf(role.contract, role.descriptor.arguments);
  const { cells, lanes } = shape;
  requirePlanned(role, { protocol: 'secure-sum', engine: ENGINE, cells, lanes });
  return shape;
}

/** The first party draws the seed of the output mask and the tags; the gateway never sees it. */
async function shareSeed(role: DomainRole, selfIndex: number): Promise<Uint8Array> {
  const [first, ...others] = role.descriptor.parties;
  if (first === undefined) throw new InvariantError('internal', 'a descriptor without parties');
  if (selfIndex !== 0) return parseSeed(await role.sealedTo(first.id).receive(KINDS.seed));
  const seed = role.random.bytes(KEY_BYTES);
  await Promise.all(
    others.map((peer) => role.sealedTo(peer.id).send(KINDS.seed, encodeSeed(seed))),
  );
  return seed;
}

/** Where the contract asks for noise, nobody ever holds the answer without it once this is through. */
async function aggregate(role: DomainRole, shape: Shape): Promise<AggregateAnswer> {
  const { groups, chosen, columns, noise } = shape;
  const perUnit =
    noise === undefined
      ? undefined
      : { cellsMax: noise.terms.cellsPerUnit, rowsPerCellMax: noise.terms.rowsPerCell };
  const dataset = role.contract.datasets.find(({ holder }) => holder === role.self);
  const answer = await role.source.aggregate(
    { groups, chosen, sums: columns, perUnit },
    role.channel.signal,
  );
  verifyAnswer(shape, answer, dataset?.rowsMax ?? 0);
  if (noise === undefined) {
    // An answer about persons: its thresholds are held against persons, however many rows each has.
    const units = role.admit === undefined ? undefined : await countUnits(role, shape);
    return { ...answer, units, objections: await objectionsOf(role, shape) };
  }
  if (role.noiseOf === undefined) {
    throw new InvariantError('internal', 'a contract with noise runs without its source');
  }
  return noisedAnswer(shape, noise, answer, role.noiseOf);
}

async function deriveKeys(
  role: DomainRole,
  shape: Shape,
  seed: Uint8Array,
  order: Uint8Array | undefined,
): Promise<SessionKeys> {
  const { parties } = role.descriptor;
  const argument: SessionKeysArgument = {
    descriptorHash: role.descriptorHash,
    parties: parties.map(({ id, ephemeralKey }) => ({ id, ephemeralKey: rawKey(ephemeralKey) })),
    selfIndex: parties.findIndex((party) => party.id === role.self),
    ephemeralSecret: role.ephemeralSecret,
    seed,
    graphSeed: order,
    counts: shape.counts,
    measures: shape.measures,
  };
  return role.pool.run(WORKER, 'sessionKeysTask', argument, {
    signal: role.channel.signal,
    small: parties.length <= SMALL_PARTIES,
  });
}

/** Sends its masked counts while it opens the totals, so that neither side's buffers fill up. */
async function countingRound(
  session: Session,
  answer: AggregateAnswer,
): Promise<readonly CountedCells[]> {
  const { role } = session;
  await role.step(SECURE_SUM_STEPS[0]);
  const failed = new AbortController();
  const stopOnFailure = async <Answer>(work: Promise<Answer>): Promise<Answer> => {
    try {
      return await work;
    } catch (error) {
      failed.abort();
      throw error;
    }
  };
  const [opened] = await Promise.all([
    stopOnFailure(openTotals(session)),
    stopOnFailure(sendCounts(session, answer, failed.signal)),
  ]);
  return opened;
}

async function sendCounts(
  { role, shape, keys }: Session,
  answer: AggregateAnswer,
  failed: AbortSignal,
): Promise<void> {
  const layout = shape.counts;
  const vectors =
    shape.noise === undefined ? countedLanes(answer) : offsetCounts(shape.noise, answer);
  const produce = (block: number): Promise<Uint8Array> => {
    const { start, end } = blockRange(layout, block);
    const counted = vectors.map((lanes) => lanes.slice(start * 8, end * 8));
    const task: MaskCountsArgument = {
      layout,
      block,
      keys: keys.counts,
      counted,
      factors: keys.factors,
    };
    return role.pool.run(WORKER, 'maskCountsTask', task, {
      ...moving(role, counted),
      small: isSmall(layout, block),
    });
  };
  await sendBlocks(layout, produce, async (frame) => {
    // The totals did not open: the rest of the counts stays at home.
    failed.throwIfAborted();
    await role.channel.send(GATEWAY, KINDS.counts, frame);
  });
}

async function openTotals({ role, shape, keys }: Session): Promise<readonly CountedCells[]> {
  const layout = shape.counts;
  const parties = role.descriptor.parties.length;
  const countMax =
    shape.noise === undefined
      ? shape.rowsMaxTotal
      : offsetCountMax(shape.noise, shape.rowsMaxTotal, parties);
  const counted = 1 + shape.columns.length * (shape.dominance === undefined ? 1 : 2);
  const all: OpenedCounts[] = Array.from({ length: counted }, () => ({
    counts: new Float64Array(shape.cells),
    contributors: new Uint16Array(shape.cells),
  }));
  for (let block = 0; block < blockCount(layout); block++) {
    const totals = new Uint8Array(bodyBytes(layout, block));
    await receiveBody(layout, block, totals, (bytesMax) =>
      role.channel.receive(GATEWAY, KINDS.totals, bytesMax),
    );
    const task: OpenCountsArgument = {
      layout,
      block,
      keys: keys.open,
      totals,
      factors: keys.factors,
      countMax,
      parties,
    };
    const opened = await role.pool.run<readonly OpenedCounts[]>(WORKER, 'openCountsTask', task, {
      ...moving(role, [totals]),
      small: isSmall(layout, block),
    });
    const { start } = blockRange(layout, block);
    for (const [index, { counts, contributors }] of opened.entries()) {
      all[index]?.counts.set(counts, start);
      all[index]?.contributors.set(contributors, start);
    }
  }
  return shape.noise === undefined
    ? withObjections(shape, all)
    : withoutOffsets(shape.noise, all, parties);
}

/** Nothing of round 2 leaves before every party has signed the same maps. */
async function agreeOnMaps(session: Session, maps: readonly Uint8Array[]): Promise<void> {
  const { role } = session;
  const { parties } = role.descriptor;
  const own = signMaps(role.descriptorHash, maps, role.identity);
  await role.step(SECURE_SUM_STEPS[1]);
  await role.channel.send(GATEWAY, KINDS.map, encodeMaps([own]));
  const statements = parseMaps(await role.channel.receive(GATEWAY, KINDS.maps), parties.length);
  const signKeys = parties.map(({ id }) => signKeyOf(role.contract.holders, id));
  verifyMaps(own, statements, signKeys);
}

async function measuringRound(
  { role, shape, keys }: Session,
  answer: AggregateAnswer,
  maps: readonly Uint8Array[],
): Promise<void> {
  const layout = shape.measures;
  const vectors = measuredLanes(answer);
  const vectorMaps = measuredMaps(shape, maps);
  const produce = (block: number): Promise<Uint8Array> => {
    const { start, end } = blockRange(layout, block);
    const body = new Uint8Array(bodyBytes(layout, block));
    for (const [vector, { ring, offset }] of sections(layout, block).entries()) {
      const width = laneBytes(ring);
      body.set(vectors[vector]?.subarray(start * width, end * width) ?? [], offset);
    }
    const permitted = vectorMaps.map((map) => map.slice(start, end));
    const task: MaskMeasuresArgument = { layout, block, keys: keys.measures, body, permitted };
    return role.pool.run(WORKER, 'maskMeasuresTask', task, {
      ...moving(role, [body, ...permitted]),
      small: isSmall(layout, block),
    });
  };
  await role.step(SECURE_SUM_STEPS[2]);
  await sendBlocks(layout, produce, (frame) => role.channel.send(GATEWAY, KINDS.measures, frame));
}

function moving(
  role: DomainRole,
  arrays: readonly Uint8Array[],
): { transfer: readonly ArrayBuffer[]; signal: AbortSignal } {
  return {
    transfer: arrays.map(({ buffer }) => buffer).filter((buffer) => buffer instanceof ArrayBuffer),
    signal: role.channel.signal,
  };
}

function signKeyOf(holders: readonly Party[], id: string): Uint8Array {
  const holder = holders.find((party) => party.id === id);
  if (holder === undefined) {
    throw new StateError('descriptor-mismatch', 'The descriptor lists a party that is no holder.');
  }
  return rawKey(holder.signKey);
}

function rawKey(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64url'));
}

function forget(keys: SessionKeys): void {
  for (const round of [keys.counts, keys.open, keys.measures]) {
    for (const vector of round) for (const { key } of vector) key.fill(0);
  }
  for (const factor of keys.factors) factor.fill(0);
}
