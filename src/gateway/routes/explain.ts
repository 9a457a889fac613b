/** Explain: what a run would cost and show, from public facts alone. Nothing is reserved. */
import type { ExplainRequest } from '../../contracts/api.ts';
import {
  ExplainBodySchema,
  ExplainRequestSchema,
  PlanBodySchema,
  PlanRequestSchema,
} from '../../contracts/api.ts';
import type { PartyId } from '../../system/ids.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { ExplainCommand, ExplainService, PlanService } from '../services.ts';
import { explainBody, planBody } from '../wire.ts';

const EXPLAIN_MAX_BYTES = 2 * 1024 * 1024;
const PLAN_MAX_BYTES = 1024 * 1024;

export function mountExplain(app: HttpApp, gate: Gate, explains: ExplainService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/explain',
      tag: 'runs',
      summary: 'Protocol, who learns what, cost and quota of a run, before anything is spent.',
      roles: ['analyst'],
      body: { schema: ExplainRequestSchema, bytesMax: EXPLAIN_MAX_BYTES },
      answers: { 200: { description: 'The explanation.', schema: ExplainBodySchema } },
      problems: [
        'contract-unknown',
        'plan-outside-contract',
        'parameter-invalid',
        'query-not-supported',
        'too-many-cells',
        'overflow-possible',
        'column-unknown',
        'dataset-unknown',
      ],
    },
    async ({ body, caller }) =>
      json(explainBody(await explains.explain(commandOf(body, caller.party)))),
  );
}

/** Compiles SQL to a plan. That a query is refused is the answer, not a problem. */
export function mountPlans(app: HttpApp, gate: Gate, plans: PlanService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/plans',
      tag: 'runs',
      summary: 'SQL as a plan draft, what it would cost and show, and everything that refuses it.',
      roles: ['analyst'],
      body: { schema: PlanRequestSchema, bytesMax: PLAN_MAX_BYTES },
      answers: { 200: { description: 'The plan or its refusals.', schema: PlanBodySchema } },
      problems: ['queue-full'],
    },
    async ({ body, caller }) =>
      json(
        planBody(
          await plans.judge({
            analyst: caller.party,
            sql: body.sql,
            arguments: body.arguments,
            purposeCode: body.purposeCode,
          }),
        ),
      ),
  );
}

function commandOf(body: ExplainRequest, analyst: PartyId): ExplainCommand {
  return { analyst, subject: subjectOf(body), arguments: body.arguments };
}

function subjectOf(body: ExplainRequest): ExplainCommand['subject'] {
  if ('contractId' in body) return { kind: 'filed', contractId: body.contractId };
  if ('sql' in body) {
    return { kind: 'sql', sql: body.sql, purposeCode: body.purposeCode };
  }
  return { kind: 'draft', contract: body.contract };
}
