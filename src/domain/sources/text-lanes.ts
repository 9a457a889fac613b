/** Dense lanes out of rows of text, as a server sends them. */
import type { AggregateAnswer, AggregateQuery } from '../../catalog/data-source.ts';
import { assertInvariant } from '../../errors.ts';
import type { TextRow } from './postgres-engine.ts';

/** Fills with the rows of `postgresAggregate`. */
export class TextLanes {
  readonly #query: AggregateQuery;
  readonly #cells: number;
  readonly #counts: BigUint64Array<ArrayBuffer>;
  readonly #columns: readonly {
    readonly nonNull: BigUint64Array<ArrayBuffer>;
    readonly sums: BigInt64Array<ArrayBuffer>;
    /** Two words a cell, the low one first. */
    readonly squares: BigUint64Array<ArrayBuffer> | undefined;
  }[];

  constructor(query: AggregateQuery, cells: number) {
    this.#query = query;
    this.#cells = cells;
    this.#counts = new BigUint64Array(cells);
    this.#columns = query.sums.map(({ squares }) => ({
      nonNull: new BigUint64Array(cells),
      sums: new BigInt64Array(cells),
      squares: squares ? new BigUint64Array(2 * cells) : undefined,
    }));
  }

  write(row: TextRow): void {
    const cell = Number(row[0]);
    assertInvariant(Number.isInteger(cell) && cell >= 0 && cell < this.#cells, 'the cell exists');
    let at = 1;
    const next = (): bigint => {
      const text = row[at++];
      assertInvariant(typeof text === 'string', 'totals are never null');
      return BigInt(text);
    };
    this.#counts[cell] = next();
    for (const { nonNull, sums, squares } of this.#columns) {
      nonNull[cell] = next();
      sums[cell] = next();
      if (squares === undefined) continue;
      const square = next();
      squares[2 * cell] = BigInt.asUintN(64, square);
      squares[2 * cell + 1] = square >> 64n;
    }
  }

  answer(engineMs: number): AggregateAnswer {
    const bytes = (words: BigUint64Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>): Uint8Array =>
      new Uint8Array(words.buffer);
    assertInvariant(this.#columns.length === this.#query.sums.length, 'a column a sum');
    return {
      cells: this.#cells,
      counts: bytes(this.#counts),
      columns: this.#columns.map(({ nonNull, sums, squares }) => ({
        nonNull: bytes(nonNull),
        sums: bytes(sums),
        squares: squares === undefined ? undefined : bytes(squares),
      })),
      engineMs,
    };
  }
}
