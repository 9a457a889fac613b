/**
 * The domain's part of an unbalanced match. The large side reads its rows only where it has no filter
 * of this version; the small side keeps what it was sent.
 */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { StateError } from '../../../errors.ts';
import type { Hash, PartyId } from '../../../system/ids.ts';
import { lengthPrefixed } from '../../../../protocols/common/bytes.ts';
import { ProtocolError } from '../../../../protocols/common/protocol-error.ts';
import { prepareSet, type PsiMachine } from '../../../../protocols/psi/blinded-set.ts';
import type { PsiParams } from '../../../../protocols/psi/params.ts';
import type { ReceiverOutcome } from '../../../../protocols/psi/receiver.ts';
import { blindingPair } from '../../../../protocols/psi/unbalanced/oprf.ts';
import { runOprfReceiver } from '../../../../protocols/psi/unbalanced/receiver.ts';
import { runOprfSender } from '../../../../protocols/psi/unbalanced/sender.ts';
import type { DomainRole } from '../../computation.ts';
import type { MatchShape } from '../shape.ts';
import { ownFilter, peerFilter } from './kept-filters.ts';
import { poolOprf } from './pool-oprf.ts';
import { forgetfulPrecomputed, type Precomputed } from './precomputed.ts';

/**
 * Evaluations under one contract, whatever its limits: points chosen in a chain weaken a key by the
 * square root of their number, and 112 bits are to be left.
 */
const EVALUATIONS_MAX = 2 ** 28;

/** A run of this domain. */
export interface UnbalancedMatching {
  readonly role: DomainRole;
  readonly shape: MatchShape;
  readonly params: PsiParams;
  readonly machine: PsiMachine;
  /** Digests of the own join keys, in the order of the rows. */
  readonly digests: () => AsyncIterable<Uint8Array>;
  /** The set was read: items with a key, and different keys among them. */
  readonly onRead: (tally: { readonly items: number; readonly distinct: number }) => void;
  /** Before the first message that depends on data, with the number of items with a key. */
  readonly beforeSending: (items: number) => Promise<void>;
}

/**
 * What join keys are digested with: the same in every run over this version of the sender's data, and
 * in no other contract's.
 */
export function filterContext(role: DomainRole, shape: MatchShape): Uint8Array {
  const { contractHash } = role.descriptor;
  const parts = ['weir-psi-oprf/1', contractHash, versionOf(role, shape.sender)];
  return createHash('sha256').update(lengthPrefixed(parts)).digest();
}

/** The large side: evaluates what it is asked, and counts it first. */
export async function sendUnbalanced(matching: UnbalancedMatching): Promise<void> {
  const { role, shape, params, digests, onRead, beforeSending } = matching;
  const precomputed = precomputedOf(role);
  const machine = { ...matching.machine, oprf: oprfOf(role) };
  const version = versionOf(role, role.self);
  const making = { precomputed, version, params, machine, digests, onBuilt: onRead };
  const filter = await ownFilter(making);
  try {
    await beforeSending(filter.keys);
    const perRun = shape.itemsMax.get(shape.receiver) ?? 0;
    const evaluationsMax = Math.min(perRun * role.contract.limits.runsTotal, EVALUATIONS_MAX);
    const meter = (evaluations: number): Promise<void> =>
      precomputed.meter(evaluations, evaluationsMax);
    await runOprfSender(role.sealedTo(shape.receiver), params, machine, filter, meter);
  } finally {
    filter.key.fill(0);
  }
}

/** The small side: which of its rows the other side has too. */
export async function receiveUnbalanced(matching: UnbalancedMatching): Promise<ReceiverOutcome> {
  const { role, shape, params, digests, onRead, beforeSending } = matching;
  const precomputed = precomputedOf(role);
  const machine = { ...matching.machine, oprf: oprfOf(role) };
  const pair = blindingPair(machine.randomBytes);
  try {
    const set = await prepareSet(params, machine, digests(), [], pair.secret);
    onRead(set);
    try {
      await beforeSending(set.items);
      const kept = peerFilter(precomputed, versionOf(role, shape.sender));
      const channel = role.sealedTo(shape.sender);
      return await runOprfReceiver(channel, params, machine, set, pair, kept);
    } finally {
      await set.close();
    }
  } catch (error) {
    // A copy that is not what it was would fail every run to come: the next one is sent it anew.
    if (error instanceof ProtocolError && error.code === 'message-malformed') {
      await precomputed.keepOnly([]);
    }
    throw error;
  } finally {
    pair.inverse.fill(0);
  }
}

function oprfOf(role: DomainRole): ReturnType<typeof poolOprf> {
  return poolOprf(role.pool, availableParallelism(), role.channel.signal);
}

function precomputedOf(role: DomainRole): Precomputed {
  return role.precomputed ?? forgetfulPrecomputed();
}

/** The version of a party's data that it signed for this run. */
function versionOf({ descriptor }: DomainRole, party: PartyId): Hash {
  const found = descriptor.parties.find(({ id }) => id === party);
  if (found !== undefined) return found.datasetFingerprint;
  throw new StateError('descriptor-mismatch', 'The descriptor lists no such party.', { party });
}
