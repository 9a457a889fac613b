/** The operator's routes: domains with their fingerprints, API tokens, enrolment tokens. */
import { z } from '@hono/zod-openapi';
import {
  CreatedTokenSchema,
  DomainListSchema,
  EnrolmentTokenBodySchema,
  EnrolmentTokenRequestSchema,
  TokenBodySchema,
  TokenListSchema,
  TokenRequestSchema,
} from '../../contracts/api.ts';
import { fingerprintOf } from '../../system/signature-suite.ts';
import type { DomainBook, EnrolledDomain } from '../domains.ts';
import { json, mountGuarded, type Gate, type HttpApp } from '../endpoint.ts';
import type { EnrolmentDesk } from '../enrolment.ts';
import type { LinkStatusService } from '../services.ts';
import type { TokenBook } from '../tokens.ts';
import { instant, tokenBody } from '../wire.ts';

const SMALL_MAX_BYTES = 16 * 1024;
const TokenParams = z.strictObject({ tokenId: z.uuid() });

export interface OperatorParts {
  readonly tokens: TokenBook;
  readonly desk: EnrolmentDesk;
  readonly domains: DomainBook;
  readonly links: LinkStatusService;
  readonly gatewayKey: Uint8Array;
}

export function mountOperator(app: HttpApp, gate: Gate, parts: OperatorParts): void {
  mountDomains(app, gate, parts);
  mountTokens(app, gate, parts.tokens);
}

function mountDomains(app: HttpApp, gate: Gate, parts: OperatorParts): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/domains',
      tag: 'operator',
      summary: 'Enrolled domains, with fingerprints to compare and whether they are connected.',
      roles: ['operator'],
      answers: { 200: { description: 'Domains.', schema: DomainListSchema } },
      problems: [],
    },
    async () => {
      const domains = await parts.domains.list();
      return json({
        domains: domains.map((domain) => domainBody(domain, parts.links)),
        gatewayFingerprint: fingerprintOf(parts.gatewayKey),
      });
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/enrolment-tokens',
      tag: 'operator',
      summary: 'A one-time token for the named domain; shown this once.',
      roles: ['operator'],
      body: { schema: EnrolmentTokenRequestSchema, bytesMax: SMALL_MAX_BYTES },
      answers: { 201: { description: 'The token.', schema: EnrolmentTokenBodySchema } },
      problems: ['already-exists'],
    },
    async ({ body }) => {
      const { expiresAtMs, ...token } = await parts.desk.createToken(body);
      return json({ ...token, expiresAt: instant(expiresAtMs) }, 201);
    },
  );
}

function domainBody(domain: EnrolledDomain, links: LinkStatusService): Record<string, unknown> {
  const sinceMs = links.connectedSinceMs(domain.party);
  return {
    party: domain.party,
    name: domain.name,
    signKey: Buffer.from(domain.signKey).toString('base64url'),
    fingerprint: fingerprintOf(domain.signKey),
    enrolledAt: instant(domain.enrolledAtMs),
    connectedSince: sinceMs === undefined ? undefined : instant(sinceMs),
  };
}

function mountTokens(app: HttpApp, gate: Gate, tokens: TokenBook): void {
  mountGuarded(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/tokens',
      tag: 'operator',
      summary: 'A new API token for a role and a party; shown this once.',
      roles: ['operator'],
      body: { schema: TokenRequestSchema, bytesMax: SMALL_MAX_BYTES },
      answers: { 201: { description: 'The token.', schema: CreatedTokenSchema } },
      problems: [],
    },
    async ({ body }) => {
      const created = await tokens.create(body);
      return json({ ...tokenBody(created), token: created.token }, 201);
    },
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'get',
      path: '/v1/tokens',
      tag: 'operator',
      summary: 'Tokens without their secrets, newest first.',
      roles: ['operator'],
      answers: { 200: { description: 'Tokens.', schema: TokenListSchema } },
      problems: [],
    },
    async () => json({ tokens: (await tokens.list()).map(tokenBody) }),
  );
  mountGuarded(
    app,
    gate,
    {
      method: 'delete',
      path: '/v1/tokens/{tokenId}',
      tag: 'operator',
      summary: 'Revokes a token, at once on this gateway.',
      roles: ['operator'],
      params: TokenParams,
      answers: { 200: { description: 'The token as it stands.', schema: TokenBodySchema } },
      problems: ['route-unknown'],
    },
    async ({ params }) => json(tokenBody(await tokens.revoke(params.tokenId))),
  );
}
