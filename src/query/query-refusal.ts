/** How a query is refused: what stands where, why it cannot be, and what can be written instead. */
import { InputError } from '../errors.ts';

/** The text of a query with what an offset into it means. */
export interface QueryText {
  readonly text: string;
  /** Line and column, from 1, of a byte offset; undefined where the parser gives no place. */
  placeOf(offsetBytes: number | undefined): string | undefined;
}

/** Wraps a query's text. */
export function queryText(text: string): QueryText {
  const bytes = new TextEncoder().encode(text);
  return {
    text,
    placeOf(offsetBytes) {
      if (offsetBytes === undefined || offsetBytes > bytes.length) return undefined;
      const before = new TextDecoder().decode(bytes.subarray(0, offsetBytes)).split('\n');
      return `line ${before.length}, column ${Array.from(before.at(-1) ?? '').length + 1}`;
    },
  };
}

/**
 * Refuses a query at a place.
 * @throws InputError `query-not-supported`
 */
export function refuse(
  query: QueryText,
  offsetBytes: number | undefined,
  rule: string,
  remedy: string,
  column?: string,
): never {
  const place = query.placeOf(offsetBytes);
  throw new InputError(
    'query-not-supported',
    `${place === undefined ? 'The query' : `The query, at ${place},`} is not supported: ${rule}.`,
    {
      rule,
      remedy,
      ...(place === undefined ? {} : { path: place }),
      ...(column === undefined ? {} : { column }),
    },
  );
}
