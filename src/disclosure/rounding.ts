/** Rounding of released figures to a public base; no defence by itself, it hides the last digits. */

/**
 * The multiple of `base` nearest to `value`, halves away from zero.
 * @param base - at least 1.
 */
export function roundToBase(value: bigint, base: bigint): bigint {
  const magnitude = value < 0n ? -value : value;
  const rounded = ((2n * magnitude + base) / (2n * base)) * base;
  return value < 0n ? -rounded : rounded;
}
