/**
 * Prometheus metrics. Labels come from closed sets only (route templates, methods, statuses,
 * codes): no ids, names or addresses, so neither memory nor secrets grow with the callers.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { ErrorCode } from '../errors.ts';

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Owns the registry; other parts of the gateway may register their own metrics in it. */
export class HttpMetrics {
  readonly registry = new Registry();
  readonly openStreams: Gauge;
  readonly #seconds: Histogram<'route' | 'method' | 'status'>;
  readonly #problems: Counter<'code'>;

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    const registers = [this.registry];
    this.#seconds = new Histogram({
      name: 'weir_http_request_seconds',
      help: 'Time from the request head to the answer, by route template, method and status.',
      labelNames: ['route', 'method', 'status'],
      buckets: SECONDS,
      registers,
    });
    this.#problems = new Counter({
      name: 'weir_http_problems_total',
      help: 'Answers that were problem documents, by code.',
      labelNames: ['code'],
      registers,
    });
    this.openStreams = new Gauge({
      name: 'weir_http_event_streams',
      help: 'Event streams that are open now.',
      registers,
    });
  }

  /** @param route - the template (`/v1/runs/{id}`), or `unknown`; never the address as called. */
  observe(route: string, method: string, status: number, seconds: number): void {
    this.#seconds.observe({ route, method, status: String(status) }, seconds);
  }

  countProblem(code: ErrorCode): void {
    this.#problems.inc({ code });
  }
}
