/** Revocations and pauses as they pass the gateway: to the book, to the runs at work, to the other holders. */
import type { ContractBook } from '../contracts/contract-book.ts';
import type { Contract } from '../contracts/contract.ts';
import { GATEWAY_ASKS } from '../contracts/link-messages.ts';
import type { SignedPause, SignedRevocation } from '../contracts/notices.ts';
import { PolicyError, StateError, WeirError } from '../errors.ts';
import type { LinkServer } from '../link/link-server.ts';
import type { RunService } from '../runs/run-service.ts';
import type { Clock } from '../system/clock.ts';
import type { ContractId, PartyId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';

const NOTICE_TIMEOUT_MS = 10_000;
const PAGE_MAX = 32;

export interface RevocationParts {
  readonly links: Pick<LinkServer, 'linkOf'>;
  readonly contracts: ContractBook;
  readonly runs: Pick<RunService, 'abortContract'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** In the book first, so that no new run begins; then the others hear of it and runs in flight end. */
export async function revoke(parts: RevocationParts, signed: SignedRevocation): Promise<void> {
  const { contracts, runs, clock } = parts;
  const { contract } = await contracts.revoke(signed, clock.now());
  const { party } = signed.revocation;
  const reason = new PolicyError('contract-revoked', `${party} has revoked the contract.`, {
    party,
    remedy: 'Agree on a new contract.',
  });
  for (const holder of contract.holders) {
    if (holder.id !== party)
      void tell(parts, holder.id, GATEWAY_ASKS.revoked, { signed, contract });
  }
  await runs.abortContract(contract.id, reason);
}

/** As a revocation, for a while: a suspended contract's runs end, as no new one begins. */
export async function pause(parts: RevocationParts, signed: SignedPause): Promise<void> {
  const { contracts, runs, clock } = parts;
  const { contract } = await contracts.pause(signed, clock.now());
  const { party, standing } = signed.pause;
  for (const holder of contract.holders) {
    if (holder.id !== party) void tell(parts, holder.id, GATEWAY_ASKS.paused, { signed, contract });
  }
  if (standing === 'resumed') return;
  const reason = new StateError('contract-not-active', `${party} has suspended the contract.`, {
    party,
    remedy: `${party} lifts the suspension.`,
  });
  await runs.abortContract(contract.id, reason);
}

/**
 * A domain that linked up hears of the revocations it may have missed. It gets no run of such a
 * contract from this gateway anyway, but should not have to trust in that.
 */
export async function tellMissed(parts: RevocationParts, party: PartyId): Promise<void> {
  let after: ContractId | undefined;
  for (;;) {
    const page = await parts.contracts.revocations(party, after, PAGE_MAX);
    for (const { signed, contract } of page) {
      after = contract.id;
      if (Date.parse(contract.validity.notAfter) <= parts.clock.now()) continue;
      const told = { signed, contract };
      if (!(await tell(parts, party, GATEWAY_ASKS.revoked, told))) return;
    }
    if (page.length < PAGE_MAX) break;
  }
  await tellMissedPauses(parts, party);
}

async function tellMissedPauses(parts: RevocationParts, party: PartyId): Promise<void> {
  for (let after = ''; ; ) {
    const page = await parts.contracts.pauses(party, after, PAGE_MAX);
    for (const { signed, contract, next } of page) {
      after = next;
      if (Date.parse(contract.validity.notAfter) <= parts.clock.now()) continue;
      const told = { signed, contract };
      if (!(await tell(parts, party, GATEWAY_ASKS.paused, told))) return;
    }
    if (page.length < PAGE_MAX) return;
  }
}

/** Whether it was told; where not, it is told on its next link. */
async function tell(
  { links, log }: RevocationParts,
  party: PartyId,
  method: string,
  told: { readonly signed: SignedRevocation | SignedPause; readonly contract: Contract },
): Promise<boolean> {
  const link = links.linkOf(party);
  if (link === undefined) return false;
  try {
    const timeoutMs = NOTICE_TIMEOUT_MS;
    await link.request(method, told, { timeoutMs });
    return true;
  } catch (error) {
    const code = error instanceof WeirError ? error.code : 'internal';
    log.warn({ party, code }, 'a holder was not told of another’s notice');
    return false;
  }
}
