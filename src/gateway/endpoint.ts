/**
 * One way to serve a route: who calls, how often, what is sent, then the handler, then the answer
 * with its headers. Written as one function instead of a chain of middleware, because every link of
 * a chain costs each call; the OpenAPI document comes from the same definition.
 */
import type { HttpBindings } from '@hono/node-server';
import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Role } from '../contracts/api.ts';
import { CapacityError, InputError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { ContractId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import { requireRole, type Gatekeeper } from './auth.ts';
import type { BodyReader } from './json-body.ts';
import type { HttpMetrics } from './metrics.ts';
import { routeConfig, type Describable } from './openapi.ts';
import { parseWith } from './parse.ts';
import { problemOf, problemResponse } from './problem.ts';
import { rateLimitHeaders, type Taken } from './rate-limit.ts';
import type { MeteringService, QuotaLeft } from './services.ts';
import type { Caller } from './tokens.ts';

export type HttpApp = OpenAPIHono<{ Bindings: HttpBindings }>;

/** What every route needs besides its own service. */
export interface Gate {
  readonly gatekeeper: Gatekeeper;
  readonly bodies: BodyReader;
  readonly metrics: HttpMetrics;
  readonly metering: Pick<MeteringService, 'recordDenied'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when the gateway stops taking work; reads go on until the server closes. */
  readonly stopping: AbortSignal;
}

/** A route's shape; a schema that is left out means that nothing may be sent there. */
export interface Endpoint<Params, Query, Body> extends Describable {
  readonly params?: z.ZodType<Params>;
  readonly query?: z.ZodType<Query>;
  readonly body?: { readonly schema: z.ZodType<Body>; readonly bytesMax: number };
  /** Part of work under way: taken while the gateway waits for that to end. */
  readonly goesOn?: true;
}

/** A route that needs a token. */
export interface GuardedEndpoint<Params, Query, Body> extends Endpoint<Params, Query, Body> {
  readonly roles: readonly [Role, ...Role[]];
  /**
   * Present on computation endpoints: every refused call of a known caller leaves one metering
   * record, before it is answered, with the contract where the body named one.
   */
  readonly contractOf?: (body: Body) => ContractId | undefined;
}

export interface Call<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly context: Context<{ Bindings: HttpBindings }>;
}

export interface GuardedCall<Params, Query, Body> extends Call<Params, Query, Body> {
  readonly caller: Caller;
}

/** What a handler gives back; the response is built once, with all headers. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body:
    | { readonly json: unknown }
    | { readonly text: string; readonly mediaType: string }
    | { readonly bytes: Uint8Array<ArrayBuffer>; readonly mediaType: string }
    | { readonly stream: ReadableStream<Uint8Array>; readonly mediaType: string };
  /** The contract's quota after this call, for the RateLimit headers. */
  readonly quota?: readonly QuotaLeft[];
}

/** An answer of plain JSON. */
export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Answer {
  return { status, headers, body: { json: value } };
}

/** Serves a route that anybody may call. */
export function mountOpen<Params = undefined, Query = undefined, Body = undefined>(
  app: HttpApp,
  gate: Gate,
  endpoint: Endpoint<Params, Query, Body>,
  handler: (call: Call<Params, Query, Body>) => Promise<Answer>,
): void {
  app.openAPIRegistry.registerPath(routeConfig(endpoint, undefined));
  register(app, gate, endpoint, async (context) => {
    const answer = await handler({ ...(await inputOf(gate, endpoint, context)), context });
    return responseOf(gate, answer, undefined);
  });
}

/** Serves a route that needs a token of one of its roles. */
export function mountGuarded<Params = undefined, Query = undefined, Body = undefined>(
  app: HttpApp,
  gate: Gate,
  endpoint: GuardedEndpoint<Params, Query, Body>,
  handler: (call: GuardedCall<Params, Query, Body>) => Promise<Answer>,
): void {
  app.openAPIRegistry.registerPath(routeConfig(endpoint, endpoint.roles));
  register(app, gate, endpoint, async (context) => {
    const caller = await gate.gatekeeper.identify(context.env.incoming);
    let taken: Taken | undefined;
    let contractId: ContractId | undefined;
    try {
      requireRole(caller, endpoint.roles);
      taken = gate.gatekeeper.admit(caller);
      const input = await inputOf(gate, endpoint, context);
      contractId = endpoint.contractOf?.(input.body);
      return responseOf(gate, await handler({ ...input, context, caller }), taken);
    } catch (error) {
      if (endpoint.contractOf !== undefined) {
        const { code } = problemOf(error, gate.clock.now()).document;
        // Where the record cannot be written, that failure is the answer: no refusal goes uncounted.
        await gate.metering.recordDenied({ analyst: caller.party, contractId, code });
      }
      return failureResponse(gate, error, taken, context);
    }
  });
}

/** The answer to anything thrown: logged where it is the gateway's fault, counted always. */
export function failureResponse(
  gate: Gate,
  error: unknown,
  taken: Taken | undefined,
  context: Context<{ Bindings: HttpBindings }>,
): Response {
  const nowMs = gate.clock.now();
  const problem = problemOf(error, nowMs);
  gate.metrics.countProblem(problem.document.code);
  if (problem.opaque) {
    gate.log.error({ err: error, instance: problem.document.instance }, 'a call failed');
  }
  // What is left of an unread body is not worth waiting for.
  const isUnread = !context.env.incoming.readableEnded && context.req.method !== 'GET';
  return problemResponse(problem, {
    ...SECURITY_HEADERS,
    ...(isUnread ? { connection: 'close' } : {}),
    ...(taken === undefined ? {} : rateLimitHeaders(gate.gatekeeper.calls.rate, taken, [], nowMs)),
  });
}

const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

type Serve = (context: Context<{ Bindings: HttpBindings }>) => Promise<Response>;

function register(app: HttpApp, gate: Gate, endpoint: Describable, serve: Serve): void {
  const method = endpoint.method.toUpperCase();
  app.on(method, endpoint.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (context) => {
    const beganMs = gate.clock.monotonic();
    let response: Response;
    try {
      response = await serve(context);
    } catch (error) {
      response = failureResponse(gate, error, undefined, context);
    }
    const tookMs = gate.clock.monotonic() - beganMs;
    gate.metrics.observe(endpoint.path, method, response.status, tookMs / 1000);
    gate.log.debug({ route: endpoint.path, method, status: response.status, tookMs }, 'call');
    return response;
  });
}

interface Input<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
}

/** Path, query and body through their schemas; in this order, so that bytes are read last. */
async function inputOf<Params, Query, Body>(
  gate: Gate,
  endpoint: Endpoint<Params, Query, Body>,
  context: Context<{ Bindings: HttpBindings }>,
): Promise<Input<Params, Query, Body>> {
  const isNewWork = endpoint.method !== 'get' && endpoint.goesOn === undefined;
  if (isNewWork && gate.stopping.aborted) {
    throw new CapacityError('shutting-down', 'The gateway is shutting down.');
  }
  const params = endpoint.params && parseWith(endpoint.params, context.req.param(), 'path');
  const query = parseWith(endpoint.query ?? NO_QUERY, queryOf(context), 'query');
  const sent =
    endpoint.body &&
    parseWith(
      endpoint.body.schema,
      await gate.bodies.read(context.env.incoming, endpoint.body.bytesMax),
      'body',
    );
  // Sound: a part is undefined exactly where its schema was left out, which fixes its type to undefined.
  return { params, query, body: sent } as Input<Params, Query, Body>;
}

const NO_QUERY: z.ZodType = z.strictObject({});
const EMPTY: Readonly<Record<string, string>> = {};

function queryOf(context: Context<{ Bindings: HttpBindings }>): Readonly<Record<string, string>> {
  if (!context.env.incoming.url?.includes('?')) return EMPTY;
  const single: Record<string, string> = {};
  for (const [name, values] of Object.entries(context.req.queries())) {
    if (values.length !== 1) {
      throw new InputError('malformed-message', 'A query parameter is given twice.', {
        path: `/${name.slice(0, 64)}`,
      });
    }
    single[name] = values[0] ?? '';
  }
  return single;
}

function responseOf(gate: Gate, answer: Answer, taken: Taken | undefined): Response {
  const { body } = answer;
  const mediaType = 'json' in body ? 'application/json' : body.mediaType;
  const limits =
    taken === undefined
      ? {}
      : rateLimitHeaders(gate.gatekeeper.calls.rate, taken, answer.quota ?? [], gate.clock.now());
  const headers = { 'content-type': mediaType, ...SECURITY_HEADERS, ...limits, ...answer.headers };
  const init = { status: answer.status, headers };
  if (answer.status === 204) return new Response(null, init);
  if ('json' in body) return new Response(JSON.stringify(body.json), init);
  if ('bytes' in body) return new Response(body.bytes, init);
  return new Response('text' in body ? body.text : body.stream, init);
}
