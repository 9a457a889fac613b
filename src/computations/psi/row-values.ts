/** The values that are summed over the join, row by row as the keys are read. */
import type { ColumnBounds } from '../../contracts/contract.ts';

/** Whatever a 128-bit column holds. */
const INTEGER = /^-?\d{1,39}$/;

/**
 * Collects one value a key, in units of 10^−scale, clamped to the declared bounds; a value that is
 * missing or no integer counts zero. Eight bytes a key in memory.
 */
export class RowValues {
  readonly #minimum: bigint;
  readonly #maximum: bigint;
  readonly #unit: bigint;
  #values = new BigInt64Array(1024);
  #count = 0;

  constructor(bounds: ColumnBounds) {
    this.#minimum = BigInt(bounds.minimum);
    this.#maximum = BigInt(bounds.maximum);
    this.#unit = 10n ** BigInt(bounds.scale);
  }

  add(text: string | null): void {
    if (this.#count === this.#values.length) {
      const grown = new BigInt64Array(2 * this.#count);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count] = this.#clamped(text);
    this.#count += 1;
  }

  /** The value of the key of this number; zero where there is none. */
  at(row: number): bigint {
    return this.#values[row] ?? 0n;
  }

  #clamped(text: string | null): bigint {
    if (text === null || !INTEGER.test(text)) return 0n;
    const value = BigInt(text) * this.#unit;
    if (value < this.#minimum) return this.#minimum;
    return value > this.#maximum ? this.#maximum : value;
  }
}
