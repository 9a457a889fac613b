/**
 * The domain's part of a weighted sum: the weights, checked before anything of its data leaves; the
 * counting round with everything that a release of the cells would be held to; then its shares of
 * the cells times the weights.
 */
import { StateError } from '../../errors.ts';
import { GATEWAY } from '../../system/ids.ts';
import { viewOf } from '../../../protocols/common/bytes.ts';
import type { MaskPeer } from '../../../protocols/homomorphic/masks.ts';
import type { WeighArgument } from '../../../workers/weights.ts';
import type { DomainRole } from '../computation.ts';
import { requirePlanned } from '../planned.ts';
import { maskPeers } from '../sealed-sum/mask-peers.ts';
import { encodeStatement, tagKeyOf, WEIGHTS_STATEMENT } from '../sealed-sum/statement.ts';
import { asSealedAbort } from '../sealed-sum/wire.ts';
import { countFirst, SECURE_SUM_STEPS, type Counted } from '../secure-sum/domain.ts';
import { measuredLanes } from '../secure-sum/lanes.ts';
import { receiveWeights, type ReceivedWeights } from './attachment.ts';
import { countedCells } from './counted-cells.ts';
import { ENGINE } from './estimate.ts';
import { weightedShapeOf, type WeightedShape } from './shape.ts';
import { WEIGHTED_KINDS } from './wire.ts';

/** Reached, in this order, before the first message of each kind that depends on data leaves. */
export const SECRET_WEIGHTS_STEPS = [
  SECURE_SUM_STEPS[0],
  SECURE_SUM_STEPS[1],
  'round2.weighted',
] as const;

const SECRET_BYTES = 32;

interface Weighing {
  readonly role: DomainRole;
  readonly shape: WeightedShape;
  readonly weights: ReceivedWeights;
  readonly cells: BigInt64Array<ArrayBuffer>;
  readonly peers: readonly MaskPeer[];
  readonly tagKey: Uint8Array;
  readonly ownSecret: Uint8Array;
}

/** @see Computation.runDomain */
export async function runSecretWeightsDomain(role: DomainRole): Promise<void> {
  await asSealedAbort(async () => {
    const { contract, channel, attachmentHash } = role;
    const shape = verifiedShape(role);
    const weights = await receiveWeights(contract, shape, attachmentHash, () =>
      channel.receive(GATEWAY, WEIGHTED_KINDS.weights),
    );
    await countFirst(role, shape.base, (counted) => weighingRound(role, shape, weights, counted));
  });
}

/** @throws StateError `descriptor-mismatch` where another run was planned. */
function verifiedShape(role: DomainRole): WeightedShape {
  const shape = weightedShapeOf(role.contract, role.descriptor.arguments);
  const { base, lanes } = shape;
  requirePlanned(role, { protocol: 'secret-weights', engine: ENGINE, cells: base.cells, lanes });
  return shape;
}

/** Only after every party has signed the same suppression maps: nothing withheld is multiplied. */
async function weighingRound(
  role: DomainRole,
  shape: WeightedShape,
  weights: ReceivedWeights,
  counted: Counted,
): Promise<void> {
  const peers = await maskPeers(role, counted.order);
  const tagKey = tagKeyOf(counted.seed, role.descriptorHash, WEIGHTS_STATEMENT);
  const ownSecret = role.random.bytes(SECRET_BYTES);
  const cells = permittedCells(shape, counted);
  try {
    await role.step(SECRET_WEIGHTS_STEPS[2]);
    if (isFirst(role)) {
      const told = countedCells(shape, counted.maps);
      const statement = await encodeStatement(WEIGHTS_STATEMENT, role, tagKey, told);
      await role.channel.send(GATEWAY, WEIGHTED_KINDS.statement, statement);
    }
    await sendWeighted({ role, shape, weights, cells, peers, tagKey, ownSecret });
  } finally {
    cells.fill(0n);
    for (const secret of [tagKey, ownSecret]) secret.fill(0);
    for (const { secret } of peers) secret.fill(0);
  }
}

/** A cell without a bit in its map is withheld: what is not known to be permitted never leaves. */
function permittedCells(
  { outputs, base }: WeightedShape,
  { answer, maps }: Counted,
): BigInt64Array<ArrayBuffer> {
  const vectors = measuredLanes(answer);
  const cells = new BigInt64Array(outputs.length * base.cells);
  for (const [index, { vector, map }] of outputs.entries()) {
    const lanes = viewOf(vectors[vector] ?? new Uint8Array(base.cells * 8));
    for (let cell = 0; cell < base.cells; cell++) {
      if (maps[map]?.[cell] === 1)
        cells[index * base.cells + cell] = lanes.getBigInt64(cell * 8, true);
    }
  }
  return cells;
}

/** The next ciphertext is made while one travels: two in memory at most. */
async function sendWeighted(weighing: Weighing): Promise<void> {
  const { role, shape } = weighing;
  let next: Promise<Uint8Array> | undefined;
  for (const index of shape.places.keys()) {
    const product = await (next ?? weighted(weighing, index));
    next = index + 1 === shape.places.length ? undefined : weighted(weighing, index + 1);
    // Awaited in the next turn; until then a failure must not count as unhandled.
    next?.catch(() => {});
    await role.channel.send(GATEWAY, WEIGHTED_KINDS.weighted, product);
  }
}

async function weighted(weighing: Weighing, index: number): Promise<Uint8Array> {
  const { role, shape, weights, peers, tagKey } = weighing;
  const place = shape.places[index];
  if (place === undefined) throw new StateError('round-mismatch', 'No such ciphertext.');
  const cells = weighing.cells.slice();
  const ownSecret = weighing.ownSecret.slice();
  const task: WeighArgument = {
    place,
    weights: weights.ciphertexts[index] ?? new Uint8Array(),
    cells,
    peers,
    tagKey,
    ownSecret,
    isFirst: isFirst(role),
    descriptorHash: role.descriptorHash,
    publicKey: weights.publicKeys[place.residue] ?? new Uint8Array(),
  };
  return role.pool.run<Uint8Array>('weights', 'weighTask', task, {
    transfer: [cells.buffer, ownSecret.buffer as ArrayBuffer],
    signal: role.channel.signal,
  });
}

/** The party that speaks for all where one is enough. */
function isFirst({ descriptor, self }: DomainRole): boolean {
  return descriptor.parties[0]?.id === self;
}
