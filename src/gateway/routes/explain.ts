/** Explain: what a run would cost and show, from public facts alone. Nothing is reserved. */
import type { ExplainRequest } from '../../contracts/api.ts';
import { ExplainBodySchema, ExplainRequestSchema } from '../../contracts/api.ts';
import type { PartyId } from '../../system/ids.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { ExplainCommand, ExplainService } from '../services.ts';
import { explainBody } from '../wire.ts';

const EXPLAIN_MAX_BYTES = 16 * 1024 * 1024;

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
      ],
    },
    async ({ body, caller }) =>
      json(explainBody(await explains.explain(commandOf(body, caller.party)))),
  );
}

function commandOf(body: ExplainRequest, analyst: PartyId): ExplainCommand {
  const subject =
    'contractId' in body
      ? ({ kind: 'filed', contractId: body.contractId } as const)
      : ({ kind: 'draft', contract: body.contract } as const);
  return { analyst, subject, arguments: body.arguments };
}
