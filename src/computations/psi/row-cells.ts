/** The group of each key of the receiver, row by row as the keys are read. */

/** Collects one group a key: the place of its label in the dictionary, or the last for any other. */
export class RowCells {
  readonly #places: ReadonlyMap<string, number>;
  readonly #other: number;
  #cells = new Uint8Array(1024);
  #count = 0;

  /** @param labels - of the dictionary, fewer than 256. */
  constructor(labels: readonly string[]) {
    this.#places = new Map(labels.map((label, place) => [label, place]));
    this.#other = labels.length;
  }

  add(label: string | null): void {
    if (this.#count === this.#cells.length) {
      const grown = new Uint8Array(2 * this.#count);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    const place = label === null ? undefined : this.#places.get(label);
    this.#cells[this.#count] = place ?? this.#other;
    this.#count += 1;
  }

  /** The group of the key of this number. */
  at(row: number): number {
    return this.#cells[row] ?? this.#other;
  }
}
