/** Exact rationals, rounded once. */

/** Bits a quotient is computed to: 53 of a double, two to round by, and room. */
const QUOTIENT_BITS = 66;

/**
 * The double nearest to numerator / denominator, ties to even: one rounding, none before it.
 * The quotient is taken to at least 65 bits and the lost rest kept as a sticky last bit.
 *
 * @param denominator - above zero.
 */
export function roundedQuotient(numerator: bigint, denominator: bigint): number {
  const isNegative = numerator < 0n;
  const magnitude = isNegative ? -numerator : numerator;
  const shift = Math.max(0, QUOTIENT_BITS + bitLength(denominator) - bitLength(magnitude));
  const scaled = magnitude << BigInt(shift);
  const quotient = scaled / denominator;
  const sticky = quotient * denominator === scaled ? 0n : 1n;
  const rounded = Number(quotient | sticky) / 2 ** shift;
  return isNegative ? -rounded : rounded;
}

/** `value` · 10^−scale as a decimal with `scale` digits after the point. */
export function decimalText(value: bigint, scale: number): string {
  if (scale === 0) return value.toString();
  const isNegative = value < 0n;
  const digits = (isNegative ? -value : value).toString().padStart(scale + 1, '0');
  const text = `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return isNegative ? `-${text}` : text;
}

function bitLength(value: bigint): number {
  return value.toString(16).length * 4;
}
