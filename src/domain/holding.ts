/**
 * What of a run stays in the domain until officers release it. The computation runs to its end, so
 * that its keys are wiped; only its last messages are kept, as they would have left.
 */
import type { Computation, DomainRole, ReleaseReview } from '../computations/computation.ts';
import { heldOf } from '../computations/held-release.ts';
import type { Contract } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import { HELD_KIND } from '../contracts/officer-release.ts';
import type { RunChannel } from '../link/channel.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type Hash, type RunId } from '../system/ids.ts';
import type { HeldBook, HeldWriter } from './held-results.ts';

/** Where a crash test may end the process: kept, and the gateway not told yet. */
export const HELD_STEP = 'held';

export interface HoldingParts {
  readonly held: Pick<HeldBook, 'begin'>;
  readonly clock: Clock;
  step(name: string, runId: RunId): Promise<void>;
}

export interface HoldingRun {
  readonly contract: Contract;
  readonly contractHash: Hash;
  readonly descriptor: Descriptor;
  readonly descriptorHash: Hash;
  readonly channel: RunChannel;
}

/**
 * Runs `work`, with its last messages kept where the contract asks for officers.
 * @throws what `work` throws; CapacityError `queue-full`, `disk-full`: then nothing is kept.
 */
export async function holding(
  parts: HoldingParts,
  computation: Computation,
  run: HoldingRun,
  work: (role: Pick<DomainRole, 'channel' | 'review'>) => Promise<void>,
): Promise<void> {
  const { contract, contractHash, descriptor, descriptorHash, channel } = run;
  const held = heldOf(computation, contract);
  if (held === undefined || contract.release === undefined) {
    return work({ channel, review: undefined });
  }
  const { runId } = descriptor;
  const writer = parts.held.begin(runId);
  let review: ReleaseReview = { lines: [] };
  try {
    await work({
      channel: keeping(channel, held.kinds, writer),
      review: (shown) => {
        review = shown;
      },
    });
    const heldMs = parts.clock.now();
    const untilMs = heldMs + contract.release.withinS * 1000;
    await writer.keep({ contractHash, descriptorHash, descriptor, review, heldMs, untilMs });
    await parts.step(HELD_STEP, runId);
    await channel.send(GATEWAY, HELD_KIND, new Uint8Array());
  } catch (error) {
    await writer.drop();
    throw error;
  }
}

/** The channel, with what is last kept instead of sent. */
function keeping(
  channel: RunChannel,
  kinds: readonly string[],
  writer: Pick<HeldWriter, 'append'>,
): RunChannel {
  return {
    self: channel.self,
    signal: channel.signal,
    receive: (from, kind, bytesMax) => channel.receive(from, kind, bytesMax),
    send: async (to, kind, payload) => {
      if (to !== GATEWAY || !kinds.includes(kind)) return channel.send(to, kind, payload);
      channel.signal.throwIfAborted();
      await writer.append(kind, payload);
    },
  };
}
