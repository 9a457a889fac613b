/** The gateway's part of a sealed sum: it relays the counting round and adds what it cannot open. */
import { AbortError } from '../../errors.ts';
import { encodeBase64url } from '../../system/base64url.ts';
import type { PartyId } from '../../system/ids.ts';
import { frameBytes, type FramePlace } from '../../../protocols/homomorphic/messages.ts';
import type { AddFramesArgument } from '../../../workers/homomorphic.ts';
import type { GatewayRole, HeldComputation, Release } from '../computation.ts';
import { relayCounting } from '../secure-sum/gateway.ts';
import { sealedShapeOf } from './shape.ts';
import { STATEMENT_BYTES_MAX, statementText } from './statement.ts';
import { asSealedAbort, SEALED_COLUMN, SEALED_KINDS } from './wire.ts';

/** Frames added at a time: what bounds the gateway's memory however many parties there are. */
const FRAMES_AT_ONCE = 4;
/** Share of a run's progress that the counting round takes. */
const COUNTING_SHARE = 0.4;

/** @see Computation.runGateway */
export async function runSealedSumGateway(role: GatewayRole): Promise<Release> {
  await SEALED_SUM_HELD.relay(role);
  return SEALED_SUM_HELD.finish(role);
}

/** Without the masked ciphertexts of every domain the others' open to uniform residues. */
export const SEALED_SUM_HELD: HeldComputation = {
  kinds: [SEALED_KINDS.statement, SEALED_KINDS.sealed],
  relay: (role) =>
    asSealedAbort(() => {
      const { base } = sealedShapeOf(role.contract, role.descriptor.arguments);
      return relayCounting(
        role,
        base,
        role.descriptor.parties.map(({ id }) => id),
      );
    }),
  finish: (role) => addSealed(role),
};

async function addSealed(role: GatewayRole): Promise<Release> {
  return asSealedAbort(async () => {
    const { descriptor, channel } = role;
    const shape = sealedShapeOf(role.contract, descriptor.arguments);
    const parties = descriptor.parties.map(({ id }) => id);
    const [first] = descriptor.parties;
    if (first === undefined) throw malformed();
    const statement = statementText(
      await channel.receive(first.id, SEALED_KINDS.statement, STATEMENT_BYTES_MAX),
    );
    const rows = [[statement], [JSON.stringify(descriptor)]];
    for (const [index, place] of shape.places.entries()) {
      rows.push([encodeBase64url(await sumAt(role, place, parties))]);
      const share = ((index + 1) / shape.places.length) * (1 - COUNTING_SHARE);
      role.progress(COUNTING_SHARE + share, 'Ciphertexts are being added.');
    }
    // How many cells were released is the recipient's to see.
    return { columns: [SEALED_COLUMN], rows, suppressedCells: 0, releasedCells: 0 };
  });
}

async function sumAt(
  role: GatewayRole,
  place: FramePlace,
  parties: readonly PartyId[],
): Promise<Uint8Array> {
  let sum: Uint8Array | undefined;
  for (let at = 0; at < parties.length; at += FRAMES_AT_ONCE) {
    const received = await Promise.all(
      parties
        .slice(at, at + FRAMES_AT_ONCE)
        .map((party) => role.channel.receive(party, SEALED_KINDS.sealed, frameBytes(place))),
    );
    const frames = sum === undefined ? received : [sum, ...received];
    const task: AddFramesArgument = { place, frames };
    sum = await role.pool.run<Uint8Array>('homomorphic', 'addFramesTask', task, {
      signal: role.channel.signal,
    });
  }
  if (sum === undefined) throw malformed();
  return sum;
}

function malformed(): AbortError {
  return new AbortError('transcript-mismatch', 'A message of the sealed sum is malformed.');
}
