/**
 * Answers `run.countersign`: a receipt of a run that this domain counted itself, by its own gateway,
 * whose audit head is part of the log this domain has followed, and in which every other domain's
 * count is that domain's own word and continues what it said before.
 */
import {
  type Countersignature,
  countersignReceipt,
  type SignedReceipt,
} from '../contracts/receipt.ts';
import { CountersignSchema, spendsOf } from '../contracts/run-messages.ts';
import { type SignedSpend, spendHash } from '../contracts/spend.ts';
import { IdentityError, InputError, StateError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { ChainHead } from '../system/hash-link.ts';
import type { PartyId } from '../system/ids.ts';
import type { DomainConfig } from './config.ts';
import type { DomainState } from './domain-state.ts';

/** What of the domain's state is used here. */
export type CountersignState = Pick<DomainState, 'counters' | 'identity' | 'pins' | 'spendWitness'>;

/**
 * @param vouch - resolves where a head is one of the gateway's log; throws otherwise.
 * @throws InputError, IdentityError, StateError where the receipt is not of a run of this domain.
 */
export function countersigner(
  state: CountersignState,
  config: { readonly party: PartyId; readonly gateway: Pick<DomainConfig['gateway'], 'publicKey'> },
  vouch: (head: ChainHead) => Promise<void>,
): (body: unknown) => Promise<Countersignature> {
  return async (body) => {
    const parsed = CountersignSchema.safeParse(body);
    if (!parsed.success) throw new InputError('malformed-message', 'This is no receipt.');
    const { receipt: signed } = parsed.data;
    const spends = spendsOf(parsed.data);
    const own = await ownSpend(state, signed, config.party);
    const { audit } = signed.receipt;
    const answer = countersignReceipt(
      signed,
      { ...own, spend: { seq: own.seq, hash: spendHash(own) } },
      config.party,
      state.identity,
      (publicKey) => encodeBase64url(publicKey) === config.gateway.publicKey,
    );
    await Promise.all([
      vouch({ size: BigInt(audit.size), hash: audit.hash }),
      witnessPeers(state, signed, spends, config.party),
    ]);
    return answer;
  };
}

async function ownSpend(
  state: CountersignState,
  signed: SignedReceipt,
  self: PartyId,
): Promise<SignedSpend['spend']> {
  const claimed = signed.receipt.spends.find((spend) => spend.party === self);
  const [own] = claimed === undefined ? [] : await state.counters.statements(claimed.seq - 1, 1);
  if (own !== undefined) return own.spend;
  throw new StateError('descriptor-mismatch', 'This domain counted no such run.', { party: self });
}

/** Each spend in the receipt is a statement of its domain for this very run, and fits its history. */
async function witnessPeers(
  state: CountersignState,
  signed: SignedReceipt,
  spends: readonly SignedSpend[],
  self: PartyId,
): Promise<void> {
  const { receipt } = signed;
  const witnessed: Promise<void>[] = [];
  for (const { party, seq, hash } of receipt.spends) {
    if (party === self) continue;
    const statement = spends.find((one) => one.spend.party === party && one.spend.seq === seq);
    const isOfThisRun =
      statement !== undefined &&
      spendHash(statement.spend) === hash &&
      statement.spend.runId === receipt.runId &&
      statement.spend.descriptorHash === receipt.descriptorHash;
    if (!isOfThisRun) {
      throw new StateError('descriptor-mismatch', 'A spend in the receipt is not of this run.', {
        party,
        rule: 'every domain’s own signed statement',
      });
    }
    const publicKey = state.pins.key('holders', party);
    if (publicKey === undefined) {
      throw new IdentityError('party-not-pinned', 'A holder of the run is not pinned here.', {
        party,
      });
    }
    witnessed.push(state.spendWitness.witness(statement, publicKey));
  }
  await Promise.all(witnessed);
}
