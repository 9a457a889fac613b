/**
 * A run over a set of the analyst's own: its ids are blinded on this machine, and only blinded
 * points leave it, sealed to the holder whose key stands in the contract.
 */
import type { RunEventBody } from '../contracts/api.ts';
import { ITEMS_ARGUMENT } from '../contracts/check-own-set.ts';
import type { SignedContract } from '../contracts/contract.ts';
import { GUEST_DESCRIPTOR, GUEST_READY } from '../contracts/guest-frames.ts';
import { OWN_SET_ITEMS_MIN } from '../contracts/plan.ts';
import type { SignedRequest } from '../contracts/request.ts';
import {
  type AnalystMachine,
  runOwnSetAnalyst,
  verifyInvitation,
} from '../computations/own-set/analyst.ts';
import { ownSetShapeOf } from '../computations/own-set/shape.ts';
import { InputError, StateError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import { createExchangeKeys } from '../system/exchange-keys.ts';
import type { RunId } from '../system/ids.ts';
import type { DateFormat } from '../../protocols/psi/join-key.ts';
import type { KeyTally } from '../../protocols/psi/key-batch.ts';
import { bucketOf } from '../../protocols/psi/params.ts';
import {
  type AnalystKeys,
  fetchResult,
  type FinishedRun,
  prepareRun,
  requireOwnContract,
} from './analyst.ts';
import { isTerminal } from './follow.ts';
import { GuestChannel } from './guest-channel.ts';
import { WeirProblem } from './problem.ts';
import type { WeirClient } from './weir-client.ts';

/** The ids, read once; no more than `count`. */
export interface OwnSet {
  readonly count: number;
  readonly read: () => AsyncIterable<readonly (string | null)[]>;
  /** How they write dates, where the contract's key is one; `iso` where absent. */
  readonly dateFormat?: DateFormat;
}

export interface OwnSetCommand {
  /** With all signatures, as the analyst itself knows it. */
  readonly contract: SignedContract;
  readonly ids: OwnSet;
  readonly keys: AnalystKeys;
  readonly machine: AnalystMachine;
  /** The gateway's identity key, where it is pinned. */
  readonly gatewayKey?: Uint8Array;
  /** Told before anything is sent, so that the result can be fetched again. */
  readonly onStarted?: (runId: RunId, request: SignedRequest) => void;
  readonly onEvent?: (event: RunEventBody) => void;
  readonly signal?: AbortSignal;
}

export interface FinishedOwnSet extends FinishedRun {
  /** What was read of the set, by this machine's own count. */
  readonly tally: KeyTally;
}

/**
 * Runs once: announces the set's bucket, takes part in the run, fetches and verifies the result.
 * @throws IdentityError where the contract is none of the analyst's own, InputError `set-too-large`,
 *   both before anything is asked; WeirProblem with the code the run ended with; StateError
 *   `descriptor-mismatch`, IdentityError, AbortError where the gateway or the holder did not keep to
 *   it: then the run is cancelled.
 */
export async function runOwnSet(
  client: WeirClient,
  command: OwnSetCommand,
): Promise<FinishedOwnSet> {
  const { contract, keys, signal } = command;
  requireOwnContract(contract, keys);
  const items = announcedItems(command);
  const runKey = createExchangeKeys(client.random);
  const { request, idempotencyKey } = prepareRun(
    contract.contract,
    { [ITEMS_ARGUMENT]: [String(items)] },
    keys,
    { nowMs: client.clock.now() },
    client.random,
    { analystKey: encodeBase64url(runKey.publicKey) },
  );
  const { runId } = await client.startRun(request, idempotencyKey);
  command.onStarted?.(runId, request);
  const part = new Part(client, command, runId, request, runKey.secretKey);
  try {
    for await (const event of client.follow(runId, 0, signal)) {
      command.onEvent?.(event);
      if (isTerminal(event.state)) part.end();
    }
    signal?.throwIfAborted();
  } finally {
    part.end();
    await part.ended;
    runKey.secretKey.fill(0);
  }
  try {
    const run = await fetchResult(client, runId, request, command);
    return { ...run, tally: part.tally() };
  } catch (error) {
    // The run was cancelled here, for a reason of its own.
    const isOurs = error instanceof WeirProblem && error.code === 'run-cancelled';
    throw isOurs ? (part.failure ?? error) : error;
  }
}

/** The analyst's part in a run under way. A failure cancels the run. */
class Part {
  readonly ended: Promise<void>;
  failure: unknown;
  readonly #channel: GuestChannel;
  #tally: KeyTally | undefined;

  constructor(
    client: WeirClient,
    command: OwnSetCommand,
    runId: RunId,
    { request }: SignedRequest,
    ephemeralSecret: Uint8Array,
  ) {
    const { contract } = command.contract;
    const channel = new GuestChannel(client, runId, contract.analyst.id, command.signal);
    this.#channel = channel;
    const play = async (): Promise<void> => {
      const { holder } = ownSetShapeOf(contract, request.arguments);
      const bytes = await channel.receive(holder, GUEST_DESCRIPTOR);
      const invitation = verifyInvitation(bytes, contract, request, runId);
      await channel.send(holder, GUEST_READY, invitation.descriptorHash);
      await runOwnSetAnalyst({
        contract,
        invitation,
        ephemeralSecret,
        channel,
        machine: command.machine,
        ids: command.ids.read(),
        ...(command.ids.dateFormat === undefined ? {} : { dateFormat: command.ids.dateFormat }),
        onRead: (tally) => {
          this.#tally = tally;
        },
        random: client.random,
      });
      await channel.flushed();
    };
    this.ended = play().catch(async (error: unknown) => {
      this.failure = error;
      // It may have ended by itself; what it ended with is asked for in any case.
      await client.cancelRun(runId).catch(() => undefined);
    });
  }

  /** The run has ended, or nobody waits for it any more. */
  end(): void {
    this.#channel.close(new StateError('run-cancelled', 'The run has ended.'));
  }

  /** @throws why this side ended, where it did not get as far */
  tally(): KeyTally {
    if (this.#tally !== undefined) return this.#tally;
    throw this.failure;
  }
}

function announcedItems({ contract: { contract }, ids }: OwnSetCommand): number {
  const { plan, sizes } = ownSetShapeOf(contract, {});
  const items = Math.max(OWN_SET_ITEMS_MIN, bucketOf(ids.count));
  if (items <= sizes.analystItems) return items;
  throw new InputError('set-too-large', `The set has ${ids.count} ids.`, {
    rule: `at most ${plan.setSizeMax} by the contract`,
    remedy: `Bring at most ${plan.setSizeMax} ids, or agree on a contract with a higher setSizeMax.`,
  });
}
