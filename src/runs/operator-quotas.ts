/** Quotas the operator sets besides the contracts' own: for an analyst, or for a holder's dataset. */
import { z } from 'zod';
import type { Contract } from '../contracts/contract.ts';
import type { Units } from '../contracts/units.ts';
import type { QuotaAccount } from '../ledger/ledger-store.ts';
import type { Calendar } from '../ledger/windows.ts';
import { PartyIdSchema } from '../system/ids.ts';

/** More than any gateway's configuration needs; each reservation draws on those that match. */
export const OPERATOR_QUOTAS_MAX = 1000;

const rule = {
  dimension: z.enum(['runs', 'rows', 'padded-items', 'compute-milli-units', 'bytes', 'micro-rho']),
  window: z.enum(['lifetime', 'month', 'day']),
  limit: z.int().min(0),
};

export const OperatorQuotaSchema = z.discriminatedUnion('of', [
  z.strictObject({ of: z.literal('analyst'), id: PartyIdSchema, ...rule }),
  z.strictObject({
    of: z.literal('dataset'),
    /** `holder/dataset` */
    id: z.string().regex(/^[a-z][a-z0-9-]{0,62}\/[A-Za-z_][A-Za-z0-9_]{0,62}$/),
    ...rule,
  }),
]);
export type OperatorQuota = z.infer<typeof OperatorQuotaSchema>;

/** The operator's accounts that a run of this contract draws on; windows by `calendar`. */
export function operatorAccounts(
  quotas: readonly OperatorQuota[],
  contract: Contract,
  nowMs: number,
  calendar: Calendar,
): readonly QuotaAccount[] {
  const datasets = new Set(contract.datasets.map((one) => `${one.holder}/${one.dataset}`));
  return quotas
    .filter(({ of, id }) => (of === 'analyst' ? id === contract.analyst.id : datasets.has(id)))
    .map(({ of, id, dimension, window, limit }) => ({
      subject: `${of}:${id}`,
      dimension,
      limit: BigInt(limit) as Units,
      ...calendar.windowOf(window, nowMs),
    }));
}
