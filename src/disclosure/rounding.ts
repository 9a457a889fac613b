/**
 * Rounding of released figures to public bases: no defence by itself, it hides the last digits. Done
 * by whoever opens the result (the gateway of a secure sum, its recipient where it is sealed), each
 * figure by itself: a rounded sum beside an exact mean and count is no secret.
 */
import type { RoundingTerms } from '../contracts/rounding-terms.ts';

/** A table and, where its figures were rounded, to what. */
interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** The table with every agreed column rounded; the same one where nothing is agreed. */
export function roundedTable<T extends Table>(
  table: T,
  terms: RoundingTerms | undefined,
): T & { readonly rounding?: RoundingTerms } {
  if (terms === undefined) return table;
  const bases = table.columns.map((name) => terms.find(({ as }) => as === name)?.base);
  const rows = table.rows.map((row) =>
    row.map((value, column) => {
      const base = bases[column];
      return base === undefined || value === null ? value : roundedValue(value, base);
    }),
  );
  return { ...table, rows, rounding: terms };
}

function roundedValue(value: string | number, base: string): string | number {
  const text = roundDecimal(plainDecimal(String(value)), base);
  return typeof value === 'number' ? Number(text) : text;
}

/**
 * The multiple of `base` nearest to `value`, halves away from zero, with the decimals of `base`.
 * @param base - above zero.
 */
export function roundDecimal(value: string, base: string): string {
  const [own, step] = [partsOf(value), partsOf(base)];
  const scale = Math.max(own.scale, step.scale);
  const units = own.units * 10n ** BigInt(scale - own.scale);
  const unitsOfStep = step.units * 10n ** BigInt(scale - step.scale);
  const magnitude = units < 0n ? -units : units;
  const steps = (2n * magnitude + unitsOfStep) / (2n * unitsOfStep);
  const digits = (steps * step.units).toString().padStart(step.scale + 1, '0');
  const cut = digits.length - step.scale;
  const text = step.scale === 0 ? digits : `${digits.slice(0, cut)}.${digits.slice(cut)}`;
  return units < 0n && steps > 0n ? `-${text}` : text;
}

/** A double's shortest decimal without an exponent. */
function plainDecimal(text: string): string {
  const [mantissa = '', exponent] = text.split('e');
  if (exponent === undefined) return text;
  const { units, scale } = partsOf(mantissa);
  const shift = Number(exponent) - scale;
  if (shift >= 0) return (units * 10n ** BigInt(shift)).toString();
  const digits = (units < 0n ? -units : units).toString().padStart(1 - shift, '0');
  return `${units < 0n ? '-' : ''}${digits.slice(0, shift)}.${digits.slice(shift)}`;
}

function partsOf(decimal: string): { readonly units: bigint; readonly scale: number } {
  const [whole = '0', fraction = ''] = decimal.split('.');
  return { units: BigInt(`${whole}${fraction}`), scale: fraction.length };
}
