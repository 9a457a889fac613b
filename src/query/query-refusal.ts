/** How a query is refused: what stands where, why it cannot be, and what can be written instead. */
import { errorOfCode, InputError, WeirError } from '../errors.ts';

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

/** Refusals found so far: one that is met does not hide the next. */
export class Refusals {
  readonly #found: WeirError[] = [];

  get found(): readonly WeirError[] {
    return this.#found;
  }

  add(refusal: WeirError): void {
    this.#found.push(refusal);
  }

  /** The answer, or undefined where it was refused. Bugs are thrown on. */
  try<Answer>(work: () => Answer): Answer | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof WeirError)) throw error;
      this.#found.push(error);
      return undefined;
    }
  }
}

/** A refusal of the plan, with the place in the query of what it is about. */
export function placed(refusal: WeirError, place: string | undefined): WeirError {
  if (place === undefined || refusal.facts.path !== undefined) return refusal;
  return errorOfCode(refusal.code, refusal.message, { ...refusal.facts, path: place }) ?? refusal;
}
