/** Files as a relation, and what they store: the format's reader with every guess turned off. */
import type { DuckDBDataChunk } from '@duckdb/node-api';
import { type DatasetRegistration, filesOf } from '../../catalog/dataset.ts';
import { SetupError } from '../../errors.ts';
import type { StoredKind } from './column-sql.ts';
import { identifier, list, literal, sql, type Sql } from './sql-text.ts';

/** Longest JSON value of one record. */
const JSON_RECORD_BYTES_MAX = 16_777_216;

/** The rows of the dataset's files, before consent. */
export function filesRelation(registration: DatasetRegistration, paths: readonly string[]): Sql {
  const files = sql`[${list(paths.map(literal))}]`;
  const source = filesOf(registration);
  switch (source.format) {
    case 'parquet':
      return sql`read_parquet(${files}, hive_partitioning = false, union_by_name = true)`;
    case 'csv': {
      // Text only: a reader that guessed types could guess otherwise once the data changes.
      const quote = literal('"');
      const delimiter = literal(source.delimiter ?? ',');
      return sql`read_csv(${files}, all_varchar = true, header = true, delim = ${delimiter}, quote = ${quote}, escape = ${quote}, skip = 0, comment = ${literal('')}, union_by_name = true, hive_partitioning = false)`;
    }
    case 'json': {
      const columns = registration.columns
        .filter((column) => column.derived === undefined)
        .map((column) => sql`${literal(column.sourceName ?? column.name)}: ${literal('VARCHAR')}`);
      return sql`read_json(${files}, format = ${literal('auto')}, columns = {${list(columns)}}, maximum_object_size = ${literal(String(JSON_RECORD_BYTES_MAX))}, hive_partitioning = false)`;
    }
  }
}

/** The rows that may be computed on: where a consent column is registered, those that consent. */
export function consentingRelation(
  registration: DatasetRegistration,
  files: Sql,
  consentText: Sql | undefined,
  granted: readonly string[],
): Sql {
  if (registration.consent === undefined || consentText === undefined) return files;
  if (granted.length === 0) return sql`(SELECT * FROM ${files} WHERE 1 = 0)`;
  return sql`(SELECT * FROM ${files} WHERE ${consentText} IN (${list(granted.map(literal))}))`;
}

/** The statement whose rows are the columns of a relation: name, type. */
export function describeStatement(relation: Sql): Sql {
  return sql`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM ${relation})`;
}

/** Names and types out of `describeStatement`. */
export function readTypes(chunk: DuckDBDataChunk, types: Map<string, string>): void {
  const names = chunk.getColumnValues(0);
  const stored = chunk.getColumnValues(1);
  for (const [index, name] of names.entries()) types.set(String(name), String(stored[index]));
}

/**
 * How the files store each registered column.
 * @throws SetupError `source-unreadable` where a column is missing or of a type that cannot serve.
 */
export function storedKinds(
  registration: DatasetRegistration,
  types: ReadonlyMap<string, string>,
): Map<string, StoredKind> {
  const kinds = new Map<string, StoredKind>();
  const { format } = filesOf(registration);
  for (const column of registration.columns) {
    if (column.derived !== undefined) continue;
    const sourceName = column.sourceName ?? column.name;
    const type = format === 'parquet' ? types.get(sourceName) : 'VARCHAR';
    const isMissing = format !== 'json' && !types.has(sourceName);
    if (type === undefined || isMissing) {
      throw new SetupError(
        'source-unreadable',
        `The files of ${registration.name} have no column ${sourceName}: correct the registration.`,
        { column: column.name },
      );
    }
    const kind = kindOf(type);
    if (kind === undefined || !SERVES[column.type].includes(kind)) {
      throw new SetupError(
        'source-unreadable',
        `Column ${sourceName} of ${registration.name} is stored as ${type} and cannot serve as ${column.type}.`,
        { column: column.name },
      );
    }
    kinds.set(column.name, kind);
  }
  return kinds;
}

/** Which stored kinds can be read as a declared type. */
const SERVES: Record<DatasetRegistration['columns'][number]['type'], readonly StoredKind[]> = {
  integer: ['int64', 'number', 'text'],
  decimal: ['int64', 'number', 'text'],
  double: ['int64', 'number', 'double', 'text'],
  text: ['text', 'int64', 'number'],
  date: ['date', 'timestamp', 'timestamp-zone', 'text'],
  timestamp: ['timestamp', 'timestamp-zone', 'date', 'text'],
  boolean: ['boolean', 'text'],
};

function kindOf(type: string): StoredKind | undefined {
  if (/^(U?TINYINT|U?SMALLINT|U?INTEGER|BIGINT)$/.test(type)) return 'int64';
  if (/^(UBIGINT|U?HUGEINT|DECIMAL\(\d+,\s?\d+\))$/.test(type)) return 'number';
  if (type === 'FLOAT' || type === 'DOUBLE') return 'double';
  if (type === 'VARCHAR' || type === 'UUID' || type.startsWith('ENUM(')) return 'text';
  if (type === 'DATE') return 'date';
  if (type === 'TIMESTAMP WITH TIME ZONE') return 'timestamp-zone';
  if (/^TIMESTAMP(_S|_MS|_NS)?$/.test(type)) return 'timestamp';
  return type === 'BOOLEAN' ? 'boolean' : undefined;
}

/** Rows of a relation. */
export function countStatement(relation: Sql): Sql {
  return sql`SELECT CAST(count(*) AS DOUBLE) AS n FROM ${relation}`;
}

/** Columns as text, in the order asked for. */
export function selectStatement(relation: Sql, texts: readonly Sql[]): Sql {
  const columns = texts.map((text, index) => sql`${text} AS ${identifier(`c${index}`)}`);
  return sql`SELECT ${list(columns)} FROM ${relation}`;
}
