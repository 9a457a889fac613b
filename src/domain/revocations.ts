/**
 * Revocations between this domain and its gateway: heard at any time, and this holder's own told
 * anew on every link, so that one made while the link was down reaches the gateway and, through it,
 * the other holders. Its pauses are told in the same way.
 */
import type { Contract } from '../contracts/contract.ts';
import { DOMAIN_ASKS, PausedSchema, RevokedSchema } from '../contracts/link-messages.ts';
import type { Pause } from '../contracts/notices.ts';
import { contractHash } from '../contracts/signed-documents.ts';
import { AbortError, InputError, PolicyError, StateError, WeirError } from '../errors.ts';
import type { Link } from '../link/link.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { DomainState } from './domain-state.ts';
import type { RunSessions } from './run-sessions.ts';
import { findSigned } from './signed-contracts.ts';

const PAGE_MAX = 100;

/**
 * Answers `contract.revoked`.
 * @param ended - ends what waits for officers or was kept between runs of a contract.
 * @throws InputError `malformed-message`; IdentityError
 */
export async function hearRevocation(
  state: Pick<DomainState, 'store' | 'standing' | 'pins' | 'identity'>,
  sessions: Pick<RunSessions, 'abortContract'>,
  ended: (contractHash: Hash) => Promise<void>,
  body: unknown,
): Promise<null> {
  const parsed = RevokedSchema.safeParse(body);
  if (!parsed.success) throw new InputError('malformed-message', 'This is no revocation.');
  const { signed, contract } = parsed.data;
  const hash = contractHash(contract);
  // Of contracts this holder signed, or by itself or a holder it has pinned: a database restored from
  // before the signature has forgotten it. So no gateway can fill the store with strangers'.
  const { party } = signed.revocation;
  const isKnown = (await findSigned(state.store, hash)) !== undefined;
  if (!isKnown && !isFamiliar(state, contract, party)) return null;
  await state.standing.revoke(signed, contract);
  sessions.abortContract(
    hash,
    new PolicyError('contract-revoked', 'A holder has revoked the contract.', {
      party,
    }),
  );
  await ended(hash);
  return null;
}

/**
 * Answers `contract.paused`: another holder's word, of a contract that this one signed. A gateway that
 * keeps it back changes nothing that holder itself refuses.
 * @throws InputError `malformed-message`; IdentityError
 */
export async function hearPause(
  state: Pick<DomainState, 'store' | 'standing'>,
  sessions: Pick<RunSessions, 'abortContract'>,
  self: PartyId,
  body: unknown,
): Promise<null> {
  const parsed = PausedSchema.safeParse(body);
  if (!parsed.success) throw new InputError('malformed-message', 'This is no pause.');
  const { signed, contract } = parsed.data;
  const { party } = signed.pause;
  const hash = contractHash(contract);
  // The own officer's words are taken from this domain's own books alone.
  if (party === self || (await findSigned(state.store, hash)) === undefined) return null;
  await state.standing.hear(signed, contract);
  if ((await state.standing.standingOf(hash)) === 'suspended') {
    sessions.abortContract(
      hash,
      new StateError('contract-not-active', 'A holder has suspended the contract.', { party }),
    );
  }
  return null;
}

/** The contract names the party with a key that is pinned here, or with this domain's own. */
function isFamiliar(
  { pins, identity }: Pick<DomainState, 'pins' | 'identity'>,
  contract: Contract,
  party: PartyId,
): boolean {
  const holder = contract.holders.find(({ id }) => id === party);
  const pinned = pins.key('holders', party);
  const known = pinned === undefined ? [identity.publicKey] : [identity.publicKey, pinned];
  return known.some((key) => holder?.signKey === encodeBase64url(key));
}

/**
 * Tells the gateway of every revocation of this holder, and whether it suspended or resumed, for
 * each contract that has not ended by itself.
 * @throws AbortError where the link ends meanwhile
 */
export async function tellNotices(
  link: Pick<Link, 'request'>,
  state: Pick<DomainState, 'store' | 'standing'>,
  self: PartyId,
  nowMs: number,
  log: Log,
): Promise<void> {
  const { standing } = state;
  const tell = async (method: string, notice: Named, signed: object): Promise<void> => {
    if (notice.party !== self) return;
    const contract = await findSigned(state.store, notice.contractHash);
    if (contract === undefined || Date.parse(contract.validity.notAfter) <= nowMs) return;
    try {
      await link.request(method, { signed });
    } catch (error) {
      if (error instanceof AbortError || !(error instanceof WeirError)) throw error;
      // The gateway does not know the contract, say: the notice stands here all the same.
      const { contractId } = notice;
      log.warn({ contractId, code: error.code }, 'the gateway did not take a notice');
    }
  };
  await eachOf(
    (after) => standing.revocations(after, PAGE_MAX),
    async (signed) => {
      await tell(DOMAIN_ASKS.revoke, signed.revocation, signed);
      return signed.revocation.contractHash;
    },
  );
  await eachOf(
    (after) => standing.pauses(after, PAGE_MAX),
    async (signed) => {
      await tell(DOMAIN_ASKS.pause, signed.pause, signed);
      return signed.pause.contractHash;
    },
  );
}

type Named = Pick<Pause, 'party' | 'contractId' | 'contractHash'>;

/** @param each - answers what the next page comes after. */
async function eachOf<Item>(
  pageAfter: (after: Hash | undefined) => Promise<readonly Item[]>,
  each: (item: Item) => Promise<Hash>,
): Promise<void> {
  let after: Hash | undefined;
  for (;;) {
    const page = await pageAfter(after);
    for (const item of page) after = await each(item);
    if (page.length < PAGE_MAX) return;
  }
}
