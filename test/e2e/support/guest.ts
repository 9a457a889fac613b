/** An analyst that takes part in a run by hand, as far and as badly as a test says. */
import { runOwnSetAnalyst, verifyInvitation } from '../../../src/computations/own-set/analyst.ts';
import type { AnalystRole } from '../../../src/computations/own-set/analyst.ts';
import { GuestChannel } from '../../../src/client/guest-channel.ts';
import { prepareRun } from '../../../src/client/analyst.ts';
import type { ContractBody } from '../../../src/contracts/api.ts';
import { GUEST_DESCRIPTOR, GUEST_READY } from '../../../src/contracts/guest-frames.ts';
import { memorySpill } from '../../../protocols/psi/spill.ts';
import { digestKeys } from '../../../protocols/psi/key-batch.ts';
import { inPlaceEngine } from '../../../protocols/psi/blind.ts';
import { systemClock } from '../../../src/system/clock.ts';
import { createExchangeKeys } from '../../../src/system/exchange-keys.ts';
import type { RunId } from '../../../src/system/ids.ts';
import { systemRandom } from '../../../src/system/random.ts';
import { nativeCurve } from '../../../workers/native-curve.ts';
import { nativePrimitives } from '../../../workers/native-primitives.ts';
import type { TestWeir } from './weir.ts';

export interface HandRun {
  readonly runId: RunId;
  readonly channel: GuestChannel;
  /** Verifies the descriptor; what it gives is the role's. */
  invited(): Promise<AnalystRole>;
  /** Says that the descriptor is verified: the holder counts the run from here on. */
  ready(role: AnalystRole): Promise<void>;
  play(role: AnalystRole): Promise<void>;
}

/** A run of the contract with a set of 16, ids as given. */
export async function startByHand(
  weir: TestWeir,
  contract: ContractBody,
  ids: readonly string[],
): Promise<HandRun> {
  const keys = createExchangeKeys(systemRandom);
  const { request, idempotencyKey } = prepareRun(
    contract.contract,
    { items: ['16'] },
    weir.keys,
    { nowMs: systemClock.now() },
    systemRandom,
    { analystKey: Buffer.from(keys.publicKey).toString('base64url') },
  );
  const { client } = weir.analyst;
  const { runId } = await client.startRun(request, idempotencyKey);
  const channel = new GuestChannel(client, runId, contract.contract.analyst.id);
  const [holder] = contract.contract.holders;
  if (holder === undefined) throw new Error('no holder');
  return {
    runId,
    channel,
    async invited() {
      const bytes = await channel.receive(holder.id, GUEST_DESCRIPTOR);
      const invitation = verifyInvitation(bytes, contract.contract, request.request, runId);
      return {
        contract: contract.contract,
        invitation,
        ephemeralSecret: keys.secretKey,
        channel,
        machine: {
          engine: inPlaceEngine(nativeCurve),
          digest: async (context, batch) => digestKeys(nativePrimitives.hash, context, batch),
          openSpill: memorySpill,
          randomBytes: (count) => systemRandom.bytes(count),
        },
        ids: (async function* () {
          yield ids;
        })(),
        random: systemRandom,
      };
    },
    ready: ({ invitation }) => channel.send(holder.id, GUEST_READY, invitation.descriptorHash),
    async play(role) {
      await runOwnSetAnalyst(role);
      await channel.flushed();
    },
  };
}
