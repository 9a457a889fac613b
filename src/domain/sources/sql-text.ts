/**
 * The only place where text becomes SQL. Identifiers and literals pass through one function each;
 * functions and types come from closed lists, so that a value can never change a statement's shape.
 */
import { SetupError } from '../../errors.ts';

/** A piece of SQL that was rendered here from typed parts; plain strings do not pass for it. */
export type Sql = string & { readonly __brand: 'Sql' };

const TEMPLATE_WORDS =
  /^[A-Za-z0-9_ \n(),.*+\-/<>=&:[\]{}%]*$/; /* no quotes, no semicolon, no backslash, no dollar */

/**
 * Joins fixed words of this program with rendered parts.
 * The fixed words may hold neither quotes nor semicolons: those come from `identifier` and `literal`.
 */
export function sql(words: TemplateStringsArray, ...parts: readonly Sql[]): Sql {
  let text = '';
  for (const [index, word] of words.entries()) {
    if (!TEMPLATE_WORDS.test(word)) throw new TypeError(`not a fixed SQL word: ${word}`);
    text += word + (parts[index] ?? '');
  }
  return text as Sql;
}

/** Comma-separated parts. */
export function list(parts: readonly Sql[]): Sql {
  return parts.join(', ') as Sql;
}

/** Parts one after another. */
export function concat(parts: readonly Sql[]): Sql {
  return parts.join(' ') as Sql;
}

/**
 * A quoted identifier: quotes doubled, which is all that the lexer looks for inside.
 * @throws SetupError `config-invalid` on NUL or text that has no UTF-8 form.
 */
export function identifier(name: string): Sql {
  return `"${checked(name).replaceAll('"', '""')}"` as Sql;
}

/**
 * A string literal: quotes doubled; backslashes mean themselves.
 * @throws SetupError `config-invalid` on NUL or text that has no UTF-8 form.
 */
export function literal(text: string): Sql {
  return `'${checked(text).replaceAll("'", "''")}'` as Sql;
}

/** An integer literal in parentheses, so that a minus sign cannot meet another one. */
export function integer(value: bigint | number): Sql {
  return `(${BigInt(value)})` as Sql;
}

/** An integer literal of 128 bits. */
export function hugeint(value: bigint): Sql {
  return `(${value})::HUGEINT` as Sql;
}

/** Numbers as column numbers in names this program makes: `g0`, `v12`. */
export function numbered(
  prefix: 'g' | 'p' | 'v' | 'n' | 's' | 'q' | 'd' | 'w',
  index: number,
): Sql {
  return `${prefix}${BigInt(index)}` as Sql;
}

/** DECIMAL(38, scale). */
export function decimalType(scale: number): Sql {
  return `DECIMAL(38,${BigInt(scale)})` as Sql;
}

function checked(text: string): string {
  if (text.includes('\0') || !text.isWellFormed()) {
    throw new SetupError('config-invalid', 'A name or value holds a character SQL cannot carry.');
  }
  return text;
}
