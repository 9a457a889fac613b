/**
 * Answers `run.countersign`: a receipt of a run that this domain counted itself, by its own gateway,
 * whose audit head is part of the log this domain has followed.
 */
import {
  type Countersignature,
  countersignReceipt,
  SignedReceiptSchema,
} from '../contracts/receipt.ts';
import { spendHash } from '../contracts/spend.ts';
import { InputError, StateError } from '../errors.ts';
import { encodeBase64url } from '../system/base64url.ts';
import type { ChainHead } from '../system/hash-link.ts';
import type { DomainConfig } from './config.ts';
import type { DomainState } from './domain-state.ts';

/** @throws InputError, IdentityError, StateError where the receipt is not of a run of this domain. */
export function countersigner(
  state: DomainState,
  config: DomainConfig,
  vouch: (head: ChainHead) => Promise<void>,
): (body: unknown) => Promise<Countersignature> {
  return async (body) => {
    const parsed = SignedReceiptSchema.safeParse(body);
    if (!parsed.success) throw new InputError('malformed-message', 'This is no receipt.');
    const claimed = parsed.data.receipt.spends.find((spend) => spend.party === config.party);
    const [own] = claimed === undefined ? [] : await state.counters.statements(claimed.seq - 1, 1);
    if (own === undefined) {
      throw new StateError('descriptor-mismatch', 'This domain counted no such run.', {
        party: config.party,
      });
    }
    const { audit } = parsed.data.receipt;
    await vouch({ size: BigInt(audit.size), hash: audit.hash });
    const { spend } = own;
    return countersignReceipt(
      parsed.data,
      { ...spend, spend: { seq: spend.seq, hash: spendHash(spend) } },
      config.party,
      state.identity,
      (publicKey) => encodeBase64url(publicKey) === config.gateway.publicKey,
    );
  };
}
