/**
 * Metering records as FOCUS 1.2 cost and usage rows: one a posted record. A record that takes the
 * place of another becomes the difference between them, so that rows once exported stay as they are
 * and every sum is right.
 * @see FinOps Open Cost and Usage Specification 1.2
 */
import type { Dimension } from '../contracts/units.ts';
import { assertInvariant } from '../errors.ts';
import type { MeteringRecord } from './ledger-store.ts';
import { calendarOf, type Calendar } from './windows.ts';

export type FocusType = 'string' | 'decimal' | 'datetime';

/** Columns in the order of the file: the mandatory ones, some that are conditional, then our own. */
export const FOCUS_COLUMNS = [
  ['BilledCost', 'decimal'],
  ['BillingAccountId', 'string'],
  ['BillingAccountName', 'string'],
  ['BillingCurrency', 'string'],
  ['BillingPeriodEnd', 'datetime'],
  ['BillingPeriodStart', 'datetime'],
  ['ChargeCategory', 'string'],
  ['ChargeClass', 'string'],
  ['ChargeDescription', 'string'],
  ['ChargeFrequency', 'string'],
  ['ChargePeriodEnd', 'datetime'],
  ['ChargePeriodStart', 'datetime'],
  ['ConsumedQuantity', 'decimal'],
  ['ConsumedUnit', 'string'],
  ['ContractedCost', 'decimal'],
  ['EffectiveCost', 'decimal'],
  ['InvoiceIssuerName', 'string'],
  ['ListCost', 'decimal'],
  ['PricingQuantity', 'decimal'],
  ['PricingUnit', 'string'],
  ['ProviderName', 'string'],
  ['PublisherName', 'string'],
  ['ResourceId', 'string'],
  ['ResourceType', 'string'],
  ['ServiceCategory', 'string'],
  ['ServiceName', 'string'],
  ['SkuId', 'string'],
  ['SubAccountId', 'string'],
  ['x_Bytes', 'decimal'],
  ['x_Holders', 'string'],
  ['x_MicroRho', 'decimal'],
  ['x_PaddedItems', 'decimal'],
  ['x_RecordId', 'string'],
  ['x_RecordSeq', 'decimal'],
  ['x_Rows', 'decimal'],
  ['x_SupersedesSeq', 'decimal'],
] as const satisfies readonly (readonly [string, FocusType])[];

export type FocusColumn = (typeof FOCUS_COLUMNS)[number][0];
/** Texts as they stand in the file; null for no value. */
export type FocusRow = Readonly<Record<FocusColumn, string | null>>;

export interface FocusOptions {
  /** Who runs the gateway. */
  readonly providerName: string;
  /** Who sends the invoice. */
  readonly invoiceIssuerName: string;
  /** Billing periods are calendar months in this IANA time zone. */
  readonly timeZone: string;
}

const MILLI = 3;
const MICRO = 6;
const SECOND_MS = 1_000;

/**
 * The rows of these records, in their order.
 * @param recordOf - the record of a number, for differences.
 */
export async function* focusRows(
  records: AsyncIterable<MeteringRecord> | Iterable<MeteringRecord>,
  recordOf: (seq: bigint) => Promise<MeteringRecord | undefined>,
  options: FocusOptions,
): AsyncGenerator<FocusRow> {
  const calendar = calendarOf(options.timeZone);
  for await (const record of records) {
    if (record.outcome !== 'posted') continue;
    const { supersedes } = record;
    const before = supersedes === undefined ? undefined : await recordOf(supersedes);
    assertInvariant(
      (before === undefined) === (supersedes === undefined),
      'a superseded record is there',
    );
    yield focusRow(record, before, calendar, options);
  }
}

function focusRow(
  record: MeteringRecord,
  before: MeteringRecord | undefined,
  calendar: Calendar,
  options: FocusOptions,
): FocusRow {
  const period = billingPeriod(calendar, record.atMs);
  // What an expiry cost was nothing: a post that came late is an ordinary charge.
  const corrected = before?.outcome === 'posted' ? before : undefined;
  const invoiced = corrected !== undefined && corrected.atMs < period.startMs;
  const cost = decimal(record.chargeMicros - (corrected?.chargeMicros ?? 0n), MICRO);
  const amount = (dimension: Dimension): bigint =>
    (record.units[dimension] ?? 0n) - (corrected?.units[dimension] ?? 0n);
  const chargeMs = Math.floor((corrected ?? record).atMs / SECOND_MS) * SECOND_MS;
  return {
    BilledCost: cost,
    BillingAccountId: record.analyst,
    BillingAccountName: record.analyst,
    BillingCurrency: record.currency,
    BillingPeriodEnd: instant(period.endMs),
    BillingPeriodStart: instant(period.startMs),
    ChargeCategory: 'Usage',
    ChargeClass: invoiced ? 'Correction' : null,
    ChargeDescription: describe(record, corrected),
    ChargeFrequency: 'Usage-Based',
    ChargePeriodEnd: instant(chargeMs + SECOND_MS),
    ChargePeriodStart: instant(chargeMs),
    ConsumedQuantity: decimal(amount('compute-milli-units'), MILLI),
    ConsumedUnit: 'Compute Units',
    ContractedCost: cost,
    EffectiveCost: cost,
    InvoiceIssuerName: options.invoiceIssuerName,
    ListCost: cost,
    PricingQuantity: String(amount('runs')),
    PricingUnit: 'Runs',
    ProviderName: options.providerName,
    PublisherName: options.providerName,
    ResourceId: record.runId ?? null,
    ResourceType: 'Run',
    ServiceCategory: 'Analytics',
    ServiceName: 'Weir',
    SkuId: record.protocol ?? null,
    SubAccountId: record.contractId ?? null,
    x_Bytes: String(amount('bytes')),
    x_Holders: record.holders.join(' '),
    x_MicroRho: String(amount('micro-rho')),
    x_PaddedItems: String(amount('padded-items')),
    x_RecordId: record.id,
    x_RecordSeq: String(record.seq),
    x_Rows: String(amount('rows')),
    x_SupersedesSeq: record.supersedes === undefined ? null : String(record.supersedes),
  };
}

function describe(record: MeteringRecord, corrected: MeteringRecord | undefined): string {
  const what = `${record.protocol ?? 'run'} over ${record.datasets.length} datasets`;
  return corrected === undefined ? what : `correction of record ${corrected.seq}: ${what}`;
}

function billingPeriod(calendar: Calendar, atMs: number): { startMs: number; endMs: number } {
  const { resetsAtMs } = calendar.windowOf('month', atMs);
  assertInvariant(resetsAtMs !== undefined, 'a month ends');
  return { startMs: calendar.startOf('month', atMs), endMs: resetsAtMs };
}

/** A whole number of 10^−scale as a decimal, without trailing zeros. */
export function decimal(amount: bigint, scale: number): string {
  const sign = amount < 0n ? '-' : '';
  const digits = String(amount < 0n ? -amount : amount).padStart(scale + 1, '0');
  const fraction = digits.slice(-scale).replace(/0+$/, '');
  return `${sign}${digits.slice(0, -scale)}${fraction === '' ? '' : `.${fraction}`}`;
}

/** FOCUS wants whole seconds in UTC. */
function instant(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}
