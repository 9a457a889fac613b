/** What the gateway answers domains over the link: catalog, contracts, witnessed spends. */
import { z } from 'zod';
import { readExtension } from '../audit/chain-table.ts';
import type { CatalogBook } from '../catalog/catalog-book.ts';
import { SignedPublishedDatasetSchema } from '../catalog/published.ts';
import type { ContractBook, FiledContract as BookedContract } from '../contracts/contract-book.ts';
import {
  ContractQuerySchema,
  ContractsQuerySchema,
  CONTRACTS_TOLD_BYTES_MAX,
  CONTRACTS_TOLD_MAX,
  DOMAIN_ASKS,
  LogQuerySchema,
  type FiledContract,
  type FiledContracts,
  PauseMessageSchema,
  RefuseSchema,
  RevokeSchema,
  SignSchema,
  STATEMENTS_TOLD_BYTES_MAX,
  WitnessedQuerySchema,
} from '../contracts/link-messages.ts';
import { DecidedSchema } from '../contracts/officer-release.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import { STATEMENTS_PAGE_MAX, type SpendWitness } from '../contracts/spend-witness.ts';
import { IdentityError, InputError } from '../errors.ts';
import type { LinkServer } from '../link/link-server.ts';
import type { RunService } from '../runs/run-service.ts';
import type { Clock } from '../system/clock.ts';
import { NameSchema, type PartyId } from '../system/ids.ts';
import type { Log } from '../system/log.ts';
import type { DomainBook } from './domains.ts';
import type { GatewayState } from './gateway-state.ts';
import { pause, revoke } from './revocations.ts';

/** Datasets of one holder. */
const DATASETS_PUBLISHED_MAX = 1000;
const PublishSchema = z.strictObject({
  /** All that the holder publishes: what is not among them is withdrawn. */
  names: z.array(NameSchema).max(DATASETS_PUBLISHED_MAX),
  datasets: z.array(SignedPublishedDatasetSchema).max(DATASETS_PUBLISHED_MAX),
});

export interface DeskParts {
  readonly state: GatewayState;
  readonly links: LinkServer;
  readonly domains: DomainBook;
  readonly catalog: CatalogBook;
  readonly contracts: ContractBook;
  readonly runs: RunService;
  readonly witness: SpendWitness;
  readonly clock: Clock;
  readonly log: Log;
}

/** Puts the handlers on the link server. */
export function serveDomains(parts: DeskParts): void {
  const { links, catalog, contracts, witness, clock } = parts;
  const answer = <Schema extends z.ZodType>(
    method: string,
    schema: Schema,
    handle: (body: z.infer<Schema>, party: PartyId) => Promise<unknown>,
  ): void => links.handle(method, (body, { party }) => handle(parsed(schema, body, method), party));

  answer(DOMAIN_ASKS.publish, PublishSchema, async ({ names, datasets }, party) => {
    await catalog.publish(party, names, datasets, await keyOf(parts, party), clock.now());
    return null;
  });
  answer(DOMAIN_ASKS.contracts, ContractsQuerySchema, async ({ after }, party) =>
    contractsPage(await contracts.list(party, after ?? undefined, CONTRACTS_TOLD_MAX, clock.now())),
  );
  answer(DOMAIN_ASKS.contract, ContractQuerySchema, async ({ id }, party) =>
    told(await contracts.get(id, party, clock.now())),
  );
  answer(DOMAIN_ASKS.sign, SignSchema, async ({ id, signature }, party) => {
    refuseOthers(signature.party, party);
    return told(await contracts.addSignature(id, signature, clock.now()));
  });
  answer(DOMAIN_ASKS.refuse, RefuseSchema, async ({ signed }, party) => {
    refuseOthers(signed.refusal.party, party);
    await contracts.refuse(signed, clock.now());
    return null;
  });
  answer(DOMAIN_ASKS.revoke, RevokeSchema, async ({ signed }, party) => {
    refuseOthers(signed.revocation.party, party);
    await revoke(parts, signed);
    return null;
  });
  answer(DOMAIN_ASKS.pause, PauseMessageSchema, async ({ signed }, party) => {
    refuseOthers(signed.pause.party, party);
    await pause(parts, signed);
    return null;
  });
  answer(DOMAIN_ASKS.decided, DecidedSchema, async ({ signed }, party) => {
    refuseOthers(signed.release.party, party);
    await parts.runs.waiting.decide(signed);
    return null;
  });
  answer(DOMAIN_ASKS.log, LogQuerySchema, async ({ fromSize }) => {
    const { store, audit } = parts.state;
    const { head, entries } =
      fromSize === null
        ? { head: await audit.head(), entries: [] }
        : await readExtension(store, BigInt(fromSize));
    return { size: String(head.size), hash: head.hash, entries: [...entries] };
  });
  answer(DOMAIN_ASKS.witnessed, WitnessedQuerySchema, async ({ afterSeq }, party) => ({
    party,
    latest: (await witness.latest(party)) ?? null,
    statements: statementsPage(await witness.statements(party, afterSeq, STATEMENTS_PAGE_MAX)),
  }));
}

/** Each names the parties of its run: as many as fit one message, one at least. */
export function statementsPage(statements: readonly SignedSpend[]): SignedSpend[] {
  let sizeBytes = 0;
  const end = statements.findIndex((one, at) => {
    sizeBytes += Buffer.byteLength(JSON.stringify(one));
    return at > 0 && sizeBytes > STATEMENTS_TOLD_BYTES_MAX;
  });
  return statements.slice(0, end < 0 ? statements.length : end);
}

/** Contracts may carry long dictionaries and keys: as many as fit one message, one at least. */
export function contractsPage(filed: readonly BookedContract[]): FiledContracts {
  const contracts: FiledContract[] = [];
  let sizeBytes = 0;
  for (const one of filed) {
    sizeBytes += Buffer.byteLength(JSON.stringify(one.contract));
    if (contracts.length > 0 && sizeBytes > CONTRACTS_TOLD_BYTES_MAX) break;
    contracts.push(told(one));
  }
  const isLast = contracts.length === filed.length && filed.length < CONTRACTS_TOLD_MAX;
  return { contracts, next: isLast ? null : (contracts.at(-1)?.contract.id ?? null) };
}

function told({ contract, hash, signatures, state }: BookedContract): FiledContract {
  return { contract, hash, signatures: [...signatures], state };
}

async function keyOf(parts: DeskParts, party: PartyId): Promise<Uint8Array> {
  const domain = await parts.domains.find(party);
  if (domain !== undefined) return domain.signKey;
  throw new IdentityError('credential-invalid', 'This domain is not enrolled.', { party });
}

function refuseOthers(named: PartyId, party: PartyId): void {
  if (named === party) return;
  throw new IdentityError('party-not-in-contract', 'A domain speaks for itself only.', { party });
}

function parsed<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
  method: string,
): z.infer<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new InputError('malformed-message', `The body of ${method} is malformed.`, {
    path: issue?.path.join('.') ?? '',
  });
}
