/** The domain's part of a sealed sum: the counting round, then its cells, zeroed, masked, sealed. */
import { GATEWAY } from '../../system/ids.ts';
import type { FramePlace } from '../../../protocols/homomorphic/messages.ts';
import type { MaskPeer } from '../../../protocols/homomorphic/masks.ts';
import { lanesOfFrame } from '../../../protocols/homomorphic/party.ts';
import type { SealFrameArgument } from '../../../workers/homomorphic.ts';
import type { DomainRole } from '../computation.ts';
import { requirePlanned } from '../planned.ts';
import { countFirst, SECURE_SUM_STEPS, type Counted } from '../secure-sum/domain.ts';
import { measuredLanes, measuredMaps } from '../secure-sum/lanes.ts';
import { ENGINE } from './estimate.ts';
import { sealedShapeOf, type SealedShape } from './shape.ts';
import { maskPeers } from './mask-peers.ts';
import { encodeStatement, SEALED_STATEMENT, tagKeyOf } from './statement.ts';
import { asSealedAbort, SEALED_KINDS } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const SEALED_SUM_STEPS = [
  SECURE_SUM_STEPS[0],
  SECURE_SUM_STEPS[1],
  'round2.sealed',
] as const;

const WORKER = 'homomorphic';

interface Sealing {
  readonly role: DomainRole;
  readonly shape: SealedShape;
  readonly vectors: readonly Uint8Array[];
  readonly maps: readonly Uint8Array[];
  readonly peers: readonly MaskPeer[];
  readonly tagKey: Uint8Array;
}

/** @see Computation.runDomain */
export async function runSealedSumDomain(role: DomainRole): Promise<void> {
  await asSealedAbort(async () => {
    const shape = verifiedShape(role);
    await countFirst(role, shape.base, (counted) => sealingRound(role, shape, counted));
  });
}

/** @throws StateError `descriptor-mismatch` where another run was planned. */
function verifiedShape(role: DomainRole): SealedShape {
  const shape = sealedShapeOf(role.contract, role.descriptor.arguments);
  const { base, lanes } = shape;
  requirePlanned(role, { protocol: 'sealed-sum', engine: ENGINE, cells: base.cells, lanes });
  return shape;
}

/** Only after every party has signed the same suppression maps: nothing withheld is in a sum. */
async function sealingRound(role: DomainRole, shape: SealedShape, counted: Counted): Promise<void> {
  const peers = await maskPeers(role, counted.order);
  const tagKey = tagKeyOf(counted.seed, role.descriptorHash, SEALED_STATEMENT);
  const vectors = measuredLanes(counted.answer);
  const maps = measuredMaps(shape.base, counted.maps);
  try {
    await role.step(SEALED_SUM_STEPS[2]);
    if (isFirst(role)) await sendStatement(role, tagKey);
    await sendFrames({ role, shape, vectors, maps, peers, tagKey });
  } finally {
    tagKey.fill(0);
    for (const { secret } of peers) secret.fill(0);
  }
}

async function sendStatement(role: DomainRole, tagKey: Uint8Array): Promise<void> {
  const statement = await encodeStatement(SEALED_STATEMENT, role, tagKey);
  await role.channel.send(GATEWAY, SEALED_KINDS.statement, statement);
}

/** The party that speaks for all where one is enough. */
function isFirst({ descriptor, self }: DomainRole): boolean {
  return descriptor.parties[0]?.id === self;
}

/** The next frame is sealed while one travels: two in memory at most. */
async function sendFrames(sealing: Sealing): Promise<void> {
  const { role, shape } = sealing;
  let next: Promise<Uint8Array> | undefined;
  for (const [index, place] of shape.places.entries()) {
    const frame = await (next ?? sealedFrame(sealing, place));
    const following = shape.places[index + 1];
    next = following === undefined ? undefined : sealedFrame(sealing, following);
    // Awaited in the next turn; until then a failure must not count as unhandled.
    next?.catch(() => {});
    await role.channel.send(GATEWAY, SEALED_KINDS.sealed, frame);
  }
}

function sealedFrame(sealing: Sealing, place: FramePlace): Promise<Uint8Array> {
  const { role, shape, vectors, maps, peers, tagKey } = sealing;
  const { start, end } = lanesOfFrame(place);
  const { vector, laneBytes } = place.vector;
  const lanes = (vectors[vector] ?? new Uint8Array()).slice(start, end);
  zeroWithheld(lanes, laneBytes, maps[vector] ?? new Uint8Array(), start / laneBytes);
  const argument: SealFrameArgument = {
    place,
    lanes,
    peers,
    tagKey,
    isFirst: isFirst(role),
    descriptorHash: role.descriptorHash,
    publicKey: shape.publicKeys[place.residue] ?? new Uint8Array(),
  };
  return role.pool.run(WORKER, 'sealFrameTask', argument, {
    transfer: [lanes.buffer],
    signal: role.channel.signal,
  });
}

/** A cell without a bit in the map is withheld: what is not known to be permitted never leaves. */
function zeroWithheld(
  lanes: Uint8Array,
  laneBytes: number,
  permitted: Uint8Array,
  firstCell: number,
): void {
  for (let at = 0, cell = firstCell; at < lanes.length; at += laneBytes, cell++) {
    if (permitted[cell] !== 1) lanes.fill(0, at, at + laneBytes);
  }
}
