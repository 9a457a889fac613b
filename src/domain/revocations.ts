/**
 * Revocations between this domain and its gateway: heard at any time, and this holder's own told
 * anew on every link, so that one made while the link was down reaches the gateway and, through it,
 * the other holders.
 */
import { DOMAIN_ASKS, RevokedSchema } from '../contracts/link-messages.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import { AbortError, InputError, PolicyError, WeirError } from '../errors.ts';
import type { Link } from '../link/link.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { DomainState } from './domain-state.ts';
import type { RunSessions } from './run-sessions.ts';
import { findSigned } from './signed-contracts.ts';

const PAGE_MAX = 100;

/** Answers `contract.revoked`. @throws InputError `malformed-message`; IdentityError */
export async function hearRevocation(
  state: Pick<DomainState, 'store' | 'standing'>,
  sessions: Pick<RunSessions, 'abortContract'>,
  body: unknown,
): Promise<null> {
  const parsed = RevokedSchema.safeParse(body);
  if (!parsed.success) throw new InputError('malformed-message', 'This is no revocation.');
  const { signed, contract } = parsed.data;
  const hash = contractHash(contract);
  // Only of contracts this holder signed: a gateway cannot fill the store with strangers'.
  if ((await findSigned(state.store, hash)) === undefined) return null;
  await state.standing.revoke(signed, contract);
  sessions.abortContract(
    hash,
    new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
      party: signed.revocation.party,
    }),
  );
  return null;
}

/**
 * Tells the gateway of every revocation of this holder whose contract has not ended by itself.
 * @throws AbortError where the link ends meanwhile
 */
export async function tellRevocations(
  link: Pick<Link, 'request'>,
  state: Pick<DomainState, 'store' | 'standing'>,
  self: PartyId,
  nowMs: number,
  log: Log,
): Promise<void> {
  let after: Hash | undefined;
  for (;;) {
    const page = await state.standing.revocations(after, PAGE_MAX);
    for (const signed of page) {
      const { contractHash: hash, contractId } = signed.revocation;
      after = hash;
      if (signed.revocation.party !== self) continue;
      const contract = await findSigned(state.store, hash);
      if (contract === undefined || Date.parse(contract.validity.notAfter) <= nowMs) continue;
      try {
        await link.request(DOMAIN_ASKS.revoke, { signed });
      } catch (error) {
        if (error instanceof AbortError || !(error instanceof WeirError)) throw error;
        // The gateway does not know the contract, say: it stands revoked here all the same.
        log.warn({ contractId, code: error.code }, 'the gateway did not take a revocation');
      }
    }
    if (page.length < PAGE_MAX) return;
  }
}
