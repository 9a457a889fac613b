/**
 * The officer takes a contract out of force, for good or for a while, and back. Each notice is
 * signed and takes effect in this domain first; the gateway is told, at once or on the next link.
 */
import type { Contract } from '../contracts/contract.ts';
import { DOMAIN_ASKS, FiledContractSchema } from '../contracts/link-messages.ts';
import { signPause, signRevocation } from '../contracts/notices.ts';
import { contractHash, verifyContractSignature } from '../contracts/signed-documents.ts';
import { AbortError, PolicyError, StateError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { ContractId, Hash, PartyId } from '../system/ids.ts';
import type { Decision } from './admin-messages.ts';
import type { ArtifactStore } from './artifact-store.ts';
import type { DomainState } from './domain-state.ts';
import type { GatewayLinks } from './gateway-links.ts';
import type { HeldBook } from './held-results.ts';
import type { RunSessions } from './run-sessions.ts';
import { findSigned, findSignedById, keepSigned } from './signed-contracts.ts';

export interface NoticeParts {
  readonly self: PartyId;
  readonly state: Pick<DomainState, 'store' | 'standing' | 'identity'>;
  readonly links: Pick<GatewayLinks, 'request' | 'tell'>;
  readonly sessions: Pick<RunSessions, 'abortContract'>;
  readonly artifacts: Pick<ArtifactStore, 'purgeContract'>;
  readonly held: Pick<HeldBook, 'endContract'>;
  readonly clock: Clock;
}

/** Takes effect here first, durably, whether or not the gateway hears of it. */
export async function revoke(
  parts: NoticeParts,
  id: ContractId,
  decision: Decision,
): Promise<void> {
  const { state, sessions, artifacts, links } = parts;
  const known = await findSigned(state.store, decision.hash);
  const contract = known ?? (await signedBefore(parts, id, decision.hash));
  if (contract?.id !== id) throw notSigned();
  const signed = signRevocation(
    { format: 'weir-revocation/1', ...noticeOf(parts, contract, decision) },
    state.identity,
  );
  await state.standing.revoke(signed, contract);
  const reason = new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
    party: parts.self,
  });
  sessions.abortContract(decision.hash, reason);
  await artifacts.purgeContract(decision.hash);
  await parts.held.endContract(decision.hash, parts.clock.now());
  try {
    await links.tell(DOMAIN_ASKS.revoke, { signed });
  } catch (error) {
    // In force here all the same; told again when the link is back.
    if (!(error instanceof AbortError)) throw error;
  }
}

/**
 * Suspends a contract or lets its runs begin again; runs at work here end.
 * @throws StateError `contract-unknown`; PolicyError `contract-revoked`
 */
export async function pause(
  parts: NoticeParts,
  id: ContractId,
  standing: 'suspended' | 'resumed',
  reason: string,
): Promise<void> {
  const { state, sessions, links, self } = parts;
  const contract = await findSignedById(state.store, id);
  if (contract === undefined) throw notSigned();
  const hash = contractHash(contract);
  const signed = signPause(
    { format: 'weir-pause/1', standing, ...noticeOf(parts, contract, { hash, reason }) },
    state.identity,
  );
  await state.standing.pause(signed, contract);
  if ((await state.standing.standingOf(hash)) === 'revoked') {
    throw new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
      remedy: 'Agree on a new contract.',
    });
  }
  if (standing === 'suspended') {
    const why = new StateError('contract-not-active', 'A holder has suspended the contract.', {
      party: self,
    });
    sessions.abortContract(hash, why);
  }
  try {
    await links.tell(DOMAIN_ASKS.pause, { signed });
  } catch (error) {
    // It stands here all the same; told again when the link is back.
    if (!(error instanceof AbortError)) throw error;
  }
}

/**
 * A contract whose signature this domain has forgotten, with a database restored from before it: the
 * signature stands all the same, so the gateway is asked for it, and it is kept anew.
 */
async function signedBefore(
  parts: NoticeParts,
  id: ContractId,
  hash: Hash,
): Promise<Contract | undefined> {
  const { state, self, links, clock } = parts;
  const answer = await links.request(DOMAIN_ASKS.contract, { id });
  const filed = FiledContractSchema.safeParse(answer);
  if (!filed.success || contractHash(filed.data.contract) !== hash) return undefined;
  const { contract, signatures } = filed.data;
  const own = signatures.find(({ party }) => party === self);
  const holder = contract.holders.find((party) => party.id === self);
  if (own === undefined || holder?.signKey !== encodeBase64url(state.identity.publicKey)) {
    return undefined;
  }
  verifyContractSignature(contract, own);
  await keepSigned(state.store, contract, own.jws, clock.now());
  return contract;
}

function notSigned(): StateError {
  return new StateError('contract-unknown', 'This domain has not signed such a contract.', {
    remedy: '`weir contract list` shows what it signed.',
  });
}

/** What every notice about a contract names. */
export function noticeOf(
  parts: Pick<NoticeParts, 'self' | 'clock'>,
  contract: Contract,
  decision: Decision,
): {
  contractId: ContractId;
  contractHash: Decision['hash'];
  party: PartyId;
  reason: string;
  at: string;
} {
  return {
    contractId: contract.id,
    contractHash: decision.hash,
    party: parts.self,
    reason: decision.reason ?? '',
    at: new Date(parts.clock.now()).toISOString(),
  };
}
