/** The values that are summed over the join, row by row as the keys are read. */
import type { ColumnBounds } from '../../contracts/contract.ts';

/** Values of one allocation: growing copies none of them. */
const PART = 65_536;
/** Whatever a 128-bit column holds. */
const INTEGER = /^-?\d{1,39}$/;

/**
 * Collects one value a key, in units of 10^−scale, clamped to the declared bounds; a value that is
 * missing or no integer counts zero. Eight bytes a key in memory, at most `SUMMED_KEYS_MAX` of them by
 * the contract's row cap; padding has none.
 */
export class RowValues {
  readonly #minimum: bigint;
  readonly #maximum: bigint;
  readonly #unit: bigint;
  readonly #parts: BigInt64Array[] = [];
  #count = 0;

  constructor(bounds: ColumnBounds) {
    this.#minimum = BigInt(bounds.minimum);
    this.#maximum = BigInt(bounds.maximum);
    this.#unit = 10n ** BigInt(bounds.scale);
  }

  add(text: string | null): void {
    const at = this.#count % PART;
    if (at === 0) this.#parts.push(new BigInt64Array(PART));
    const part = this.#parts.at(-1);
    if (part !== undefined) part[at] = this.#clamped(text);
    this.#count += 1;
  }

  /** The value of the key of this number; zero where there is none. */
  at(row: number): bigint {
    return this.#parts[Math.floor(row / PART)]?.[row % PART] ?? 0n;
  }

  #clamped(text: string | null): bigint {
    if (text === null || !INTEGER.test(text)) return 0n;
    const value = BigInt(text) * this.#unit;
    if (value < this.#minimum) return this.#minimum;
    return value > this.#maximum ? this.#maximum : value;
  }
}
