import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { roundDecimal, roundedTable } from '../../src/disclosure/rounding.ts';

const scaled = (text: string, scale: number): bigint => {
  const [whole = '0', fraction = ''] = text.replace('-', '').split('.');
  const units = BigInt(whole + fraction.padEnd(scale, '0'));
  return text.startsWith('-') ? -units : units;
};
const decimals = fc
  .tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.nat({ max: 9 }))
  .map(([units, scale]) => {
    const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
    const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    return units < 0n ? `-${text}` : text;
  });

describe('rounding', () => {
  it('gives the nearest multiple, halves away from zero', () => {
    const rounded = ['4', '5', '14', '15', '-5', '-4'].map((value) => roundDecimal(value, '10'));
    expect(rounded).toEqual(['0', '10', '10', '20', '-10', '0']);
    expect(roundDecimal('2.25', '0.5')).toBe('2.5');
    expect(roundDecimal('-1234.567', '0.25')).toBe('-1234.50');
    fc.assert(
      fc.property(
        decimals,
        fc.constantFrom('1', '5', '1000', '0.5', '0.001', '2.5'),
        (value, base) => {
          const rounded = scaled(roundDecimal(value, base), 12);
          const [exact, step] = [scaled(value, 12), scaled(base, 12)];
          expect(rounded % step).toBe(0n);
          const error = rounded > exact ? rounded - exact : exact - rounded;
          expect(2n * error <= step).toBe(true);
        },
      ),
    );
  });

  it('rounds the agreed columns of a table, numbers as numbers, and says so', () => {
    const table = {
      columns: ['ward', 'visits', 'cost', 'mean'],
      rows: [
        ['surgery', 123, '4567.89', 37.1373],
        ['12', 7, null, 1.2e-9],
        ['x', 2, '-49.99', 4.5e21],
      ],
    };
    const terms = [
      { as: 'visits', base: '5' },
      { as: 'cost', base: '100' },
      { as: 'mean', base: '0.5' },
    ];
    expect(roundedTable(table, terms)).toEqual({
      columns: table.columns,
      rows: [
        ['surgery', 125, '4600', 37],
        ['12', 5, null, 0],
        ['x', 0, '0', 4.5e21],
      ],
      rounding: terms,
    });
    expect(roundedTable(table, undefined)).toBe(table);
  });
});
