/** How a route appears in the OpenAPI document: its schemas, its roles, its problems by status. */
import { z, type RouteConfig } from '@hono/zod-openapi';
import { ProblemBodySchema, type Role } from '../contracts/api.ts';
import type { ErrorCode } from '../errors.ts';
import { PROBLEM_TYPE } from './problem.ts';
import { PROBLEM_TABLE } from './problem-table.ts';

export interface DescribedAnswer {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** `application/json` unless told. */
  readonly mediaType?: string;
}

export interface Describable {
  readonly method: 'get' | 'post' | 'delete';
  /** With `{name}` for parameters. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly headers?: z.ZodObject;
  readonly body?: { readonly schema: z.ZodType };
  /** The body is bytes, which the handler reads. */
  readonly takesBytes?: true;
  readonly answers: Readonly<Record<number, DescribedAnswer>>;
  /** Codes of this route alone; those every route shares are added. */
  readonly problems: readonly ErrorCode[];
}

const BYTES = z.string().meta({ format: 'binary' });

const SHARED: readonly ErrorCode[] = ['malformed-message', 'internal', 'store-unavailable'];
const OF_BODY: readonly ErrorCode[] = ['invalid-json', 'body-too-large', 'queue-full'];
const OF_TOKEN: readonly ErrorCode[] = [
  'credential-missing',
  'credential-invalid',
  'credential-expired',
  'scope-insufficient',
  'rate-limited',
];

export const BEARER = 'token';

/** The route for the registry. `roles` undefined: no token is needed. */
export function routeConfig(route: Describable, roles: readonly Role[] | undefined): RouteConfig {
  const codes = new Set<ErrorCode>([
    ...SHARED,
    ...(route.body === undefined && route.takesBytes === undefined ? [] : OF_BODY),
    ...(roles === undefined ? [] : OF_TOKEN),
    ...(route.method === 'get' ? [] : (['shutting-down'] as const)),
    ...route.problems,
  ]);
  const { params, query } = route;
  return {
    method: route.method,
    path: route.path,
    tags: [route.tag],
    summary: route.summary,
    ...(roles === undefined
      ? { security: [] }
      : { security: [{ [BEARER]: [] }], description: `Roles: ${roles.join(', ')}.` }),
    request: {
      ...(params instanceof z.ZodObject ? { params } : {}),
      ...(query instanceof z.ZodObject ? { query } : {}),
      ...(route.headers === undefined ? {} : { headers: route.headers }),
      ...(route.body === undefined
        ? {}
        : {
            body: {
              required: true,
              content: { 'application/json': { schema: route.body.schema } },
            },
          }),
      ...(route.takesBytes === undefined
        ? {}
        : {
            body: {
              required: true,
              content: { 'application/octet-stream': { schema: BYTES } },
            },
          }),
    },
    responses: { ...answersOf(route.answers), ...problemsOf([...codes]) },
  };
}

function answersOf(answers: Describable['answers']): RouteConfig['responses'] {
  const responses: RouteConfig['responses'] = {};
  for (const [status, answer] of Object.entries(answers)) {
    const mediaType = answer.mediaType ?? 'application/json';
    responses[status] = {
      description: answer.description,
      ...(answer.schema === undefined
        ? {}
        : { content: { [mediaType]: { schema: answer.schema } } }),
    };
  }
  return responses;
}

function problemsOf(codes: readonly ErrorCode[]): RouteConfig['responses'] {
  const byStatus = Map.groupBy(codes, (code) => PROBLEM_TABLE[code].status);
  const responses: RouteConfig['responses'] = {};
  for (const [status, group] of byStatus) {
    responses[status] = {
      description: `Problem: ${group.toSorted().join(', ')}`,
      content: { [PROBLEM_TYPE]: { schema: ProblemBodySchema } },
    };
  }
  return responses;
}
