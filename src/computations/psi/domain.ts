/** The domain's part of a match: its keys, read and blinded, exchanged with the other holder's. */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { assertInvariant, PolicyError, StateError } from '../../errors.ts';
import { GATEWAY } from '../../system/ids.ts';
import type { PartyId } from '../../system/ids.ts';
import {
  prepareSet,
  type BlindedSet,
  type PsiMachine,
} from '../../../protocols/psi/blinded-set.ts';
import { DIGEST_BYTES } from '../../../protocols/psi/element.ts';
import {
  canonicalValue,
  digestKeys,
  type KeyColumn,
  type KeyTally,
} from '../../../protocols/psi/join-key.ts';
import type { PsiParams } from '../../../protocols/psi/params.ts';
import { PieceLog } from '../../../protocols/psi/piece-log.ts';
import { runReceiver, type ReceiverOutcome } from '../../../protocols/psi/receiver.ts';
import { runSender } from '../../../protocols/psi/sender.ts';
import { slotOf } from '../../../protocols/psi/sum.ts';
import { sendValues, sumShared, type SumEngine } from '../../../protocols/psi/sum-exchange.ts';
import type { DomainRole, Release } from '../computation.ts';
import { fileSpills } from './file-spill.ts';
import { noisedNumber, sharedDummiesOf, sumNoise } from './noise.ts';
import { poolEngine } from './pool-engine.ts';
import { RowValues } from './row-values.ts';
import {
  ENGINE,
  keyColumnsOf,
  matchShapeOf,
  psiParams,
  REVEALED_KEYS_MAX,
  type MatchShape,
} from './shape.ts';
import { encodeStatement } from './statement.ts';
import { poolSumEngine } from './sum-engine.ts';
import { asPsiAbort, encodePsiResult, PSI_KINDS, type PsiResult } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const PSI_STEPS = ['psi.points', 'psi.result'] as const;

const READ_ROWS = 4096;
/** A half is no released cell by itself. */
const HALF = { suppressedCells: 0, releasedCells: 0 };
const HASH = {
  sha256: (message: Uint8Array): Uint8Array => createHash('sha256').update(message).digest(),
};

/** @see Computation.runDomain */
export async function runPsiDomain(role: DomainRole): Promise<void> {
  await asPsiAbort(async () => {
    const shape = verifiedShape(role);
    const params = psiParams(shape, role.descriptorHash);
    const directory = await role.source.spillDirectory();
    const machine: PsiMachine = {
      engine: poolEngine(role.pool, availableParallelism(), role.channel.signal),
      openSpill: fileSpills(directory, role.random),
      randomBytes: (count) => role.random.bytes(count),
    };
    const log = new PieceLog(machine.openSpill);
    try {
      await match({ role, shape, params, machine, log });
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
  /** Digests of the own keys in the order of their rows; empty where none are revealed. */
  readonly log: PieceLog;
}

async function match(matching: Matching): Promise<void> {
  const { role, shape, params, machine } = matching;
  const isSender = role.self === shape.sender;
  const values =
    isSender && shape.sumBounds !== undefined ? new RowValues(shape.sumBounds) : undefined;
  const dummies = sharedDummiesOf(role, shape);
  const set = await prepareSet(params, machine, digests(matching, values), dummies);
  try {
    await role.step(PSI_STEPS[0]);
    if (isSender) await send(matching, set, values);
    else await receive(matching, set);
  } finally {
    await set.close();
  }
}

/** The descriptor names what this contract plans, nothing else. */
function verifiedShape(role: DomainRole): MatchShape {
  const { contract, descriptor, self } = role;
  const shape = matchShapeOf(contract, descriptor.arguments);
  const parties = descriptor.parties.map(({ id }) => id);
  const isPlanned =
    descriptor.protocol === 'psi' &&
    descriptor.engine === ENGINE &&
    descriptor.shape.cells === 1 &&
    descriptor.shape.lanes === shape.itemsMaxTotal &&
    parties.length === 2 &&
    parties.includes(shape.sender) &&
    parties.includes(shape.receiver) &&
    parties.includes(self);
  assertInvariant(
    shape.noise === undefined || role.noiseOf !== undefined,
    'a contract with noise runs without its source',
  );
  if (isPlanned) return shape;
  throw new StateError('descriptor-mismatch', 'The descriptor is not of the run it was made for.');
}

/** Digests of the own join keys, in the order of the rows that have one; with their values. */
async function* digests(
  { role, shape, log }: Matching,
  values: RowValues | undefined,
): AsyncGenerator<Uint8Array> {
  const { names, forms } = keyColumnsOf(shape.plan, role.self);
  const columns =
    values === undefined || shape.plan.sum === undefined
      ? names
      : [...names, shape.plan.sum.column];
  const isRevealing = role.self === shape.receiver && shape.plan.ask === 'intersection';
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  for await (const rows of role.source.streamColumns(columns, READ_ROWS, role.channel.signal)) {
    const keys = values === undefined ? rows : rows.map((row) => row.slice(0, names.length));
    const piece = digestKeys(HASH, role.descriptorHash, forms, keys, tally, (index) =>
      values?.add(rows[index]?.[names.length] ?? null),
    );
    if (isRevealing) await log.add(piece);
    yield piece;
  }
}

async function send(
  { role, shape, params, machine }: Matching,
  set: BlindedSet,
  values: RowValues | undefined,
): Promise<void> {
  const channel = role.sealedTo(shape.receiver);
  await runSender(channel, params, machine, set);
  let done: Uint8Array = new Uint8Array(0);
  if (values !== undefined) {
    const engine = sumEngineOf(role);
    const exact = await sendValues(channel, engine, set, (row) => values.at(row));
    const folded = slotOf(exact + sumNoise(role, shape));
    const release: Release = { ...HALF, columns: ['half'], rows: [[folded.toString()]] };
    done = encodePsiResult({ ask: 'sum', statement: await stated(role, release) });
  }
  await role.channel.send(GATEWAY, PSI_KINDS.done, done);
}

async function receive(matching: Matching, set: BlindedSet): Promise<void> {
  const { role, shape, params, machine } = matching;
  const channel = role.sealedTo(shape.sender);
  const outcome = await runReceiver(channel, params, machine, set);
  const { peerItems, places } = outcome;
  const shared = noisedNumber(role, shape, outcome.shared);
  const isPermitted = permits(role, shared);
  // Answered in any case: the sender is not to know whether the number passed.
  const half =
    places === undefined
      ? undefined
      : slotOf(
          (await sumShared(channel, sumEngineOf(role), machine, peerItems, places)) -
            sumNoise(role, shape),
        );
  const result = await resultOf(matching, { ...outcome, shared }, isPermitted, half);
  await role.step(PSI_STEPS[1]);
  await role.channel.send(GATEWAY, PSI_KINDS.result, encodePsiResult(result));
}

function sumEngineOf(role: DomainRole): SumEngine {
  return poolSumEngine(role.pool, availableParallelism(), role.channel.signal);
}

/** A table for the recipient's eyes, with this domain's word for it. */
function stated(role: DomainRole, release: Release): Promise<string> {
  const { runId, contractHash } = role.descriptor;
  const { recipient } = role.contract;
  return encodeStatement({ runId, contractHash }, role.self, release, recipient, role.identity);
}

/** Disclosure control over the one number: one cell, to which both holders contribute. */
function permits(role: DomainRole, shared: number): boolean {
  const permitted = new Uint8Array([1]);
  const cell = { counts: Float64Array.of(shared), contributors: Uint16Array.of(2) };
  for (const stage of role.stages) stage.apply(cell, role.contract.disclosure, permitted);
  return permitted[0] === 1;
}

async function resultOf(
  matching: Matching,
  outcome: ReceiverOutcome,
  isPermitted: boolean,
  half: bigint | undefined,
): Promise<PsiResult> {
  const { role, shape } = matching;
  const { ask } = shape.plan;
  const { shared } = outcome;
  if (ask === 'cardinality') return { ask, shared: isPermitted ? shared : null };
  if (ask === 'sum') {
    const rows = isPermitted && half !== undefined ? [[shared, half.toString()]] : [];
    return { ask, statement: await stated(role, { ...HALF, columns: ['shared', 'half'], rows }) };
  }
  // Sealed also where nothing may be released, so that the gateway cannot tell by its absence.
  const keys = isPermitted ? await sharedKeys(matching, outcome) : [];
  const release: Release = {
    columns: shape.plan.key.map(({ as }) => as),
    rows: keys,
    suppressedCells: isPermitted ? 0 : 1,
    releasedCells: keys.length,
  };
  return { ask, statement: await stated(role, release) };
}

/**
 * The shared keys in canonical form, read a second time and known again by their digests: should
 * the source give its rows in another order now, no key that is not shared is revealed.
 */
async function sharedKeys(
  { role, shape, log }: Matching,
  outcome: ReceiverOutcome,
): Promise<readonly (readonly string[])[]> {
  const rowsShared = outcome.rows ?? new Uint32Array(0);
  if (rowsShared.length > REVEALED_KEYS_MAX) throw tooMany(role.self);
  const wanted = await digestsAt(log, rowsShared);
  const { names, forms } = keyColumnsOf(shape.plan, role.self);
  const keys: string[][] = [];
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  for await (const rows of role.source.streamColumns(names, READ_ROWS, role.channel.signal)) {
    const withKey: number[] = [];
    const piece = digestKeys(HASH, role.descriptorHash, forms, rows, tally, (index) =>
      withKey.push(index),
    );
    withKey.forEach((index, place) => {
      const name = nameOf(piece, place);
      const left = wanted.get(name) ?? 0;
      if (left === 0) return;
      wanted.set(name, left - 1);
      keys.push(canonicalRow(forms, rows[index] ?? []));
    });
  }
  return keys.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** How often each digest stands at one of the places. */
async function digestsAt(log: PieceLog, places: Uint32Array): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let first = 0;
  let next = 0;
  for await (const piece of log.read()) {
    const end = first + piece.length / DIGEST_BYTES;
    for (; (places[next] ?? end) < end; next++) {
      const name = nameOf(piece, (places[next] ?? 0) - first);
      found.set(name, (found.get(name) ?? 0) + 1);
    }
    first = end;
  }
  return found;
}

function nameOf(piece: Uint8Array, place: number): string {
  const digest = piece.subarray(place * DIGEST_BYTES, (place + 1) * DIGEST_BYTES);
  return Buffer.from(digest.buffer, digest.byteOffset, DIGEST_BYTES).toString('base64');
}

function canonicalRow(forms: readonly KeyColumn[], row: readonly (string | null)[]): string[] {
  return forms.map((form, index) => {
    const value = canonicalValue(form, row[index] ?? null);
    return typeof value === 'string' ? value : '';
  });
}

function tooMany(party: PartyId): PolicyError {
  return new PolicyError('plan-outside-contract', 'More keys are shared than one run may reveal.', {
    party,
    rule: `at most ${REVEALED_KEYS_MAX} revealed keys`,
    remedy: 'Ask for the number of shared keys instead.',
    dependedOnRows: true,
  });
}
