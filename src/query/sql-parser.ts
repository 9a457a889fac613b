/**
 * Analysts' SQL as a tree. Length and nesting are bounded before the native parser sees a text, and
 * its answer is held against strict schemas: what has no schema is refused with its place.
 */
import type { z } from 'zod';
import { InputError } from '../errors.ts';
import { queryText, refuse, type QueryText } from './query-refusal.ts';
import type { SqlSerializer } from './sql-serializer.ts';
import { ParsedSchema, SelectNode } from './sql-tree.ts';

export const QUERY_BYTES_MAX = 8192;
/** Brackets in one another, counted before the parser recurses into them. */
const BRACKETS_MAX = 32;

export interface SqlParser {
  /**
   * The one SELECT of a text.
   * @throws InputError `query-not-supported` with place and reason.
   */
  parse(text: string): Promise<{ readonly query: QueryText; readonly select: SelectNode }>;
  close(): void;
}

/** A parser over the native one, in this process or in one of its own; closed with it. */
export function sqlParserOver(serializer: SqlSerializer): SqlParser {
  return {
    parse: (text) => parseWith(serializer, text),
    close: () => serializer.close(),
  };
}

async function parseWith(
  serializer: SqlSerializer,
  text: string,
): Promise<{ query: QueryText; select: SelectNode }> {
  const query = queryText(text);
  refuseUnparsable(query);
  const tree = treeOf(query, await serializer.serialize(text));
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

function treeOf(query: QueryText, answer: string): z.infer<typeof ParsedSchema> {
  const parsed = ParsedSchema.safeParse(JSON.parse(answer));
  if (parsed.success) return parsed.data;
  return refuse(query, undefined, 'the parser’s answer is not understood', SHAPE);
}

/** The shape of every query over one dataset that compiles, as a remedy. */
export const SHAPE =
  'SELECT groups, COUNT(*), SUM|AVG|VAR_SAMP(column) FROM dataset WHERE group IN (labels or $parameter) GROUP BY groups';
/** The same of a match. */
export const JOIN_SHAPE =
  'SELECT group, COUNT(*) or COUNT(DISTINCT key), SUM(column) FROM holder.dataset JOIN holder.dataset USING (key columns) GROUP BY group; or SELECT the key columns';

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
