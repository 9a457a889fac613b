/**
 * Join keys: values of one or several columns, brought to one form by a stated rule, so that two
 * holders who mean the same thing get the same digest. Pure, and the same on both sides.
 */
import { concatBytes, lengthPrefixed } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import type { HashPrimitive } from '../common/primitives.ts';
import { DIGEST_BYTES } from './element.ts';
import { CONTEXT_BYTES } from './params.ts';

export const KEY_COLUMNS_MAX = 8;
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

const ENCODER = new TextEncoder();
const DIGEST_LABEL = ENCODER.encode('weir/psi/join-key/v1');
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

/**
 * The bytes of a composite key: each value behind its type and its length, so that no two keys
 * share an encoding ("ab" + "c" is not "a" + "bc", and text "1" is not the number 1).
 */
export function encodeJoinKey(
  columns: readonly KeyColumn[],
  values: readonly (string | null)[],
): Uint8Array | { readonly gap: KeyGap } {
  if (columns.length < 1 || columns.length > KEY_COLUMNS_MAX || columns.length !== values.length) {
    throw new ProtocolError('parameter-invalid', 'a key has 1 to 8 columns and a value for each');
  }
  const parts: string[] = [];
  let gap: KeyGap | undefined;
  columns.forEach((column, i) => {
    const canonical = canonicalValue(column, values[i] ?? null);
    if (typeof canonical === 'string') parts.push(column.type, canonical);
    // A missing value outranks a malformed one: the row would not join either way.
    else gap = gap === 'null' ? gap : canonical.gap;
  });
  return gap === undefined ? lengthPrefixed(parts) : { gap };
}

/** Rows read so far: `rows` = `keys` + `nulls` + `malformed`. */
export interface KeyTally {
  rows: number;
  keys: number;
  nulls: number;
  malformed: number;
}

/**
 * Digests of the keys of some rows, `DIGEST_BYTES` each; rows without a key are left out and
 * counted in `tally`.
 * @param context - the run's context: digests of one run compare with those of no other.
 * @param onKey - told the index within `rows` of each row that has a key, in order.
 */
export function digestKeys(
  hash: Pick<HashPrimitive, 'sha256'>,
  context: Uint8Array,
  columns: readonly KeyColumn[],
  rows: readonly (readonly (string | null)[])[],
  tally: KeyTally,
  onKey?: (index: number) => void,
): Uint8Array {
  if (context.length !== CONTEXT_BYTES) {
    throw new ProtocolError('parameter-invalid', `the context has ${CONTEXT_BYTES} bytes`);
  }
  const out = new Uint8Array(rows.length * DIGEST_BYTES);
  let filled = 0;
  rows.forEach((row, index) => {
    tally.rows += 1;
    const key = encodeJoinKey(columns, row);
    if (!(key instanceof Uint8Array)) {
      if (key.gap === 'null') tally.nulls += 1;
      else tally.malformed += 1;
      return;
    }
    tally.keys += 1;
    onKey?.(index);
    out.set(hash.sha256(concatBytes([DIGEST_LABEL, context, key])), filled);
    filled += DIGEST_BYTES;
  });
  return out.subarray(0, filled);
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
