/**
 * A plan that nobody has agreed to yet, in the shape of a contract with default terms, so that
 * planners and price can be asked about it. It has no analyst's keys: it cannot be signed, filed
 * or run, and never leaves the process.
 */
import type { ContractId, PartyId } from '../system/ids.ts';
import type { Contract, Party } from './contract.ts';
import {
  DEFAULT_LIMITS,
  DEFAULT_NOISED_RUNS,
  DEFAULT_PRICE,
  DEFAULT_RETENTION_S,
  DEFAULT_TIME_ZONE,
  DEFAULT_VALID_DAYS,
} from './default-terms.ts';
import type { Arguments, Parameter } from './plan.ts';

const DAY_MS = 86_400_000;
/** No key at all: 32 zero bytes are on no curve that anything here accepts. */
const NO_KEY = 'A'.repeat(43);

export interface ProvisionalPlan
  extends Pick<
    Contract,
    'plan' | 'dictionaries' | 'bounds' | 'datasets' | 'disclosure' | 'protocol' | 'purposeCode'
  > {
  readonly parameters: Readonly<Record<string, Parameter>>;
}

/** @param id - a fresh one: quota and prices of no other contract are looked at. */
export function provisionalContract(
  planned: ProvisionalPlan,
  holders: readonly Party[],
  analyst: PartyId,
  id: ContractId,
  nowMs: number,
): Contract {
  const words = { zh: '试算', en: 'Trial' };
  const rows = planned.datasets.reduce((sum, { rowsMax }) => sum + rowsMax, 0);
  return {
    ...planned,
    format: 'weir-contract/1',
    id,
    title: words,
    purpose: words,
    legalBasis: words.en,
    analyst: { id: analyst, name: { zh: analyst, en: analyst }, signKey: NO_KEY },
    holders: [...holders],
    recipient: { id: analyst, encryptionKey: NO_KEY },
    limits: {
      ...DEFAULT_LIMITS,
      rowsTotal: rows * DEFAULT_LIMITS.runsTotal,
      microRhoTotal: (planned.disclosure.noise?.microRhoPerRun ?? 0) * DEFAULT_NOISED_RUNS,
    },
    timeZone: DEFAULT_TIME_ZONE,
    validity: {
      notBefore: new Date(nowMs).toISOString(),
      notAfter: new Date(nowMs + DEFAULT_VALID_DAYS * DAY_MS).toISOString(),
    },
    resultRetentionS: DEFAULT_RETENTION_S,
    price: DEFAULT_PRICE,
    minimumParties: Math.max(2, holders.length),
  };
}

/** The most that each parameter lets a request choose: what a run can cost at most. */
export function widestArguments(parameters: Readonly<Record<string, Parameter>>): Arguments {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { labels, most }]) => [name, labels.slice(0, most)]),
  ) as Arguments;
}
