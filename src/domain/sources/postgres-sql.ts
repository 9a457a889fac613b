/**
 * Columns of a PostgreSQL table as typed values, group texts and clamped integer lanes: the rules of
 * `column-sql.ts` in PostgreSQL's dialect. Tables have types, so nothing is parsed out of text.
 *
 * No expression here fails on a row: NaN is missing, what leaves a range is clamped before it is
 * cast, for an error would tell that such a row exists.
 */
import { bandLabels } from '../../catalog/derive.ts';
import type { ColumnBounds } from '../../contracts/contract.ts';
import type { DatasetRegistration } from '../../catalog/dataset.ts';
import { InputError, SetupError } from '../../errors.ts';
import { columnOf, type ColumnBook, type StoredColumn, type StoredKind } from './column-sql.ts';
import { concat, identifier, integer, literal, sql, type Sql } from './sql-text.ts';

/** Which of PostgreSQL's types are read as what; `format_type` names them without modifiers. */
const KINDS: Readonly<Record<string, StoredKind>> = {
  smallint: 'int64',
  integer: 'int64',
  bigint: 'int64',
  numeric: 'number',
  real: 'double',
  'double precision': 'double',
  text: 'text',
  'character varying': 'text',
  character: 'text',
  uuid: 'text',
  date: 'date',
  'timestamp without time zone': 'timestamp',
  'timestamp with time zone': 'timestamp-zone',
  boolean: 'boolean',
};

const SERVES: Record<DatasetRegistration['columns'][number]['type'], readonly StoredKind[]> = {
  integer: ['int64', 'number'],
  decimal: ['int64', 'number'],
  double: ['int64', 'number', 'double'],
  text: ['text', 'int64', 'number'],
  date: ['date', 'timestamp', 'timestamp-zone'],
  timestamp: ['timestamp', 'timestamp-zone', 'date'],
  boolean: ['boolean'],
};

/**
 * How the table stores each registered column.
 * @param types - by column name, as PostgreSQL names them.
 * @throws SetupError `source-unreadable` where a column is missing or of a type that cannot serve.
 */
export function storedPostgresKinds(
  registration: DatasetRegistration,
  types: ReadonlyMap<string, string>,
): Map<string, StoredKind> {
  const kinds = new Map<string, StoredKind>();
  for (const column of registration.columns) {
    if (column.derived !== undefined) continue;
    const sourceName = column.sourceName ?? column.name;
    const type = types.get(sourceName);
    const facts = { column: column.name };
    if (type === undefined) {
      const text = `The table of ${registration.name} has no column ${sourceName}: correct the registration.`;
      throw new SetupError('source-unreadable', text, facts);
    }
    const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
    if (kind === undefined || !SERVES[column.type].includes(kind)) {
      const text = `Column ${sourceName} of ${registration.name} is stored as ${type} and cannot serve as ${column.type}.`;
      throw new SetupError('source-unreadable', text, facts);
    }
    kinds.set(column.name, kind);
  }
  return kinds;
}

/** The column's value in its declared type, NULL where it is no value of it. */
function typedValue({ column, kind }: StoredColumn): Sql {
  const raw = identifier(column.sourceName ?? column.name);
  switch (column.type) {
    case 'integer':
      return kind === 'int64' ? sql`CAST(${raw} AS bigint)` : sql`round(${finite(raw)})`;
    case 'decimal':
      return kind === 'int64' ? sql`CAST(${raw} AS numeric)` : finite(raw);
    case 'double':
      return doubleValue(raw, kind);
    case 'text':
      return inC(sql`CAST(${raw} AS text)`);
    case 'date':
      return sql`CAST(${inUtc(raw, kind)} AS date)`;
    case 'timestamp':
      return sql`CAST(${inUtc(raw, kind)} AS timestamp)`;
    case 'boolean':
      return raw;
  }
}

/** A group column as a value to hash rows by, and the text its labels are compared with. */
export interface PostgresGroup {
  readonly code: Sql;
  text(code: Sql): Sql;
}

/** @throws InputError `column-unknown` */
export function postgresGroup(book: ColumnBook, name: string): PostgresGroup {
  const entry = columnOf(book, name);
  const value = typedValue(entry);
  const asText = (code: Sql): Sql => inC(sql`CAST(${code} AS text)`);
  const { derived } = entry;
  switch (derived?.derive) {
    case undefined:
    case 'copy':
      return { code: value, text: asText };
    case 'hour':
      return {
        code: sql`CAST(extract(hour FROM ${value}) AS integer)`,
        text: (code) => inC(sql`lpad(CAST(${code} AS text), 2, ${literal('0')})`),
      };
    case 'date':
      return { code: sql`CAST(${value} AS date)`, text: asText };
    case 'month':
      return {
        code: sql`CAST(${value} AS date)`,
        text: (code) => inC(sql`to_char(${code}, ${literal('YYYY-MM')})`),
      };
    case 'day-of-week':
      return {
        code: sql`CAST(${value} AS date)`,
        text: (code) => asText(sql`CAST(extract(isodow FROM ${code}) AS integer)`),
      };
    case 'band':
      return bandGroup(value, derived.edges);
  }
}

function bandGroup(value: Sql, edges: readonly string[]): PostgresGroup {
  const cases = edges.map(
    (edge, index) => sql`WHEN ${value} < ${numeric(edge)} THEN ${integer(index)}`,
  );
  const last = integer(edges.length);
  return {
    code: sql`CASE ${concat(cases)} WHEN ${value} IS NOT NULL THEN ${last} END`,
    text(code) {
      const labels = bandLabels(edges).map(
        (label, index) => sql`WHEN ${integer(index)} THEN ${literal(label)}`,
      );
      return inC(sql`CASE ${code} ${concat(labels)} END`);
    },
  };
}

/** A column as text, row by row. @throws InputError `column-unknown` */
export function postgresText(book: ColumnBook, name: string): Sql {
  const group = postgresGroup(book, name);
  return group.text(group.code);
}

/**
 * A measured column as bigint within its bounds, in units of 10^−scale, or NULL. Decimals are rounded
 * half away from zero, doubles to the nearest, half to even, as PostgreSQL does by itself.
 * @throws InputError `column-unknown` where the column holds no numbers.
 */
export function postgresLane(book: ColumnBook, bounds: ColumnBounds): Sql {
  const entry = columnOf(book, bounds.column);
  const low = BigInt(bounds.minimum);
  const high = BigInt(bounds.maximum);
  const raw = identifier(entry.column.sourceName ?? entry.column.name);
  switch (entry.column.type) {
    case 'integer':
    case 'decimal':
      return decimalLane(sql`CAST(${raw} AS numeric)`, low, high, bounds.scale);
    case 'double':
      return doubleLane(typedValue(entry), low, high, bounds.scale);
    default:
      throw new InputError('column-unknown', 'The column holds no numbers.', {
        column: bounds.column,
      });
  }
}

function decimalLane(raw: Sql, low: bigint, high: bigint, scale: number): Sql {
  const factor = sql`CAST(${integer(10n ** BigInt(scale))} AS numeric)`;
  const units = sql`round(${raw}, ${integer(scale)}) * ${factor}`;
  // Compared as numeric, where infinities have their place, before anything is cast.
  return sql`CASE WHEN ${raw} IS NULL OR ${isNan(raw)} THEN NULL
    WHEN ${units} <= ${bound(low)} THEN CAST(${integer(low)} AS bigint)
    WHEN ${units} >= ${bound(high)} THEN CAST(${integer(high)} AS bigint)
    ELSE CAST(${units} AS bigint) END`;
}

function doubleLane(value: Sql, low: bigint, high: bigint, scale: number): Sql {
  const limit = sql`CAST(${integer(10n ** 18n)} AS double precision)`;
  // Beyond the limit every bound is passed already, and multiplying could overflow, which fails.
  const units = sql`(${value} * CAST(${integer(10n ** BigInt(scale))} AS double precision))`;
  const rounded = sql`CAST(${units} AS bigint)`;
  return sql`CASE WHEN ${value} IS NULL THEN NULL
    WHEN ${value} >= ${limit} THEN CAST(${integer(high)} AS bigint)
    WHEN ${value} <= -${limit} THEN CAST(${integer(low)} AS bigint)
    WHEN ${units} >= ${limit} THEN CAST(${integer(high)} AS bigint)
    WHEN ${units} <= -${limit} THEN CAST(${integer(low)} AS bigint)
    WHEN ${rounded} < ${integer(low)} THEN CAST(${integer(low)} AS bigint)
    WHEN ${rounded} > ${integer(high)} THEN CAST(${integer(high)} AS bigint)
    ELSE ${rounded} END`;
}

function doubleValue(raw: Sql, kind: StoredKind): Sql {
  const nan = sql`CAST(${literal('NaN')} AS double precision)`;
  if (kind !== 'number') {
    const value = sql`CAST(${raw} AS double precision)`;
    return sql`CASE WHEN ${value} = ${nan} THEN NULL ELSE ${value} END`;
  }
  const edge = sql`CAST(${literal('1e300')} AS numeric)`;
  const infinite = (text: string): Sql => sql`CAST(${literal(text)} AS double precision)`;
  return sql`CASE WHEN ${isNan(raw)} THEN NULL WHEN ${raw} > ${edge} THEN ${infinite('Infinity')}
    WHEN ${raw} < -${edge} THEN ${infinite('-Infinity')} ELSE CAST(${raw} AS double precision) END`;
}

/** Labels are compared byte by byte, whatever collation the table was made with. */
function inC(text: Sql): Sql {
  return sql`(${text}) COLLATE ${identifier('C')}`;
}

function inUtc(raw: Sql, kind: StoredKind): Sql {
  return kind === 'timestamp-zone' ? sql`timezone(${literal('UTC')}, ${raw})` : raw;
}

function isNan(value: Sql): Sql {
  return sql`${value} = CAST(${literal('NaN')} AS numeric)`;
}

function finite(value: Sql): Sql {
  const numbers = ['NaN', 'Infinity', '-Infinity'].map(
    (text) => sql`CAST(${literal(text)} AS numeric)`,
  );
  return sql`CASE WHEN ${value} IN (${numbers.join(', ') as Sql}) THEN NULL ELSE ${value} END`;
}

function bound(units: bigint): Sql {
  return sql`CAST(${integer(units)} AS numeric)`;
}

/** A plain decimal of the registration. */
function numeric(decimal: string): Sql {
  return sql`CAST(${literal(decimal)} AS numeric)`;
}
