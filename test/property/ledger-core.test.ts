import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError, InvariantError } from '../../src/errors.ts';
import {
  applyChange,
  canonicalLines,
  decideReserve,
  decideSettle,
  UNITS_MAX,
  type AccountUse,
  type Reservation,
} from '../../src/ledger/core.ts';
import { decodeLines, encodeLines, prepareSettle } from '../../src/ledger/ledger-commands.ts';
import { chargeMicros } from '../../src/ledger/price.ts';
import { bindEntry, encodePieces, joinPieces, parseRecord } from '../../src/ledger/record.ts';
import { encodeEntry } from '../../src/audit/hash-chain.ts';
import { canonicalBytes } from '../../src/system/canonical-json.ts';
import type { RecordDraft } from '../../src/ledger/ledger-store.ts';
import {
  account,
  bodyHash,
  draft,
  runIdOf,
  settleCommand,
  units,
} from '../support/ledger-commands.ts';

const text = (value: unknown): string => new TextDecoder().decode(canonicalBytes(value));
const use = (posted: bigint, reserved: bigint) => (): AccountUse => ({ posted, reserved });
const line = (limit: bigint, amount: bigint) => ({
  account: account('c', 'runs', limit),
  units: units(amount),
});
const pending = (amount: bigint): Reservation => ({
  runId: runIdOf(1),
  bodyHash: bodyHash(1),
  state: 'pending',
  lines: [line(10n, amount)],
  seq: undefined,
});

describe('ledger core', () => {
  it('reserves exactly up to the limit and never beyond, at 63 bits too', () => {
    const command = { bodyHash: bodyHash(1) };
    const top = UNITS_MAX;
    expect(decideReserve(undefined, [line(top, 3n)], use(top - 5n, 2n), command).kind).toBe(
      'reserved',
    );
    expect(decideReserve(undefined, [line(top, 4n)], use(top - 5n, 2n), command)).toMatchObject({
      kind: 'exceeded',
      left: 3n,
    });
    // A limit lowered below what is used leaves nothing, not less than nothing.
    expect(decideReserve(undefined, [line(1n, 1n)], use(5n, 0n), command)).toMatchObject({
      left: 0n,
    });
  });

  it('adds lines of one account and takes the lower limit, in an order of its own', () => {
    const lines = [
      line(9n, 2n),
      { account: account('b', 'rows', 5), units: units(1) },
      line(7n, 3n),
    ];
    const canonical = canonicalLines(lines);
    expect(canonical.map((each) => [each.account.subject, each.account.limit, each.units])).toEqual(
      [
        ['b', 5n, 1n],
        ['c', 7n, 5n],
      ],
    );
    expect(canonicalLines(lines.toReversed())).toEqual(canonical);
    expect(decodeLines(encodeLines(canonical))).toEqual(canonical);
  });

  it('refuses negative units, more lines than its bound, and units beyond 63 bits', () => {
    expect(() => canonicalLines([line(5n, -1n)])).toThrow(InvariantError);
    expect(() => canonicalLines([line(UNITS_MAX, UNITS_MAX + 1n)])).toThrow(InvariantError);
    const many = Array.from({ length: 65 }, (_, index) => ({
      account: account(`s${index}`, 'runs', 1),
      units: units(1),
    }));
    expect(() => canonicalLines(many)).toThrow(InvariantError);
  });

  it('posts at most what was reserved, and only what was reserved', () => {
    const post = (dimension: 'runs' | 'rows', amount: number) =>
      settleCommand(runIdOf(1), 'posted', { [dimension]: amount });
    expect(decideSettle(pending(2n), use(0n, 2n), post('runs', 2)).kind).toBe('settle');
    expect(() => decideSettle(pending(2n), use(0n, 2n), post('runs', 3))).toThrow(InvariantError);
    expect(() => decideSettle(pending(2n), use(0n, 2n), post('rows', 1))).toThrow(InvariantError);
    const voided = settleCommand(runIdOf(1), 'voided', { runs: 1 });
    expect(() => decideSettle(pending(2n), use(0n, 2n), voided)).toThrow(InvariantError);
  });

  it('takes a post after the expiry if there is room, and leaves it expired if there is none', () => {
    const expired: Reservation = { ...pending(4n), state: 'expired', seq: 3n };
    const post = settleCommand(runIdOf(1), 'posted', { runs: 4 });
    expect(decideSettle(expired, use(6n, 0n), post)).toMatchObject({
      kind: 'settle',
      supersedes: 3n,
      quotaLeft: { 'runs/lifetime': 0n },
    });
    expect(decideSettle(expired, use(5n, 2n), post)).toEqual({
      kind: 'already',
      outcome: 'expired',
      seq: 3n,
    });
    const voided: Reservation = { ...expired, state: 'voided' };
    expect(decideSettle(voided, use(0n, 0n), post)).toMatchObject({ kind: 'already' });
  });

  it('never lets an account fall below zero', () => {
    const change = { account: account('c', 'runs', 1), posted: 0n, reserved: -1n };
    expect(() => applyChange({ posted: 5n, reserved: 0n }, change)).toThrow(InvariantError);
  });

  it('refuses a settlement whose record says something else', () => {
    const command = settleCommand(runIdOf(1), 'posted', { runs: 1 });
    expect(() => prepareSettle(command)).not.toThrow();
    const other = { ...command.record, units: { runs: units(2) } };
    expect(() => prepareSettle({ ...command, record: other })).toThrow(InvariantError);
    expect(() => prepareSettle({ ...command, outcome: 'voided', units: {} })).toThrow(
      InvariantError,
    );
    const voided = settleCommand(runIdOf(1), 'voided');
    const charged = { ...voided.record, chargeMicros: 1n };
    expect(() => prepareSettle({ ...voided, record: charged })).toThrow(InvariantError);
  });
});

describe('metering record', () => {
  const option = <T>(each: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(each, { nil: undefined });
  const anyDraft: fc.Arbitrary<RecordDraft> = fc
    .record({
      outcome: fc.constantFrom('posted' as const, 'denied' as const),
      run: option(fc.nat(99)),
      protocol: option(fc.string({ unit: 'grapheme', maxLength: 9 })),
      code: option(fc.string({ unit: 'binary', maxLength: 9 })),
      receipt: option(fc.nat(99)),
      fingerprint: option(fc.nat(99)),
      amount: fc.bigInt({ min: 0n, max: UNITS_MAX }),
      charge: fc.bigInt({ min: 0n, max: UNITS_MAX }),
    })
    .map((each) => ({
      ...draft('id', each.outcome, each.run === undefined ? undefined : runIdOf(each.run)),
      protocol: each.protocol,
      code: each.code,
      receiptHash: each.receipt === undefined ? undefined : bodyHash(each.receipt),
      datasets: [
        {
          name: 'a',
          fingerprint: each.fingerprint === undefined ? undefined : bodyHash(each.fingerprint),
        },
      ],
      units: { rows: units(each.amount), 'compute-milli-units': units(1) },
      chargeMicros: each.charge,
    }));
  const leftOf = { 'rows/month': units(3), 'runs/lifetime': units(4) };

  it('is canonical JSON however it was put together, and is read back as it was', () => {
    fc.assert(
      fc.property(anyDraft, option(fc.bigInt({ min: 1n, max: 9n })), (one, supersedes) => {
        const document = joinPieces(encodePieces(one), leftOf, 12n, supersedes);
        expect(text(JSON.parse(document))).toBe(document);
        expect(parseRecord(document)).toEqual({
          ...one,
          seq: 12n,
          quotaLeft: leftOf,
          ...(supersedes === undefined ? {} : { supersedes }),
        });
      }),
    );
  });

  it('has no text that is no Unicode, and takes every text that is', () => {
    const coded = (code: string) => encodePieces({ ...draft('id', 'voided', runIdOf(1)), code });
    expect(() => coded('\ud800')).toThrow(InputError);
    expect(() => coded('x\udfff')).toThrow(InputError);
    for (const code of ['\\ud800', '\ud83d\ude00', '\\\\udabc', '"\u0007']) {
      const document = joinPieces(coded(code), {}, 1n, undefined);
      expect(text(JSON.parse(document))).toBe(document);
      expect(parseRecord(document).code).toBe(code);
    }
  });

  it('has an audit entry that is canonical JSON too', () => {
    const entry = encodeEntry({ kind: 'run.posted', atMs: 1, facts: { z: 1, a: [] } });
    const bound = bindEntry(entry, 7n, bodyHash(3));
    expect(text(JSON.parse(bound))).toBe(bound);
    expect(JSON.parse(bound)).toMatchObject({ record: { seq: '7', hash: bodyHash(3) } });
  });
});

describe('price', () => {
  it('is exact in integers and drops a fraction of a millionth', () => {
    const price = { currency: 'CNY', perRunMicros: 2_000_000, perComputeUnitMicros: 333_333 };
    expect(chargeMicros(price, { runs: units(1) })).toBe(2_000_000n);
    expect(chargeMicros(price, { runs: units(1), 'compute-milli-units': units(1_500) })).toBe(
      2_499_999n,
    );
    expect(chargeMicros(price, {})).toBe(0n);
    const tiers = [
      { fromRun: 11, perRunMicros: 1_000_000, perComputeUnitMicros: 333_333 },
      { fromRun: 101, perRunMicros: 500_000, perComputeUnitMicros: 0 },
    ];
    const charges = [1n, 10n, 11n, 100n, 101n].map((nth) =>
      chargeMicros(
        { ...price, tiers },
        { runs: units(1), 'compute-milli-units': units(1_000) },
        nth,
      ),
    );
    expect(charges).toEqual([2_333_333n, 2_333_333n, 1_333_333n, 1_333_333n, 500_000n]);
    expect(
      chargeMicros({ ...price, perRunMicros: 9_007_199_254_740_991 }, { runs: units(1000) }),
    ).toBe(9_007_199_254_740_991_000n);
  });
});
