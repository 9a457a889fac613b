/** Contracts: propose, list, read, and the analyst's signature. Holders sign through their domain. */
import { z } from '@hono/zod-openapi';
import {
  ContractBodySchema,
  ContractPageSchema,
  SuspensionRequestSchema,
} from '../../contracts/api.ts';
import { ContractSignatureSchema, SignedContractSchema } from '../../contracts/contract.ts';
import { IdentityError } from '../../errors.ts';
import { ContractIdSchema, type PartyId } from '../../system/ids.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { ContractService } from '../services.ts';
import type { Caller } from '../tokens.ts';
import { contractBody } from '../wire.ts';

/** A contract and its signatures, as spaciously as anybody writes them. */
const CONTRACT_MAX_BYTES = 2 * 1024 * 1024;
const SIGNATURE_MAX_BYTES = 16 * 1024;
const ContractParams = z.strictObject({ contractId: ContractIdSchema });
/** Contracts carry their dictionaries, so a page of them is small. */
const CONTRACTS_PAGE_MAX = 50;
const CONTRACTS_PAGE_DEFAULT = 20;
const ContractQuery = z.strictObject({
  after: ContractIdSchema.optional(),
  limit: z.coerce.number().int().min(1).max(CONTRACTS_PAGE_MAX).default(CONTRACTS_PAGE_DEFAULT),
});

export function mountContracts(app: HttpApp, gate: Gate, contracts: ContractService): void {
  mountPropose(app, gate, contracts);
  mountSign(app, gate, contracts);
  mountSuspension(app, gate, contracts);
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/contracts',
      tag: 'contracts',
      summary: 'The caller’s contracts, oldest first; all of them for an operator.',
      roles: ['analyst', 'operator'],
      query: ContractQuery,
      answers: { 200: { description: 'A page of contracts.', schema: ContractPageSchema } },
      problems: [],
    },
    async ({ query, caller }) => {
      // One more than asked for tells whether there is a next page.
      const found = await contracts.list(viewerOf(caller), query.after, query.limit + 1);
      const page = found.slice(0, query.limit);
      const next = found.length > query.limit ? (page.at(-1)?.contract.id ?? null) : null;
      return json({ contracts: page.map(contractBody), next });
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/contracts/{contractId}',
      tag: 'contracts',
      summary: 'A contract with its signatures and state.',
      roles: ['analyst', 'operator'],
      params: ContractParams,
      answers: { 200: { description: 'The contract.', schema: ContractBodySchema } },
      problems: ['contract-unknown'],
    },
    async ({ params, caller }) =>
      json(contractBody(await contracts.get(params.contractId, viewerOf(caller)))),
  );
}

function mountPropose(app: HttpApp, gate: Gate, contracts: ContractService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/contracts',
      tag: 'contracts',
      summary: 'Proposes a contract to the holders it names, with the signatures it already has.',
      roles: ['analyst'],
      body: { schema: SignedContractSchema, bytesMax: CONTRACT_MAX_BYTES },
      answers: { 201: { description: 'Filed.', schema: ContractBodySchema } },
      problems: [
        'party-not-in-contract',
        'signature-invalid',
        'already-exists',
        'query-not-supported',
        'parameter-invalid',
        'too-many-cells',
        'set-too-large',
        'overflow-possible',
        'dataset-unknown',
        'column-unknown',
        'parties-below-minimum',
      ],
    },
    async ({ body, caller }) => {
      if (body.contract.analyst.id !== caller.party) {
        throw new IdentityError(
          'party-not-in-contract',
          'Only its own analyst proposes a contract.',
          {
            party: caller.party,
          },
        );
      }
      const view = await contracts.propose(caller.party, body);
      return json(contractBody(view), 201, { location: `/v1/contracts/${view.contract.id}` });
    },
  );
}

function mountSign(app: HttpApp, gate: Gate, contracts: ContractService): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/contracts/{contractId}/signatures',
      tag: 'contracts',
      summary: 'Adds the analyst’s own signature.',
      roles: ['analyst'],
      params: ContractParams,
      body: { schema: ContractSignatureSchema, bytesMax: SIGNATURE_MAX_BYTES },
      answers: {
        200: { description: 'The contract as signed so far.', schema: ContractBodySchema },
      },
      problems: [
        'contract-unknown',
        'contract-not-active',
        'party-not-in-contract',
        'signature-invalid',
      ],
    },
    async ({ params, body, caller }) => {
      if (body.party !== caller.party) {
        throw new IdentityError('party-not-in-contract', 'A token signs for its own party alone.', {
          party: body.party,
        });
      }
      return json(contractBody(await contracts.sign(params.contractId, caller.party, body)));
    },
  );
}

function mountSuspension(app: HttpApp, gate: Gate, contracts: ContractService): void {
  const path = '/v1/contracts/{contractId}/suspension';
  const answers = { 200: { description: 'The contract.', schema: ContractBodySchema } };
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path,
      tag: 'operator',
      summary: 'Suspends a contract: no run begins any more, runs in flight stop.',
      roles: ['operator'],
      params: ContractParams,
      body: { schema: SuspensionRequestSchema, bytesMax: SIGNATURE_MAX_BYTES },
      answers,
      problems: ['contract-unknown', 'contract-not-active', 'contract-revoked', 'contract-expired'],
    },
    async ({ params, body }) =>
      json(contractBody(await contracts.suspend(params.contractId, body.reason))),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'delete',
      path,
      tag: 'operator',
      summary: 'Lifts the operator’s suspension; a holder’s own stays.',
      roles: ['operator'],
      params: ContractParams,
      answers,
      problems: ['contract-unknown', 'party-not-in-contract', 'contract-revoked'],
    },
    async ({ params }) => json(contractBody(await contracts.resume(params.contractId))),
  );
}

/** The operator sees every contract, an analyst its own. */
function viewerOf(caller: Caller): PartyId | undefined {
  return caller.role === 'operator' ? undefined : caller.party;
}
