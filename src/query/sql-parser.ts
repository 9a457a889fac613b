/**
 * Analysts' SQL as a tree. The text is a bound value of one fixed statement, is only parsed and
 * never executed; the instance that parses it can reach no file, network or extension, holds no
 * data and no table, and its settings are locked.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { InputError } from '../errors.ts';
import { queryText, refuse, type QueryText } from './query-refusal.ts';
import { ParsedSchema, SelectNode } from './sql-tree.ts';

const QUERY_BYTES_MAX = 8192;
/** Nesting of expressions: plans need three levels, hostile text as many as the stack has. */
const DEPTH_MAX = 64;
/** Brackets in one another, counted before the parser recurses into them. */
const BRACKETS_MAX = 32;

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

export interface SqlParser {
  /**
   * The one SELECT of a text.
   * @throws InputError `query-not-supported` with place and reason.
   */
  parse(text: string): Promise<{ readonly query: QueryText; readonly select: SelectNode }>;
  close(): void;
}

/** Opens a parser; one serves a whole process. */
export async function openSqlParser(): Promise<SqlParser> {
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
    parse: (text) => connected((connection) => parseWith(connection, text)),
    close: () => instance.closeSync(),
  };
}

async function parseWith(
  connection: DuckDBConnection,
  text: string,
): Promise<{ query: QueryText; select: SelectNode }> {
  const query = queryText(text);
  refuseUnparsable(query);
  const reader = await connection.runAndReadAll(PARSE, [text]);
  const parsed = ParsedSchema.safeParse(JSON.parse(String(reader.getRows()[0]?.[0])));
  if (!parsed.success) refuse(query, undefined, 'the parser’s answer is not understood', SHAPE);
  const tree = parsed.data;
  if (tree.error) {
    const place = tree.position === undefined ? undefined : Number(tree.position);
    if (tree.error_type === 'parser') refuse(query, place, 'this is not valid SQL', SHAPE);
    refuse(query, place, 'only SELECT can be asked', SHAPE);
  }
  const [statement, second] = tree.statements;
  if (statement === undefined) refuse(query, undefined, 'there is no statement', SHAPE);
  if (second !== undefined) refuse(query, undefined, 'there is more than one statement', SHAPE);
  const select = SelectNode.safeParse(statement.node);
  if (select.success) return { query, select: select.data };
  return refuse(
    query,
    undefined,
    'only a plain SELECT, without UNION or the like, is a plan',
    SHAPE,
  );
}

/** The shape of every query that compiles, as a remedy. */
export const SHAPE =
  'SELECT groups, COUNT(*), SUM|AVG|VAR_SAMP(column) FROM dataset WHERE group IN (labels or $parameter) GROUP BY groups';

function refuseUnparsable(query: QueryText): void {
  const { text } = query;
  if (new TextEncoder().encode(text).length > QUERY_BYTES_MAX) {
    throw new InputError('query-not-supported', 'The query is too long.', {
      rule: `at most ${QUERY_BYTES_MAX} bytes`,
      remedy: 'Ask in a shorter form.',
    });
  }
  if (!text.isWellFormed() || text.includes('\0')) {
    refuse(query, undefined, 'the text holds a character SQL cannot carry', 'Plain Unicode text.');
  }
  let depth = 0;
  for (const character of text) {
    if ('([{'.includes(character)) depth += 1;
    if (')]}'.includes(character)) depth -= 1;
    if (depth > BRACKETS_MAX) refuse(query, undefined, 'brackets are nested too deeply', SHAPE);
  }
}
