/** Dense lanes out of result chunks: 32-bit words are copied, with no bigint made on the way. */
import type { DuckDBDataChunk } from '@duckdb/node-api';
import type { AggregateAnswer, AggregateQuery } from '../../catalog/data-source.ts';
import { assertInvariant } from '../../errors.ts';
import { COUNT_WORDS, SQUARE_WORDS, SUM_WORDS } from './aggregate-sql.ts';

interface Lane {
  readonly words: number;
  readonly view: Uint32Array;
}

interface ColumnLanes {
  readonly nonNull: Lane;
  readonly sums: Lane;
  readonly squares: Lane | undefined;
}

/** The lanes of one answer, filled cell by cell. */
export class LaneWriter {
  readonly #cells: number;
  readonly #counts: Lane;
  readonly #columns: readonly ColumnLanes[];
  readonly #order: readonly Lane[];

  constructor(query: AggregateQuery, cells: number) {
    assertInvariant(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, 'words are little-endian');
    const lane = (words: number): Lane => ({ words, view: new Uint32Array(cells * words) });
    this.#cells = cells;
    this.#counts = lane(COUNT_WORDS);
    this.#columns = query.sums.map((sum) => ({
      nonNull: lane(COUNT_WORDS),
      sums: lane(SUM_WORDS),
      squares: sum.squares ? lane(SQUARE_WORDS) : undefined,
    }));
    this.#order = [
      this.#counts,
      ...this.#columns.flatMap((column) =>
        column.squares === undefined
          ? [column.nonNull, column.sums]
          : [column.nonNull, column.sums, column.squares],
      ),
    ];
  }

  /** Writes a chunk whose columns are the cell and then every lane's words in order. */
  write(chunk: DuckDBDataChunk): void {
    const rows = chunk.rowCount;
    const cells = chunk.getColumnVector(0);
    let column = 1;
    for (const lane of this.#order) {
      for (let word = 0; word < lane.words; word += 1) {
        const values = chunk.getColumnVector(column);
        column += 1;
        for (let row = 0; row < rows; row += 1) {
          const cell = cells.getItem(row);
          const value = values.getItem(row);
          assertInvariant(typeof cell === 'number' && cell < this.#cells, 'the cell exists');
          assertInvariant(typeof value === 'number', 'words are never null');
          lane.view[cell * lane.words + word] = value;
        }
      }
    }
  }

  /** The finished answer. */
  answer(engineMs: number): AggregateAnswer {
    return {
      cells: this.#cells,
      counts: bytesOf(this.#counts),
      columns: this.#columns.map((column) => ({
        nonNull: bytesOf(column.nonNull),
        sums: bytesOf(column.sums),
        squares: column.squares === undefined ? undefined : bytesOf(column.squares),
      })),
      engineMs,
    };
  }
}

function bytesOf(lane: Lane): Uint8Array {
  return new Uint8Array(lane.view.buffer);
}
