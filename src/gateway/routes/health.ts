/** Liveness, readiness and metrics. Metrics go to this machine, or to an operator's token. */
import { z } from '@hono/zod-openapi';
import { requireRole } from '../auth.ts';
import { json, mountOpen, type Answer, type Gate, type HttpApp } from '../endpoint.ts';
import type { ReadinessCheck, ReadinessService } from '../services.ts';

const HealthSchema = z.object({ status: z.literal('ok') });
const ReadySchema = z.object({
  status: z.enum(['ready', 'not-ready']),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean() })),
});
const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/;

export function mountHealth(app: HttpApp, gate: Gate, readiness: ReadinessService): void {
  mountOpen(
    app,
    gate,
    {
      method: 'get',
      path: '/healthz',
      tag: 'health',
      summary: 'The process runs.',
      answers: { 200: { description: 'Alive.', schema: HealthSchema } },
      problems: [],
    },
    async () => json({ status: 'ok' }),
  );
  mountOpen(
    app,
    gate,
    {
      method: 'get',
      path: '/readyz',
      tag: 'health',
      summary: 'The gateway can take work.',
      answers: {
        200: { description: 'Ready.', schema: ReadySchema },
        503: { description: 'Not ready.', schema: ReadySchema },
      },
      problems: [],
    },
    () => readyAnswer(gate, readiness),
  );
  mountOpen(
    app,
    gate,
    {
      method: 'get',
      path: '/metrics',
      tag: 'health',
      summary: 'Prometheus metrics: from this machine, or with an operator’s token.',
      answers: {
        200: { description: 'Metrics.', schema: z.string(), mediaType: 'text/plain' },
      },
      problems: ['credential-missing', 'credential-invalid', 'scope-insufficient'],
    },
    async ({ context }) => {
      const { incoming } = context.env;
      if (!LOOPBACK.test(incoming.socket.remoteAddress ?? '')) {
        requireRole(await gate.gatekeeper.identify(incoming), ['operator']);
      }
      const { registry } = gate.metrics;
      const text = await registry.metrics();
      return { status: 200, body: { text, mediaType: registry.contentType } };
    },
  );
}

async function readyAnswer(gate: Gate, readiness: ReadinessService): Promise<Answer> {
  let checks: readonly ReadinessCheck[];
  try {
    checks = await readiness.checks();
  } catch (error) {
    gate.log.error({ err: error }, 'a readiness check failed');
    checks = [{ name: 'checks', ok: false }];
  }
  const all = [...checks, { name: 'accepting', ok: !gate.stopping.aborted }];
  const isReady = all.every((check) => check.ok);
  return json({ status: isReady ? 'ready' : 'not-ready', checks: all }, isReady ? 200 : 503);
}
