/**
 * Values of join keys, brought to one form by a stated rule, so that two holders who mean the same
 * thing get the same digest. Pure, and the same on both sides.
 */
/** Longer values are malformed: no id is, and a row must not make the digest of all rows slow. */
export const KEY_VALUE_CHARACTERS_MAX = 4096;

/**
 * How a date is written. `iso`: 2026-11-21, a time of day behind it is dropped. `compact`: 20261121.
 * `day-first`: 21.11.2026, 21/11/2026, 21-11-2026. `month-first`: 11/21/2026 …
 * `chinese`: 2026年11月21日.
 */
export const DATE_FORMATS = ['iso', 'compact', 'day-first', 'month-first', 'chinese'] as const;
export type DateFormat = (typeof DATE_FORMATS)[number];

/**
 * One column of a join key. `text`: NFKC, white space at the ends removed, and unless `keepCase`
 * case folded. `integer`: decimal digits, sign and leading zeros in canonical form. `date`: the day.
 */
export type KeyColumn =
  | { readonly type: 'text'; readonly keepCase?: boolean }
  | { readonly type: 'integer' }
  | { readonly type: 'date'; readonly format: DateFormat };

/** Why a row has no key: a value is missing (null, or empty once trimmed), or not of its type. */
export type KeyGap = 'null' | 'malformed';

const INTEGER = /^([+-]?)0*(\d{1,38})$/;
const DATE_PATTERNS: Readonly<Record<DateFormat, { pattern: RegExp; order: readonly number[] }>> = {
  iso: { pattern: /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?$/, order: [1, 2, 3] },
  compact: { pattern: /^(\d{4})(\d{2})(\d{2})$/, order: [1, 2, 3] },
  'day-first': { pattern: /^(\d{1,2})([./-])(\d{1,2})\2(\d{4})$/, order: [4, 3, 1] },
  'month-first': { pattern: /^(\d{1,2})([./-])(\d{1,2})\2(\d{4})$/, order: [4, 1, 3] },
  chinese: { pattern: /^(\d{4})年(\d{1,2})月(\d{1,2})日?$/, order: [1, 2, 3] },
};

/**
 * A value in canonical form: text, digits, or a day as YYYY-MM-DD.
 *
 * Case folding is lower, upper, then lower casing by Unicode, not by locale. All rules rest on the Unicode
 * version of the running JavaScript engine; characters older than both sides' versions agree.
 */
export function canonicalValue(
  column: KeyColumn,
  value: string | null,
): string | { readonly gap: KeyGap } {
  if (value === null) return { gap: 'null' };
  if (value.length > KEY_VALUE_CHARACTERS_MAX || !value.isWellFormed()) return { gap: 'malformed' };
  const text = value.normalize('NFKC').trim();
  if (text === '') return { gap: 'null' };
  if (column.type === 'integer') return canonicalInteger(text);
  if (column.type === 'date') return canonicalDate(text, column.format);
  if (column.keepCase === true) return text;
  // Lower case first: the capital ẞ has no other upper case, while ß has SS. Folding can undo the
  // normal form (and trimming is cheap), so both are done once more.
  return text.toLowerCase().toUpperCase().toLowerCase().normalize('NFKC').trim();
}

function canonicalInteger(text: string): string | { readonly gap: KeyGap } {
  const match = INTEGER.exec(text);
  if (match === null) return { gap: 'malformed' };
  const [, sign = '', digits = ''] = match;
  return sign === '-' && digits !== '0' ? `-${digits}` : digits;
}

function canonicalDate(text: string, format: DateFormat): string | { readonly gap: KeyGap } {
  const { pattern, order } = DATE_PATTERNS[format];
  const match = pattern.exec(text);
  if (match === null) return { gap: 'malformed' };
  const [year = 0, month = 0, day = 0] = order.map((group) => Number(match[group]));
  const date = new Date(Date.UTC(year, month - 1, day));
  // A Date that rolled over (30 February) or a two-digit century reads back differently.
  const isReal = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isReal || date.getUTCFullYear() !== year) return { gap: 'malformed' };
  return date.toISOString().slice(0, 10);
}
