/** Untrusted values through their schema, once; the refusal names the place and never the value. */
import type { z } from 'zod';
import { InputError } from '../errors.ts';

const PATH_CHARS_MAX = 200;

/**
 * The value as its schema's type.
 * @param what - the part of the request: `body`, `query`, `path`.
 * @throws InputError `malformed-message` with `path`: a JSON pointer below `what`.
 */
export function parseWith<Out>(schema: z.ZodType<Out>, value: unknown, what: string): Out {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const found = parsed.error.issues[0];
  if (found === undefined) throw new InputError('malformed-message', `The ${what} is malformed.`);
  const { issue, above } = innermost(found, []);
  const path = pointerOf(issue, above) || '/';
  const reason = issue.code === 'unrecognized_keys' ? 'unknown key' : issue.message;
  throw new InputError(
    'malformed-message',
    `The ${what} does not have the agreed form at ${path}: ${reason}.`,
    { path },
  );
}

type Steps = readonly PropertyKey[];

/** Of a union, the branch that came closest: the one with the fewest complaints. */
function innermost(
  issue: z.core.$ZodIssue,
  above: Steps,
): { readonly issue: z.core.$ZodIssue; readonly above: Steps } {
  if (issue.code !== 'invalid_union') return { issue, above };
  const closest = issue.errors.toSorted((one, other) => one.length - other.length)[0]?.[0];
  if (closest === undefined) return { issue, above };
  return innermost(closest, [...above, ...issue.path]);
}

/** @see RFC 6901 */
function pointerOf(issue: z.core.$ZodIssue, above: Steps): string {
  const steps = [...above, ...issue.path].map(String);
  if (issue.code === 'unrecognized_keys' && issue.keys[0] !== undefined) steps.push(issue.keys[0]);
  return steps
    .map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`)
    .join('')
    .slice(0, PATH_CHARS_MAX);
}
