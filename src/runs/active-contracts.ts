/** What runs need of the contract book. */
import type { SignedContract } from '../contracts/contract.ts';
import type { WeirError } from '../errors.ts';
import type { ContractId, PartyId } from '../system/ids.ts';

/** Contracts that may run; the book refuses what is not active. */
export interface ActiveContracts {
  /**
   * @throws StateError `contract-unknown` (of another analyst too), `contract-not-active`;
   *   PolicyError `contract-revoked`, `contract-expired`
   */
  forRun(id: ContractId, analyst: PartyId, nowMs: number): Promise<SignedContract>;
  /** The contract in whatever state: to account for runs that have begun under it. */
  find(id: ContractId, nowMs: number): Promise<SignedContract>;
  /** Why its runs end, those at work too: it was revoked or suspended. */
  stopOf(id: ContractId): Promise<WeirError | undefined>;
  /** Its limits are used up: it is completed. @throws StateError, PolicyError */
  complete(id: ContractId, nowMs: number): Promise<void>;
}
