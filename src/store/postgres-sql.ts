/** The common dialect as PostgreSQL wants it, and PostgreSQL's values as the common dialect reads them. */
import { types } from 'pg';
import type { SqlValue } from './store.ts';

const INT8 = 20;
const INT2 = 21;
const INT4 = 23;
const BYTEA = 17;
const NUMERIC = 1700;

/** Integers of any width become exact `bigint`s; a sum of BIGINT is NUMERIC and whole as well. */
export const typeParsers = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): ((text: string) => unknown) => {
    if (oid === INT8 || oid === INT4 || oid === INT2) return BigInt;
    if (oid === NUMERIC) return (text) => (/^-?\d+$/.test(text) ? BigInt(text) : Number(text));
    if (oid === BYTEA) return (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex'));
    return format === 'binary' ? (text) => text : types.getTypeParser(oid, 'text');
  },
};

/** `?` placeholders as `$1`, `$2` …, outside of quoted text. */
export function numberPlaceholders(sql: string): string {
  let count = 0;
  return sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|\?/g, (token) => {
    if (token !== '?') return token;
    count += 1;
    return `$${count}`;
  });
}

/** A parameter as the driver sends it: in text, so that no integer passes through a double. */
export function parameter(value: SqlValue): string | Buffer | null {
  if (value === null) return null;
  if (value instanceof Uint8Array) return Buffer.from(value);
  return typeof value === 'string' ? value : String(value);
}
