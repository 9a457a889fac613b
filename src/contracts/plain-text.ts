/** Words, labels, keys and decimals as they stand in a contract's plain words. */
import { decodeBase64url } from '../system/base64url.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import { fingerprintOf } from '../system/signature-suite.ts';

/** One sentence in both languages. */
export interface PlainLine {
  readonly zh: string;
  readonly en: string;
}

/** Labels written out; a longer list is cut and told by its number and hash. */
export const LABELS_SHOWN_MAX = 40;

/**
 * Controls, formats (direction marks, zero width), unassigned, private use, line separators, spaces but
 * the plain one, and what is drawn as nothing: fillers, variation selectors, the empty Braille pattern.
 */
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

/** A line with everything escaped that does not show: it neither moves a cursor nor turns its direction. */
export function visible(text: string): string {
  return text.replaceAll(
    UNSEEN,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** In quotation marks, with everything escaped that does not show; no two texts look alike by that. */
export function quoted(text: string): string {
  return `"${visible(text.replaceAll(/[\\"]/g, (character) => `\\${character}`))}"`;
}

export function labelList(labels: readonly string[]): string {
  const shown = labels.slice(0, LABELS_SHOWN_MAX).map(quoted).join(', ');
  if (labels.length <= LABELS_SHOWN_MAX) return shown;
  return `${shown}, … [${labels.length}; SHA-256 ${canonicalHash(labels)}]`;
}

export function keyFingerprint(key: string): string {
  return fingerprintOf(decodeBase64url(key, 32));
}

/** A whole number of 10^−scale as a decimal, exactly. */
export function decimal(digits: string, scale: number): string {
  const value = BigInt(digits);
  const sign = value < 0n ? '-' : '';
  const text = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  if (scale === 0) return `${sign}${text}`;
  return `${sign}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}
