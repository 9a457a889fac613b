/** The gateway's HTTP application: all routes over the services they are given, and their document. */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { HttpBindings } from '@hono/node-server';
import { StateError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { DEFAULT_CALL_RATE, DEFAULT_FAILURE_RATE, Gatekeeper, type AuthRates } from './auth.ts';
import type { DomainBook } from './domains.ts';
import { failureResponse, type Gate, type HttpApp } from './endpoint.ts';
import type { EnrolmentDesk } from './enrolment.ts';
import { BodyReader } from './json-body.ts';
import { HttpMetrics } from './metrics.ts';
import { BEARER } from './openapi.ts';
import { mountBilling } from './routes/billing.ts';
import { mountCatalog } from './routes/catalog.ts';
import { mountContracts } from './routes/contracts.ts';
import { mountEnrolments } from './routes/enrolments.ts';
import { mountEvents } from './routes/events.ts';
import { mountExplain, mountPlans } from './routes/explain.ts';
import { mountFrames } from './routes/frames.ts';
import { mountHealth } from './routes/health.ts';
import { mountMetering } from './routes/metering.ts';
import { mountOperator } from './routes/operator.ts';
import { mountRuns } from './routes/runs.ts';
import { mountWebhooks, type WebhookService } from './routes/webhooks.ts';
import type {
  BillingService,
  CatalogService,
  ContractService,
  ExplainService,
  GuestService,
  LinkStatusService,
  MeteringService,
  PlanService,
  ReadinessService,
  RelayService,
  RunService,
} from './services.ts';
import type { TokenBook } from './tokens.ts';

export interface GatewayServices {
  readonly runs: RunService;
  readonly guests: GuestService;
  readonly relays: RelayService;
  readonly contracts: ContractService;
  readonly catalog: CatalogService;
  readonly metering: MeteringService;
  readonly billing: BillingService;
  readonly webhooks: WebhookService;
  readonly explains: ExplainService;
  readonly plans: PlanService;
  readonly readiness: ReadinessService;
  readonly links: LinkStatusService;
  readonly tokens: TokenBook;
  readonly desk: EnrolmentDesk;
  readonly domains: DomainBook;
}

export interface AppOptions {
  readonly services: GatewayServices;
  readonly clock: Clock;
  readonly log: Log;
  /** The gateway's Ed25519 identity key, whose fingerprint operators compare. */
  readonly gatewayKey: Uint8Array;
  readonly version: string;
  readonly rates?: Partial<AuthRates>;
  /** Aborted when no new work is taken; reads still are. */
  readonly stopping: AbortSignal;
  /** Aborted when open event streams must end. */
  readonly closing: AbortSignal;
}

export interface GatewayApp {
  readonly app: HttpApp;
  readonly metrics: HttpMetrics;
}

/** Builds the application; it holds no socket. */
export function createGatewayApp(options: AppOptions): GatewayApp {
  const { services, clock, log } = options;
  const app: HttpApp = new OpenAPIHono<{ Bindings: HttpBindings }>();
  const gate: Gate = {
    gatekeeper: new Gatekeeper(services.tokens, clock, {
      calls: options.rates?.calls ?? DEFAULT_CALL_RATE,
      failures: options.rates?.failures ?? DEFAULT_FAILURE_RATE,
    }),
    bodies: new BodyReader(),
    metrics: new HttpMetrics(),
    metering: services.metering,
    clock,
    log,
    stopping: options.stopping,
  };
  mountRuns(app, gate, services.runs);
  mountEvents(app, gate, services.runs, services.relays, options.closing);
  mountFrames(app, gate, services.guests, services.relays, options.closing);
  mountExplain(app, gate, services.explains);
  mountPlans(app, gate, services.plans);
  mountContracts(app, gate, services.contracts);
  mountCatalog(app, gate, services.catalog);
  mountMetering(app, gate, services.metering);
  mountBilling(app, gate, services.billing);
  mountWebhooks(app, gate, services.webhooks);
  mountEnrolments(app, gate, services.desk);
  mountOperator(app, gate, { ...services, gatewayKey: options.gatewayKey });
  mountHealth(app, gate, services.readiness);
  mountDocument(app, options.version);
  app.notFound((context) => {
    gate.metrics.observe('unknown', methodLabel(context.req.method), 404, 0);
    return failureResponse(
      gate,
      new StateError('route-unknown', 'No such route.'),
      undefined,
      context,
    );
  });
  app.onError((error, context) => failureResponse(gate, error, undefined, context));
  return { app, metrics: gate.metrics };
}

function mountDocument(app: HttpApp, version: string): void {
  app.openAPIRegistry.registerComponent('securitySchemes', BEARER, {
    type: 'http',
    scheme: 'bearer',
    description: 'An API token of role analyst, billing or operator.',
  });
  // Built on first use and kept: routes do not change while the process runs.
  let text: string | undefined;
  app.get('/openapi.json', () => {
    text ??= JSON.stringify(
      app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: { title: 'Weir gateway', version, license: { name: 'Apache-2.0' } },
        servers: [{ url: '/' }],
      }),
    );
    return new Response(text, { headers: { 'content-type': 'application/json' } });
  });
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

function methodLabel(method: string): string {
  return METHODS.includes(method) ? method : 'other';
}
