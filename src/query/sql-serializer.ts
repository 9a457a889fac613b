/**
 * DuckDB as a parser: text in, its syntax tree as JSON out. The text is a bound value of one fixed
 * statement, is only parsed and never executed; the instance can reach no file, network or
 * extension, holds no data and no table, and its settings are locked.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';

/** Nesting of expressions: plans need three levels, hostile text as many as the stack has. */
const DEPTH_MAX = 64;

const LOCK: readonly string[] = [
  'SET threads = 1',
  "SET memory_limit = '64MiB'",
  "SET temp_directory = ''",
  `SET max_expression_depth = ${DEPTH_MAX}`,
  'SET autoinstall_known_extensions = false',
  'SET autoload_known_extensions = false',
  'SET allow_community_extensions = false',
  'SET allow_persistent_secrets = false',
  'SET enable_external_access = false',
  'SET lock_configuration = true',
];

const PARSE =
  'SELECT json_serialize_sql(CAST($1 AS VARCHAR), skip_default := false, skip_null := false, skip_empty := false)';

export interface SqlSerializer {
  /** The tree of a text, or the parser's complaint, as JSON text that the caller still checks. */
  serialize(text: string): Promise<string>;
  close(): void;
}

/** Opens a parser inside this process: a fault in the native code is this process's fault. */
export async function openSerializer(): Promise<SqlSerializer> {
  const instance = await DuckDBInstance.create(':memory:');
  const connected = async <T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> => {
    const connection = await instance.connect();
    try {
      return await work(connection);
    } finally {
      connection.closeSync();
    }
  };
  await connected(async (connection) => {
    for (const statement of LOCK) await connection.run(statement);
  });
  return {
    // A connection each: two texts parsed at once must not share a statement's state.
    serialize: (text) =>
      connected(async (connection) => {
        const reader = await connection.runAndReadAll(PARSE, [text]);
        return String(reader.getRows()[0]?.[0]);
      }),
    close: () => instance.closeSync(),
  };
}
