/**
 * Canonical values of plain ASCII, straight into the bytes of a key. There NFKC changes nothing and
 * case folding is `a` for `A`, so the rules of `canonicalValue` need no string in between.
 */
import { type KeyColumn, KEY_VALUE_CHARACTERS_MAX } from './join-key.ts';

/** The value is not for this path: `canonicalValue` says what it is. */
export const NOT_PLAIN = -1;

const TAB = 9;
const RETURN = 13;
const SPACE = 32;
const PLUS = 43;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const UPPER_A = 65;
const UPPER_Z = 90;
const TO_LOWER = 32;
const ASCII_MAX = 127;
const INTEGER_DIGITS_MAX = 38;

/**
 * Writes what `canonicalValue` gives, as UTF-8.
 * @param out - has room for as many bytes as the value has characters, from `at` on.
 * @returns bytes written, none where the value is empty once trimmed; or `NOT_PLAIN`, and `out` may
 *   hold anything from `at` on.
 */
export function writePlain(column: KeyColumn, value: string, out: Uint8Array, at: number): number {
  if (column.type === 'date' || value.length > KEY_VALUE_CHARACTERS_MAX) return NOT_PLAIN;
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start += 1;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end -= 1;
  return column.type === 'integer'
    ? writeInteger(value, start, end, out, at)
    : writeText(value, start, end, column.keepCase === true, out, at);
}

function writeText(
  value: string,
  start: number,
  end: number,
  keepCase: boolean,
  out: Uint8Array,
  at: number,
): number {
  const to = at - start;
  for (let i = start; i < end; i++) {
    const code = value.charCodeAt(i);
    if (code > ASCII_MAX) return NOT_PLAIN;
    const isUpper = code >= UPPER_A && code <= UPPER_Z;
    out[to + i] = isUpper && !keepCase ? code + TO_LOWER : code;
  }
  return end - start;
}

/** Anything but a sign and digits is left to the general path, which says why it is no number. */
function writeInteger(
  value: string,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  if (start === end) return 0;
  const sign = value.charCodeAt(start);
  let first = sign === PLUS || sign === MINUS ? start + 1 : start;
  while (first < end - 1 && value.charCodeAt(first) === ZERO) first += 1;
  const digits = end - first;
  if (digits < 1 || digits > INTEGER_DIGITS_MAX) return NOT_PLAIN;
  const isZero = digits === 1 && value.charCodeAt(first) === ZERO;
  const signs = sign === MINUS && !isZero ? 1 : 0;
  out[at] = MINUS;
  const to = at + signs - first;
  for (let i = first; i < end; i++) {
    const code = value.charCodeAt(i);
    if (code < ZERO || code > NINE) return NOT_PLAIN;
    out[to + i] = code;
  }
  return signs + digits;
}

/** White space that `trim` removes, as far as it is ASCII. */
function isSpace(code: number): boolean {
  return code === SPACE || (code >= TAB && code <= RETURN);
}
