/** Valid bodies made bad, and the problem documents they are refused with. */
import type { ErrorCode } from '../../../src/errors.ts';

export interface Problem {
  readonly type: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly path?: string;
  readonly [member: string]: unknown;
}

/** The body once for each object in it, with one more key in that object; `place` as JSON pointer. */
export function withUnknownKey(body: unknown): { place: string; changed: unknown }[] {
  return objectsIn(body, []).map((steps) => {
    const changed: unknown = structuredClone(body);
    let at = changed;
    for (const step of steps) at = Reflect.get(at as object, step);
    Reflect.set(at as object, 'unknown-key', 1);
    return { place: steps.map((step) => `/${step}`).join(''), changed };
  });
}

/** Where the objects of a value are, the value itself among them. */
function objectsIn(value: unknown, steps: readonly string[]): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [];
  const inner = Object.entries(value).flatMap(([name, each]) => objectsIn(each, [...steps, name]));
  return Array.isArray(value) ? inner : [steps, ...inner];
}
