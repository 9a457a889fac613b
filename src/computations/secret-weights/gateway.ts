/** The gateway's part of a weighted sum: it hands the weights on, relays counts, adds what it cannot open. */
import { AbortError, InvariantError } from '../../errors.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import type { PartyId } from '../../system/ids.ts';
import { ciphertextSizeBytes } from '../../../protocols/common/bgv-ciphertext.ts';
import {
  type WeightsPlace,
  weightsParameters,
} from '../../../protocols/homomorphic/weights-params.ts';
import type { AddWeightedArgument } from '../../../workers/weights.ts';
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { STATEMENT_BYTES_MAX, statementText } from '../sealed-sum/statement.ts';
import { asSealedAbort } from '../sealed-sum/wire.ts';
import { relayCounting } from '../secure-sum/gateway.ts';
import { pieceSizes } from './attachment.ts';
import { weightedShapeOf, type WeightedShape } from './shape.ts';
import { WEIGHTED_COLUMN, WEIGHTED_KINDS } from './wire.ts';

/** Ciphertexts added at a time: what bounds the gateway's memory however many parties there are. */
const PARTS_AT_ONCE = 4;
/** Share of a run's progress until ciphertexts are added. */
const COUNTING_SHARE = 0.4;

/** @see Computation.runGateway */
export async function runSecretWeightsGateway(role: GatewayRole): Promise<Release> {
  await SECRET_WEIGHTS_HELD.relay(role);
  return SECRET_WEIGHTS_HELD.finish(role);
}

/** The weights have gone out before: to add up what was weighed needs none of them. */
export const SECRET_WEIGHTS_HELD: HeldComputation = {
  kinds: [WEIGHTED_KINDS.statement, WEIGHTED_KINDS.weighted],
  relay: (role) =>
    asSealedAbort(async () => {
      const shape = weightedShapeOf(role.contract, role.descriptor.arguments);
      const parties = role.descriptor.parties.map(({ id }) => id);
      await sendWeights(role, shape, parties);
      await relayCounting(role, shape.base, parties);
    }),
  finish: addWeighed,
};

async function addWeighed(role: GatewayRole): Promise<Release> {
  return asSealedAbort(async () => {
    const { descriptor, channel } = role;
    const shape = weightedShapeOf(role.contract, descriptor.arguments);
    const parties = descriptor.parties.map(({ id }) => id);
    const [first] = parties;
    if (first === undefined) throw new AbortError('transcript-mismatch', 'A run without parties.');
    const statement = statementText(
      await channel.receive(first, WEIGHTED_KINDS.statement, STATEMENT_BYTES_MAX),
    );
    const rows = [[statement], [JSON.stringify(descriptor)]];
    for (const [index, place] of shape.places.entries()) {
      rows.push([encodeBase64url(await sumAt(role, place, parties))]);
      const share = ((index + 1) / shape.places.length) * (1 - COUNTING_SHARE);
      role.progress(COUNTING_SHARE + share, 'Ciphertexts are being added.');
    }
    // How many cells were counted is the recipient's to see.
    return { columns: [WEIGHTED_COLUMN], rows, suppressedCells: 0, releasedCells: 0 };
  });
}

async function sendWeights(
  { attachment, channel }: GatewayRole,
  shape: WeightedShape,
  parties: readonly PartyId[],
): Promise<void> {
  if (attachment === undefined) throw new InvariantError('internal', 'a run without its weights');
  let at = 0;
  for (const sizeBytes of pieceSizes(shape)) {
    const piece = attachment.subarray(at, at + sizeBytes);
    at += sizeBytes;
    await Promise.all(parties.map((party) => channel.send(party, WEIGHTED_KINDS.weights, piece)));
  }
}

async function sumAt(
  role: GatewayRole,
  place: WeightsPlace,
  parties: readonly PartyId[],
): Promise<Uint8Array> {
  const bytesMax = ciphertextSizeBytes(weightsParameters(place.residue));
  let sum: Uint8Array | undefined;
  for (let at = 0; at < parties.length; at += PARTS_AT_ONCE) {
    const received = await Promise.all(
      parties
        .slice(at, at + PARTS_AT_ONCE)
        .map((party) => role.channel.receive(party, WEIGHTED_KINDS.weighted, bytesMax)),
    );
    const task: AddWeightedArgument = {
      place,
      parts: sum === undefined ? received : [sum, ...received],
    };
    sum = await role.pool.run<Uint8Array>('weights', 'addWeightedTask', task, {
      signal: role.channel.signal,
    });
  }
  if (sum === undefined) throw new AbortError('transcript-mismatch', 'A run without parties.');
  return sum;
}
