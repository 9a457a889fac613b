import fc from 'fast-check';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeEvent, encodeEventBatch, eventSource } from '../../src/ledger/cloud-events.ts';
import { decimal, FOCUS_COLUMNS, focusRows, type FocusRow } from '../../src/ledger/focus.ts';
import {
  csvHeader,
  csvLine,
  writeEventBatch,
  writeFocusCsv,
  writeFocusParquet,
} from '../../src/ledger/export-files.ts';
import type { MeteringRecord } from '../../src/ledger/ledger-store.ts';
import { encodeRecord, recordHash } from '../../src/ledger/record.ts';
import { draft, runIdOf, units } from '../support/ledger-commands.ts';

const at = (text: string): number => Date.parse(text);
const OPTIONS = {
  providerName: 'Port, "Authority"',
  invoiceIssuerName: 'Port',
  timeZone: 'Asia/Shanghai',
};

function record(seq: number, atMs: number, more: Partial<MeteringRecord> = {}): MeteringRecord {
  const counted = { runs: units(1), rows: units(64), 'compute-milli-units': units(1_250) };
  const base = draft(`id-${seq}`, more.outcome ?? 'posted', runIdOf(seq), counted);
  return { ...base, atMs, seq: BigInt(seq), quotaLeft: {}, ...more };
}

const OCTOBER = record(1, at('2026-10-31T15:59:59.500Z'));
const NOVEMBER = record(2, at('2026-10-31T16:00:00Z'), { chargeMicros: 2_000_001n });
const DENIED = record(3, at('2026-11-02T00:00:00Z'), {
  outcome: 'denied',
  units: {},
  chargeMicros: 0n,
});
const EXPIRED = record(4, at('2026-11-03T00:00:00Z'), {
  outcome: 'expired',
  units: {},
  chargeMicros: 0n,
});
const LATE = record(5, at('2026-11-03T01:00:00Z'), { supersedes: 4n, runId: runIdOf(4) });
const REFUND = record(6, at('2026-11-05T00:00:00Z'), {
  supersedes: 1n,
  runId: runIdOf(1),
  chargeMicros: 0n,
});
const FIXED = record(7, at('2026-11-06T00:00:00Z'), {
  supersedes: 2n,
  runId: runIdOf(2),
  chargeMicros: 2_500_000n,
});
const ALL = [OCTOBER, NOVEMBER, DENIED, EXPIRED, LATE, REFUND, FIXED];

async function rowsOf(records: readonly MeteringRecord[]): Promise<FocusRow[]> {
  const recordOf = (seq: bigint) => Promise.resolve(ALL.find((each) => each.seq === seq));
  const rows: FocusRow[] = [];
  for await (const row of focusRows(records, recordOf, OPTIONS)) rows.push(row);
  return rows;
}

describe('CloudEvents', () => {
  it('are 1.0 events whose data hashes to what the audit entry carries', () => {
    const source = eventSource('a key');
    const text = encodeEvent(OCTOBER, source);
    const event = JSON.parse(text) as Record<string, unknown>;
    expect(event).toMatchObject({
      specversion: '1.0',
      id: 'id-1',
      source,
      type: 'weir.metering.record.v1',
      subject: runIdOf(1),
      time: '2026-10-31T15:59:59.500Z',
      datacontenttype: 'application/json',
      sequence: '00000000000000000001',
    });
    expect(Object.keys(event).every((name) => /^[a-z0-9]{1,20}$/.test(name))).toBe(true);
    const data = text.slice(text.indexOf(',"data":') + 8, -1);
    expect(recordHash(data)).toBe(recordHash(encodeRecord(OCTOBER)));
    expect(event['data']).toEqual(JSON.parse(encodeRecord(OCTOBER)));
  });

  it('come in batches that are JSON arrays, with source and id that never change', () => {
    const source = eventSource('a key');
    expect(encodeEventBatch([], source)).toBe('[]');
    expect(JSON.parse(encodeEventBatch([OCTOBER, DENIED], source))).toEqual([
      JSON.parse(encodeEvent(OCTOBER, source)),
      JSON.parse(encodeEvent(DENIED, source)),
    ]);
    expect(eventSource('a key')).toBe(source);
    expect(eventSource('another key')).not.toBe(source);
  });
});

describe('FOCUS rows', () => {
  it('have every mandatory column of FOCUS 1.2', () => {
    const mandatory =
      `BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd
      BillingPeriodStart ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart
      ContractedCost EffectiveCost InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName
      PublisherName ServiceCategory ServiceName`.split(/\s+/);
    const names: readonly string[] = FOCUS_COLUMNS.map(([name]) => name);
    expect(mandatory.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.every((name) => /^(x_)?[A-Z][A-Za-z]*$/.test(name))).toBe(true);
  });

  it('put each charge in its billing month, by the calendar of the time zone', async () => {
    const [october, november] = await rowsOf([OCTOBER, NOVEMBER]);
    expect(october).toMatchObject({
      BilledCost: '1.5',
      BillingPeriodStart: '2026-09-30T16:00:00Z',
      BillingPeriodEnd: '2026-10-31T16:00:00Z',
      ChargePeriodStart: '2026-10-31T15:59:59Z',
      ChargePeriodEnd: '2026-10-31T16:00:00Z',
      ConsumedQuantity: '1.25',
      PricingQuantity: '1',
      ChargeClass: null,
    });
    expect(november).toMatchObject({
      BilledCost: '2.000001',
      BillingPeriodStart: '2026-10-31T16:00:00Z',
    });
  });

  it('leave out what was not posted', async () => {
    expect(await rowsOf([DENIED, EXPIRED])).toEqual([]);
  });

  it('say a correction as a difference, of class Correction where the month was invoiced', async () => {
    const [refund, fixed] = await rowsOf([REFUND, FIXED]);
    expect(refund).toMatchObject({
      BilledCost: '-1.5',
      ChargeClass: 'Correction',
      PricingQuantity: '0',
      BillingPeriodStart: '2026-10-31T16:00:00Z',
      ChargePeriodStart: '2026-10-31T15:59:59Z',
    });
    expect(fixed).toMatchObject({
      BilledCost: '0.499999',
      ChargeClass: null,
      x_SupersedesSeq: '2',
    });
  });

  it('say a post that came after its expiry as an ordinary charge', async () => {
    expect(await rowsOf([LATE])).toMatchObject([{ BilledCost: '1.5', ChargeClass: null }]);
  });

  it('sum to the charges of the records that count', async () => {
    const micros = (cost: string | null): number => Math.round(Number(cost) * 1_000_000);
    const sum = (await rowsOf(ALL)).reduce((total, row) => total + micros(row.BilledCost), 0);
    const superseded = new Set(ALL.map(({ supersedes }) => supersedes));
    const counting = ALL.filter(({ seq }) => !superseded.has(seq));
    expect(sum).toBe(Number(counting.reduce((total, each) => total + each.chargeMicros, 0n)));
  });

  it('write decimals exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), (amount) => {
        const text = decimal(amount, 6);
        expect(text).toMatch(/^-?\d+(\.\d*[1-9])?$/);
        const [whole = '', fraction = ''] = text.replace('-', '').split('.');
        const back = BigInt(whole + fraction.padEnd(6, '0'));
        expect(text.startsWith('-') ? -back : back).toBe(amount);
      }),
    );
  });
});

describe('FOCUS files', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "weir-focus-'"));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('hold the same rows as CSV and as Parquet, for their owner only', async () => {
    const rows = await rowsOf(ALL);
    const csv = join(directory, 'usage.csv');
    const parquet = join(directory, 'usage.parquet');
    async function* each(): AsyncGenerator<FocusRow> {
      yield* rows;
    }
    expect(await writeFocusCsv(csv, each())).toBe(rows.length);
    await writeFocusParquet(parquet, csv);
    expect(readFileSync(csv, 'utf8')).toBe(csvHeader() + rows.map(csvLine).join(''));
    for (const file of [csv, parquet]) expect(statSync(file).mode & 0o777).toBe(0o600);
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const quoted = parquet.replaceAll("'", "''");
    const read = await connection.runAndReadAll(
      `SELECT BilledCost::VARCHAR, ChargeClass, ProviderName, x_RecordSeq::BIGINT::VARCHAR,
       strftime(ChargePeriodStart, '%Y-%m-%dT%H:%M:%SZ') FROM '${quoted}' ORDER BY x_RecordSeq`,
    );
    const back = read.getRows().map((row) => [Number(row[0]), ...row.slice(1)]);
    expect(back).toEqual(
      rows.map((row) => [
        Number(row.BilledCost),
        row.ChargeClass,
        row.ProviderName,
        row.x_RecordSeq,
        row.ChargePeriodStart,
      ]),
    );
    connection.closeSync();
    instance.closeSync();
    // An export never overwrites another.
    await expect(writeFocusCsv(csv, each())).rejects.toThrow(/EEXIST/);
    expect(readFileSync(csv, 'utf8')).toContain(csvHeader());
  });

  it.each([0, 1, 2_500])('hold %i events as one JSON array', async (count) => {
    async function* records(): AsyncGenerator<MeteringRecord> {
      for (let i = 0; i < count; i++) yield OCTOBER;
    }
    const file = join(directory, 'events.json');
    expect(await writeEventBatch(file, records(), 'urn:weir:gateway:x')).toBe(count);
    const event: unknown = JSON.parse(encodeEvent(OCTOBER, 'urn:weir:gateway:x'));
    const events = JSON.parse(readFileSync(file, 'utf8')) as unknown[];
    expect(events).toHaveLength(count);
    expect(events.at(-1)).toEqual(count === 0 ? undefined : event);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('leave no half of a file where the records break off', async () => {
    async function* broken(): AsyncGenerator<MeteringRecord> {
      for (let i = 0; i < 2_500; i++) yield OCTOBER;
      throw new Error('the store is gone');
    }
    const file = join(directory, 'events.json');
    await expect(writeEventBatch(file, broken(), 'urn:weir:gateway:x')).rejects.toThrow(/gone/);
    expect(existsSync(file)).toBe(false);
  });
});
