/**
 * Seam: a holder's data behind one interface. DuckDB files first, PostgreSQL next. Every method
 * renders its own SQL from typed parts: identifiers quoted, functions from a closed list.
 */
import type { ColumnBounds, Dictionary } from '../contracts/contract.ts';

/** A column as its holder's registration declares it. */
export interface SourceColumn {
  readonly name: string;
  readonly type: 'integer' | 'decimal' | 'double' | 'text' | 'date' | 'timestamp' | 'boolean';
}

export interface SourceDescription {
  readonly columns: readonly SourceColumn[];
  readonly rowCount: number;
  /** Bytes that change whenever the data does (file sizes, times, checksums); keyed by the caller. */
  readonly versionMaterial: Uint8Array;
}

/**
 * One grouped pass over the data. Cell index = mixed radix over `groups`, `other` last in each, the
 * first group the most significant digit (row-major).
 */
export interface AggregateQuery {
  /** The contract's purpose: only rows that consent to it count. */
  readonly purpose?: string | undefined;
  readonly groups: readonly Dictionary[];
  /** For each group, which labels are chosen, `OTHER_LABEL` among them or not; absent: all of them and `other`. */
  readonly chosen: readonly (readonly string[] | undefined)[];
  /** Columns to sum, clamped to bounds; `squares` asks for the sum of squares too. */
  readonly sums: readonly (ColumnBounds & { readonly squares: boolean })[];
  /**
   * What each privacy unit may contribute; the rest of its rows is left out, always the same ones.
   * Rows without a unit count together as one. Absent: every row counts.
   */
  readonly perUnit?: { readonly cellsMax: number; readonly rowsPerCellMax: number } | undefined;
}

/**
 * Dense little-endian lanes over all cells. Rows with a null in a summed column count for that
 * column neither in `sums` nor in `nonNull`.
 */
export interface AggregateAnswer {
  readonly cells: number;
  /** Rows a cell, u64 × cells. */
  readonly counts: Uint8Array;
  /** A column: non-null rows (u64 × cells), sum (i64 × cells), squares (u128 × cells) or undefined. */
  readonly columns: readonly {
    readonly nonNull: Uint8Array;
    readonly sums: Uint8Array;
    readonly squares: Uint8Array | undefined;
  }[];
  /**
   * Of an exact answer about persons: how many units there are, and for each column with a value, u64 ×
   * cells. What thresholds are held against; put together by the computation, not by a source.
   */
  readonly units?:
    | { readonly counts: Uint8Array; readonly nonNull: readonly Uint8Array[] }
    | undefined;
  /**
   * Under dominance terms, for each column u64 × cells: 1 where this holder's own part of the sum is
   * dominated. Put together by the computation, as `units`.
   */
  readonly objections?: readonly Uint8Array[] | undefined;
  /** Time the engine took, for the benchmark's overhead figure. */
  readonly engineMs: number;
}

/** Some rows of who is in which cell: 16 bytes an item, equal for equal units. */
export interface UnitItems {
  readonly cells: Uint32Array;
  /** The units; then for each summed column, the units with what they contribute to it. */
  readonly items: readonly Uint8Array[];
}

/** How a summed column's total comes about, cell by cell: absolute contributions of its units. */
export interface Concentrations {
  readonly totals: BigUint64Array;
  readonly firsts: BigUint64Array;
  readonly seconds: BigUint64Array;
  /** Of so many largest as were asked for together. */
  readonly tops: BigUint64Array;
}

export interface DataSource {
  describe(signal?: AbortSignal): Promise<SourceDescription>;
  aggregate(query: AggregateQuery, signal?: AbortSignal): Promise<AggregateAnswer>;
  /**
   * Each unit once in each cell it has rows in, in the order of the cells. A source without it cannot
   * answer exactly about persons.
   */
  readonly unitItems?: (
    query: AggregateQuery,
    take: (items: UnitItems) => void,
    signal?: AbortSignal,
  ) => Promise<void>;
  /**
   * For each summed column, how much of each cell its largest units have: privacy units, or rows
   * where the dataset names none. A source without it cannot answer under dominance terms.
   */
  readonly concentrations?: (
    query: AggregateQuery,
    largest: number,
    signal?: AbortSignal,
  ) => Promise<readonly Concentrations[]>;
  /** Key columns as UTF-8 rows in chunks; a slow consumer holds the reader back. */
  streamColumns(
    columns: readonly string[],
    chunkRows: number,
    signal?: AbortSignal,
    purpose?: string,
  ): AsyncIterable<readonly (readonly (string | null)[])[]>;
  /** Where a protocol may spill sorted runs, inside the domain's directory; purged by `close`. */
  spillDirectory(): Promise<string>;
  close(): Promise<void>;
}
