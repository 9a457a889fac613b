/** The holder's part: it matches, learns the number, and lets it out noised and above the threshold. */
import { ownCounts } from '../psi/own-counts.ts';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { encodeGuestFrames, GUEST_FRAME } from '../../contracts/guest-frames.ts';
import { noiseShares } from '../../disclosure/noise-vector.ts';
import { assertInvariant, StateError } from '../../errors.ts';
import { GATEWAY } from '../../system/ids.ts';
import { prepareSet } from '../../../protocols/psi/blinded-set.ts';
import type { KeyTally } from '../../../protocols/psi/key-batch.ts';
import { type ProbingMachine, runHolder } from '../../../protocols/psi/own-set.ts';
import type { DomainRole } from '../computation.ts';
import { requirePlanned } from '../planned.ts';
import { fileSpills } from '../psi/file-spill.ts';
import { permittedCells } from '../psi/group-release.ts';
import { keyDigests, poolDigests, READ_ROWS } from '../psi/key-digests.ts';
import { poolEngine, poolProbes } from '../psi/pool-engine.ts';
import { reviewOf } from '../psi/review.ts';
import { keyForm } from '../psi/shape.ts';
import { asPsiAbort } from '../psi/wire.ts';
import { ENGINE, ownSetParams, ownSetShapeOf, type OwnSetShape } from './shape.ts';
import { encodeOwnSetResult, OWN_SET_RESULT } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const OWN_SET_STEPS = ['own-set.points', 'own-set.result'] as const;

/** @see Computation.runDomain */
export async function runOwnSetDomain(role: DomainRole): Promise<void> {
  await asPsiAbort(async () => {
    const shape = verifiedShape(role);
    const directory = await role.source.spillDirectory();
    const { signal } = role.channel;
    const machine: ProbingMachine = {
      engine: poolEngine(role.pool, availableParallelism(), signal),
      probe: poolProbes(role.pool, signal),
      openSpill: fileSpills(directory, role.random),
      randomBytes: (count) => role.random.bytes(count),
    };
    try {
      const shared = await counted(role, shape, machine);
      await release(role, shape, shared);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}

/** The exact number: it stays in this process. */
async function counted(
  role: DomainRole,
  shape: OwnSetShape,
  machine: ProbingMachine,
): Promise<number> {
  const { sealedToAnalyst } = role;
  assertInvariant(sealedToAnalyst !== undefined, 'the request has the analyst’s key');
  const params = ownSetParams(shape, role.descriptorHash, 'holder');
  const tally: KeyTally = { rows: 0, keys: 0, nulls: 0, malformed: 0 };
  const set = await prepareSet(params, machine, digests(role, shape, tally));
  role.note?.(ownCounts(tally, set));
  try {
    await role.step(OWN_SET_STEPS[0]);
    return await runHolder(sealedToAnalyst(), params, machine, set, shape.sizes);
  } finally {
    await set.close();
  }
}

function digests(
  { source, channel, descriptorHash, pool }: DomainRole,
  { plan }: OwnSetShape,
  tally: KeyTally,
): AsyncGenerator<Uint8Array> {
  const { column, type, dateFormat } = plan.key;
  return keyDigests(source.streamColumns([column], READ_ROWS, channel.signal), {
    forms: [keyForm(type, dateFormat)],
    context: descriptorHash,
    tally,
    digest: poolDigests(pool, channel.signal),
  });
}

/** Noise first: the threshold is applied to what everyone may see of the number. */
async function release(role: DomainRole, shape: OwnSetShape, shared: number): Promise<void> {
  const { noiseOf, channel, stages, contract } = role;
  assertInvariant(noiseOf !== undefined, 'a contract with noise runs with its source');
  const [share = 0] = await noiseShares(shape.noise, noiseOf(shape.noise.label), 1);
  const noised = shared + share;
  const cell = Float64Array.of(noised);
  const isPermitted = permittedCells(cell, stages, contract.disclosure, true)[0] === 1;
  await role.step(OWN_SET_STEPS[1]);
  // What the officer sees has the noise on it that the answer has.
  role.review?.(reviewOf(undefined, { number: noised, isPermitted }));
  await channel.send(GATEWAY, GUEST_FRAME, encodeGuestFrames([]));
  const result = encodeOwnSetResult({ shared: isPermitted ? noised : null });
  await channel.send(GATEWAY, OWN_SET_RESULT, result);
}

/** @throws StateError `descriptor-mismatch` where another run was planned, or an exact one. */
function verifiedShape(role: DomainRole): OwnSetShape {
  const { contract, descriptor } = role;
  const shape = ownSetShapeOf(contract, descriptor.arguments);
  const { holder, itemsTotal: lanes } = shape;
  const planned = { protocol: 'psi-own-set', engine: ENGINE, cells: 1, lanes, parties: [holder] };
  requirePlanned(role, planned);
  if (descriptor.noise !== 'none') return shape;
  throw new StateError('descriptor-mismatch', 'The descriptor is not of the run it was made for.');
}
