/**
 * The officer's word on results that wait here, and what follows: the gateway is told, at once or on
 * the next link; and once every holder's officer has approved, this domain's part goes. Whether all
 * have is seen here, from their own signatures: a gateway that says so is not believed.
 */
import type { Contract } from '../contracts/contract.ts';
import { DOMAIN_ASKS } from '../contracts/link-messages.ts';
import {
  DeliverSchema,
  signReleaseDecision,
  type SignedReleaseDecision,
  verifyReleaseDecision,
} from '../contracts/officer-release.ts';
import { describeContract, plainText } from '../contracts/plain-words.ts';
import { DELIVERY_GRACE_MS } from '../contracts/release-terms.ts';
import { AbortError, InputError, PolicyError, StateError, WeirError } from '../errors.ts';
import type { Link } from '../link/link.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Clock } from '../system/clock.ts';
import { GATEWAY, type Hash, type PartyId, type RunId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type {
  ReleaseDecisionRequest,
  WaitingRelease,
  WaitingReleaseReview,
} from './admin-messages.ts';
import type { DomainState } from './domain-state.ts';
import type { GatewayLinks } from './gateway-links.ts';
import type { HeldBook, HeldResult } from './held-results.ts';
import type { RunChannels } from './run-session.ts';
import { findSigned } from './signed-contracts.ts';

export interface ReleaseParts {
  readonly self: PartyId;
  readonly state: Pick<DomainState, 'store' | 'standing' | 'identity'>;
  readonly held: HeldBook;
  readonly links: Pick<GatewayLinks, 'tell'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the officer's commands call. */
export interface ReleaseActions {
  releases(): Promise<readonly WaitingRelease[]>;
  reviewRelease(runId: RunId): Promise<WaitingReleaseReview>;
  /** Durable and final once this resolves; the gateway hears of it now or on the next link. */
  decideRelease(runId: RunId, request: ReleaseDecisionRequest): Promise<void>;
}

export function releaseActions(parts: ReleaseParts): ReleaseActions {
  const { held, self, state, clock } = parts;
  return {
    releases: async () => {
      await endOverdue(parts);
      return Promise.all(
        (await held.list()).map(async (one) => waiting(one, await named(parts, one))),
      );
    },
    reviewRelease: async (runId) => {
      const one = await findHeld(held, runId);
      const contract = await named(parts, one);
      const words = describeContract(contract);
      return {
        waiting: waiting(one, contract),
        hash: reviewedHash(one),
        parties: one.descriptor.parties.map(({ id }) => id),
        arguments: one.descriptor.arguments,
        ...one.review,
        zh: plainText(words, 'zh'),
        en: plainText(words, 'en'),
      };
    },
    decideRelease: async (runId, { decision, hash }) => {
      const one = await findHeld(held, runId);
      if (reviewedHash(one) !== hash) {
        throw new StateError(
          'descriptor-mismatch',
          'The result is not the one that was reviewed.',
          {
            remedy: '`weir release show` it again before you decide.',
          },
        );
      }
      if (one.untilMs <= clock.now()) {
        throw new AbortError('run-timed-out', 'The time to release this result is over.');
      }
      const signed = signReleaseDecision(
        {
          format: 'weir-release/1',
          runId,
          contractHash: one.contractHash,
          descriptorHash: one.descriptorHash,
          party: self,
          decision,
          at: new Date(clock.now()).toISOString(),
        },
        state.identity,
      );
      await held.decide(runId, signed);
      try {
        if ((await tell(parts, (...asked) => parts.links.tell(...asked), signed)) !== 'over')
          return;
      } catch (error) {
        // It stands here all the same; told again when the link is back.
        if (error instanceof AbortError) return;
        throw error;
      }
      throw new StateError('run-unknown', 'The run has ended meanwhile; nothing of it is kept.');
    },
  };
}

/** On every new link, and now and then: decisions that the gateway has not taken yet. @throws AbortError where it ends */
export async function tellDecisions(
  link: Pick<Link, 'request'>,
  parts: Pick<ReleaseParts, 'held' | 'clock' | 'log'>,
): Promise<void> {
  await endOverdue(parts);
  for (const signed of await parts.held.untold())
    await tell(parts, (...asked) => link.request(...asked), signed);
}

/** What nobody fetched in time goes. */
export async function endOverdue({
  held,
  clock,
}: Pick<ReleaseParts, 'held' | 'clock'>): Promise<void> {
  const nowMs = clock.now();
  await held.endOverdue(nowMs - 2 * DELIVERY_GRACE_MS, nowMs);
}

/**
 * `over` where the gateway has ended the run: then nothing of it is kept. `untold` where it could not take
 * the decision now: it is told again.
 */
async function tell(
  { held, clock, log }: Pick<ReleaseParts, 'held' | 'clock' | 'log'>,
  ask: (method: string, body: unknown) => Promise<unknown>,
  signed: SignedReleaseDecision,
): Promise<'told' | 'over' | 'untold'> {
  const { runId, decision } = signed.release;
  try {
    await ask(DOMAIN_ASKS.decided, { signed });
  } catch (error) {
    if (error instanceof AbortError || !(error instanceof WeirError)) throw error;
    log.warn({ runId, code: error.code }, 'the gateway did not take a decision on a result');
    if (error.code !== 'round-mismatch') return 'untold';
    await held.end(runId, clock.now());
    return 'over';
  }
  if (decision === 'refused') await held.end(runId, clock.now());
  else await held.told(runId);
  return 'told';
}

/** Answers `run.deliver`; the messages go by themselves. */
export function deliverer(parts: ReleaseParts): {
  /** @param over - the connection that asked: the messages go over it. */
  readonly deliver: (body: unknown, over: RunChannels) => Promise<null>;
  readonly drain: () => Promise<void>;
} {
  const underway = new Set<Promise<void>>();
  return {
    deliver: async (body, over) => {
      const parsed = DeliverSchema.safeParse(body);
      if (!parsed.success) throw new InputError('malformed-message', 'This is no delivery.');
      const { runId, deliveryId, decisions } = parsed.data;
      const one = await findHeld(parts.held, runId);
      await refuseUnreleased(parts, one, decisions);
      const sending = send(parts.held, over, one, deliveryId)
        .catch((error: unknown) => {
          const code = error instanceof WeirError ? error.code : 'internal';
          parts.log.warn({ runId, code }, 'a released result was not delivered');
        })
        .finally(() => underway.delete(sending));
      underway.add(sending);
      return null;
    },
    drain: async () => {
      await Promise.all(underway);
    },
  };
}

/** Every party of the run has approved this very result, and the contract stands. */
async function refuseUnreleased(
  { state }: Pick<ReleaseParts, 'state'>,
  one: HeldResult,
  decisions: readonly SignedReleaseDecision[],
): Promise<void> {
  const contract = await findSigned(state.store, one.contractHash);
  const standing = await state.standing.standingOf(one.contractHash);
  if (contract === undefined || standing === 'revoked') {
    throw new PolicyError('contract-revoked', 'The contract stands here no longer.');
  }
  if (standing === 'suspended') {
    throw new StateError('contract-not-active', 'A holder has suspended the contract.');
  }
  // A decision of its own that this domain did not make it does not take from others.
  const isOwn = one.decision?.release.decision === 'approved';
  for (const { id } of one.descriptor.parties) {
    const signed = decisions.find(({ release }) => release.party === id);
    if (!isOwn || signed?.release.decision !== 'approved') {
      throw new StateError('result-not-ready', 'Not every holder has released the result.', {
        party: id,
        retryAfterS: 60,
      });
    }
    verifyReleaseDecision(signed, contract, one);
  }
}

async function send(
  held: HeldBook,
  over: RunChannels,
  { runId, descriptor }: HeldResult,
  deliveryId: RunId,
): Promise<void> {
  const parties = descriptor.parties.map(({ id }) => id);
  const channel = await over.claimRunChannel({ runId: deliveryId, attempt: 1, parties });
  try {
    for await (const { kind, payload } of held.messages(runId)) {
      await channel.send(GATEWAY, kind, payload);
    }
    channel.close();
  } catch (error) {
    channel.abort(
      error instanceof WeirError ? error : new AbortError('domain-failed', 'A held result failed.'),
    );
    throw error;
  }
}

async function findHeld(held: HeldBook, runId: RunId): Promise<HeldResult> {
  const one = await held.find(runId);
  if (one !== undefined) return one;
  throw new StateError('run-unknown', 'No result of such a run waits here.', {
    remedy: '`weir release list` shows those that do.',
  });
}

async function named({ state }: ReleaseParts, one: HeldResult): Promise<Contract> {
  const contract = await findSigned(state.store, one.contractHash);
  if (contract !== undefined) return contract;
  throw new StateError('contract-unknown', 'This domain has not signed such a contract.');
}

function waiting(one: HeldResult, contract: Contract): WaitingRelease {
  return {
    runId: one.runId,
    contractId: contract.id,
    title: contract.title,
    analyst: contract.analyst.id,
    since: new Date(one.heldMs).toISOString(),
    until: new Date(one.untilMs).toISOString(),
    decision: one.decision?.release.decision ?? null,
  };
}

/** What the officer saw, as one value: a decision names it. */
function reviewedHash({ runId, descriptorHash, review }: HeldResult): Hash {
  return canonicalHash({ runId, descriptorHash, review });
}
