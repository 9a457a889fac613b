/** Whether a contract's limits leave no further run, now or ever. */
import type { Contract } from '../contracts/contract.ts';
import { WeirError } from '../errors.ts';
import type { LedgerStore, QuotaAccount } from '../ledger/ledger-store.ts';
import type { Store } from '../store/store.ts';
import type { ContractId } from '../system/ids.ts';
import { quotaLeft } from './quota.ts';
import { TERMINAL_STATES } from './run-events.ts';
import type { RunDependencies } from './run-machine.ts';
import type { ActiveContracts } from './active-contracts.ts';
import type { UnitsByDimension } from './settlement.ts';

/**
 * Completes a contract that is used up: a note for people, since the ledger refuses by itself what
 * the limits do not leave. Failing to write it down is logged, and the next refusal tries again.
 */
export async function completeIfUsedUp(
  deps: Pick<RunDependencies, 'store' | 'ledger' | 'log'>,
  contracts: Pick<ActiveContracts, 'complete'>,
  of: {
    readonly contract: Contract;
    readonly accounts: readonly QuotaAccount[];
    readonly units: UnitsByDimension;
    readonly nowMs: number;
  },
): Promise<void> {
  const { contract, accounts, units, nowMs } = of;
  try {
    if (!(await isUsedUp(deps, contract.id, accounts, units))) return;
    await contracts.complete(contract.id, nowMs);
  } catch (error) {
    const code = error instanceof WeirError ? error.code : 'internal';
    deps.log.warn({ contractId: contract.id, code }, 'a used-up contract stays open');
  }
}

/**
 * True where some lifetime limit leaves less than one more run takes, and no run is at work whose
 * end could give units back.
 * @param units - what one run of the contract takes: the same for each of them.
 */
async function isUsedUp(
  { store, ledger }: { readonly store: Store; readonly ledger: LedgerStore },
  id: ContractId,
  accounts: readonly QuotaAccount[],
  units: UnitsByDimension,
): Promise<boolean> {
  const lifetime = accounts.filter(({ window }) => window === 'lifetime');
  const quota = await quotaLeft(ledger, lifetime);
  if (quota.every(({ dimension, left }) => left >= (units[dimension] ?? 0n))) return false;
  const marks = TERMINAL_STATES.map(() => '?').join(', ');
  const live = await store.query(
    `SELECT run_id FROM runs WHERE contract_id = ? AND state NOT IN (${marks}) LIMIT 1`,
    [id, ...TERMINAL_STATES],
  );
  return live.length === 0;
}
