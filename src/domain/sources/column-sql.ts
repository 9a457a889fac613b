/**
 * How a registered column becomes a typed expression, a group code and a clamped integer lane.
 *
 * Rules of conversion, the same for every file format: text that is not of the declared type, NaN
 * and NULL are missing; a missing group value belongs to `other`, a missing measured value counts
 * in no sum. Nothing here fails on a row: an error would tell that such a row exists.
 */
import { bandLabels, type Derivation } from '../../catalog/derive.ts';
import type { ColumnBounds } from '../../contracts/contract.ts';
import type { DatasetRegistration, RegisteredColumn } from '../../catalog/dataset.ts';
import { InputError, SetupError } from '../../errors.ts';
import {
  concat,
  decimalType,
  hugeint,
  identifier,
  integer,
  literal,
  sql,
  type Sql,
} from './sql-text.ts';

/** How the file stores a column, as far as rendering cares. */
export type StoredKind =
  | 'int64'
  | 'number'
  | 'double'
  | 'text'
  | 'date'
  | 'timestamp'
  | 'timestamp-zone'
  | 'boolean';

/** A stored column: its declaration and its expression over the file. */
export interface StoredColumn {
  readonly column: RegisteredColumn;
  readonly kind: StoredKind;
}

/** Every column a query may name, with the stored column it comes from. */
export interface ColumnBook {
  readonly byName: ReadonlyMap<string, StoredColumn & { readonly derived?: Derivation }>;
  /** The column that names a person or firm. */
  readonly privacyUnit: string | undefined;
}

/** The book of a registration whose files store each column as `kinds` says. */
export function columnBook(
  registration: DatasetRegistration,
  kinds: ReadonlyMap<string, StoredKind>,
): ColumnBook {
  const stored = new Map<string, StoredColumn>();
  for (const column of registration.columns) {
    if (column.derived !== undefined) continue;
    const kind = kinds.get(column.name);
    if (kind === undefined) throw new SetupError('source-unreadable', 'A column has no type.');
    stored.set(column.name, { column, kind });
  }
  const byName = new Map<string, StoredColumn & { derived?: Derivation }>(stored);
  for (const column of registration.columns) {
    if (column.derived === undefined) continue;
    const from = stored.get(column.derived.from);
    if (from !== undefined) byName.set(column.name, { ...from, derived: column.derived });
  }
  return { byName, privacyUnit: registration.privacyUnit };
}

/**
 * Looks a column up.
 * @throws InputError `column-unknown`
 */
export function columnOf(
  book: ColumnBook,
  name: string,
): StoredColumn & { readonly derived?: Derivation } {
  const found = book.byName.get(name);
  if (found === undefined) {
    throw new InputError('column-unknown', 'The dataset has no such column.', { column: name });
  }
  return found;
}

/** The column's value in its declared type; NULL where the file holds something else. */
function typedValue({ column, kind }: StoredColumn): Sql {
  const raw = identifier(column.sourceName ?? column.name);
  switch (column.type) {
    case 'integer':
      return kind === 'int64' ? sql`CAST(${raw} AS BIGINT)` : sql`TRY_CAST(${raw} AS HUGEINT)`;
    case 'decimal':
      return kind === 'text' ? sql`TRY_CAST(${raw} AS DECIMAL(38,9))` : raw;
    case 'double':
      return notNan(sql`TRY_CAST(${raw} AS DOUBLE)`);
    case 'text':
      return sql`CAST(${raw} AS VARCHAR)`;
    case 'date':
      return sql`TRY_CAST(${inUtc(raw, kind)} AS DATE)`;
    case 'timestamp':
      return sql`TRY_CAST(${inUtc(raw, kind)} AS TIMESTAMP)`;
    case 'boolean':
      return sql`TRY_CAST(${raw} AS BOOLEAN)`;
  }
}

/** A group column as a cheap code per row, and the text its dictionary labels are compared with. */
export interface GroupSql {
  readonly code: Sql;
  /** Text of a code, given the name of the column that holds it. */
  text(code: Sql): Sql;
}

/** Renders a group column. Codes are coarse, so that hashing rows is cheap; labels are made once a group. */
export function groupSql(entry: StoredColumn & { readonly derived?: Derivation }): GroupSql {
  const value = typedValue(entry);
  const asText = (code: Sql): Sql => sql`CAST(${code} AS VARCHAR)`;
  const { derived } = entry;
  switch (derived?.derive) {
    case undefined:
    case 'copy':
      return { code: value, text: asText };
    case 'hour':
      return {
        code: sql`hour(${value})`,
        text: (code) => sql`lpad(CAST(${code} AS VARCHAR), 2, ${literal('0')})`,
      };
    case 'date':
      return { code: sql`CAST(${value} AS DATE)`, text: asText };
    case 'month':
      return {
        code: sql`CAST(${value} AS DATE)`,
        text: (code) => sql`strftime(${code}, ${literal('%Y-%m')})`,
      };
    case 'day-of-week':
      return {
        code: sql`CAST(${value} AS DATE)`,
        text: (code) => sql`CAST(isodow(${code}) AS VARCHAR)`,
      };
    case 'band':
      return bandSql(value, derived.edges);
  }
}

function bandSql(value: Sql, edges: readonly string[]): GroupSql {
  const cases = edges.map(
    (edge, index) => sql`WHEN ${value} < ${number(edge)} THEN ${integer(index)}`,
  );
  const last = integer(edges.length);
  return {
    code: sql`CASE ${concat(cases)} WHEN ${value} IS NOT NULL THEN ${last} END`,
    text(code) {
      const labels = bandLabels(edges).map(
        (label, index) => sql`WHEN ${integer(index)} THEN ${literal(label)}`,
      );
      return sql`CASE ${code} ${concat(labels)} END`;
    },
  };
}

/** A column as text, row by row. @throws InputError `column-unknown` */
export function textOf(book: ColumnBook, name: string): Sql {
  const group = groupSql(columnOf(book, name));
  return group.text(group.code);
}

/** What a measured column needs: a value prepared once a row, and the lane made of it. */
export interface LaneSql {
  readonly prepared: Sql;
  /** BIGINT within the bounds, in units of 10^−scale, or NULL; given the prepared column's name. */
  lane(prepared: Sql): Sql;
  /** True where a square of the lane fits 63 bits. */
  readonly squareFits: boolean;
}

/** The largest integer whose square is below 2^63. */
const ROOT_OF_INT64 = 3_037_000_499n;

/**
 * Renders a measured column, clamped to `bounds`. Integers and decimals are exact; a decimal with
 * more digits than the scale is rounded half away from zero. Doubles are the nearest double to
 * value × 10^scale, rounded half to even.
 * @throws InputError `column-unknown` where the column holds no numbers.
 */
export function laneSql(entry: StoredColumn, bounds: ColumnBounds): LaneSql {
  const low = BigInt(bounds.minimum);
  const high = BigInt(bounds.maximum);
  const largest = [low, high].reduce((most, bound) => {
    const magnitude = bound < 0n ? -bound : bound;
    return magnitude > most ? magnitude : most;
  }, 0n);
  const squareFits = largest <= ROOT_OF_INT64;
  const { type } = entry.column;
  if (type !== 'integer' && type !== 'decimal' && type !== 'double') {
    throw new InputError('column-unknown', 'The column holds no numbers.', {
      column: bounds.column,
    });
  }
  if (type === 'double') {
    const scale = doubleText(10n ** BigInt(bounds.scale));
    return {
      prepared: sql`${typedValue(entry)} * ${scale}`,
      lane: (value) => doubleLane(value, low, high),
      squareFits,
    };
  }
  if (entry.kind === 'int64' && bounds.scale === 0) {
    const value = typedValue(entry);
    return { prepared: value, lane: (name) => clamp(name, low, high), squareFits };
  }
  return {
    prepared: identifier(entry.column.sourceName ?? entry.column.name),
    lane: (raw) => decimalLane(raw, low, high, bounds.scale),
    squareFits,
  };
}

/** A plain decimal as a numeric literal; the registration's pattern admits digits, sign and point only. */
function number(decimal: string): Sql {
  if (!/^-?\d+(\.\d+)?$/.test(decimal)) throw new TypeError('not a plain decimal');
  return `(${decimal})` as Sql;
}

function notNan(value: Sql): Sql {
  return sql`CASE WHEN isnan(${value}) THEN NULL ELSE ${value} END`;
}

function inUtc(raw: Sql, kind: StoredKind): Sql {
  return kind === 'timestamp-zone' ? sql`timezone(${literal('UTC')}, ${raw})` : raw;
}

function doubleText(value: bigint): Sql {
  return sql`CAST(${integer(value)} AS DOUBLE)`;
}

/** CASE, because `least` and `greatest` would turn NULL into a bound. */
function clamp(value: Sql, low: bigint, high: bigint): Sql {
  return sql`CASE WHEN ${value} < ${integer(low)} THEN ${integer(low)} WHEN ${value} > ${integer(high)} THEN ${integer(high)} ELSE ${value} END`;
}

function doubleLane(value: Sql, low: bigint, high: bigint): Sql {
  // 2 × round(value / 2) is exact and even where the fraction is one half.
  const even = sql`CASE WHEN abs(${value} - trunc(${value})) = 0.5 THEN 2 * round(${value} / 2) ELSE round(${value}) END`;
  const limit = doubleText(10n ** 18n);
  return sql`CASE WHEN ${value} >= ${limit} THEN ${integer(high)} WHEN ${value} <= -${limit} THEN ${integer(low)} ELSE ${clamp(sql`CAST(${even} AS BIGINT)`, low, high)} END`;
}

function decimalLane(raw: Sql, low: bigint, high: bigint, scale: number): Sql {
  const value = sql`TRY_CAST(${raw} AS ${decimalType(scale)})`;
  const bound = (units: bigint): Sql =>
    sql`CAST(${literal(decimalText(units, scale))} AS ${decimalType(scale)})`;
  const factor = sql`CAST(${integer(10n ** BigInt(scale))} AS DECIMAL(10,0))`;
  const double = sql`TRY_CAST(${raw} AS DOUBLE)`;
  return sql`CASE WHEN ${value} IS NULL THEN CASE WHEN isnan(${double}) THEN NULL WHEN ${double} > 0 THEN ${integer(high)} WHEN ${double} < 0 THEN ${integer(low)} END
    WHEN ${value} <= ${bound(low)} THEN ${integer(low)} WHEN ${value} >= ${bound(high)} THEN ${integer(high)}
    ELSE CAST(${value} * ${factor} AS BIGINT) END`;
}

/** `units` × 10^−scale as a plain decimal. */
function decimalText(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  const fraction = scale === 0 ? '' : `.${digits.slice(-scale)}`;
  return `${units < 0n ? '-' : ''}${whole}${fraction}`;
}

/** The square of a lane, exact. */
export function squareSql(lane: Sql, fits: boolean): Sql {
  return fits ? sql`${lane} * ${lane}` : sql`CAST(${lane} AS HUGEINT) * ${lane}`;
}

/** `value` mod 2^(32 × words) as unsigned 32-bit words, least significant first. */
export function wordsSql(value: Sql, words: number): Sql[] {
  const mask = hugeint(0xffff_ffffn);
  return Array.from({ length: words }, (_, word) => {
    const shifted = word === 0 ? value : sql`(${value} >> ${integer(32 * word)})`;
    return sql`CAST(${shifted} & ${mask} AS UINTEGER)`;
  });
}
