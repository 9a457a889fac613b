/**
 * From a reserved run to a descriptor that every party signed. Nothing derived from data has left
 * a domain until this is through, so a domain that cannot be reached is left out and the rest
 * agree anew, as long as the contract's minimum of parties holds.
 */
import type { SignedContract } from '../contracts/contract.ts';
import {
  ATTEMPTS_MAX,
  type Descriptor,
  DescriptorSchema,
  type DescriptorSignature,
  DescriptorSignatureSchema,
  type SignedRunKey,
  SignedRunKeySchema,
} from '../contracts/descriptor.ts';
import { noiseOf } from '../contracts/noise.ts';
import type { SignedRequest } from '../contracts/request.ts';
import { type Agree, type Prepare, RUN_METHODS } from '../contracts/run-messages.ts';
import { AbortError, type WeirError } from '../errors.ts';
import { canonicalHash } from '../system/canonical-json.ts';
import type { Hash, PartyId, RunId } from '../system/ids.ts';
import type { Estimate } from '../computations/computation.ts';
import type { RunTransport } from './run-transport.ts';

/** How long a domain may take to check a contract, or to sign a descriptor. */
export const NEGOTIATION_TIMEOUT_MS = 15_000;

export interface NegotiationInput {
  readonly runId: RunId;
  readonly contract: SignedContract;
  readonly contractHash: Hash;
  readonly request: SignedRequest;
  readonly requestHash: Hash;
  readonly estimate: Estimate;
}

export interface Agreement {
  readonly descriptor: Descriptor;
  readonly descriptorHash: Hash;
  readonly signatures: readonly DescriptorSignature[];
}

export interface NegotiationHooks {
  /** Every party of this attempt has prepared; `step` places a crash test. */
  prepared(attempt: number): Promise<void>;
}

/**
 * @throws the refusal of a domain, as it gave it; AbortError `domain-unreachable` where fewer than
 * the minimum of parties answer.
 */
export async function negotiate(
  transport: RunTransport,
  input: NegotiationInput,
  hooks: NegotiationHooks,
  signal: AbortSignal,
): Promise<Agreement> {
  const { contract } = input.contract;
  let missing = new Set(
    contract.holders.map((holder) => holder.id).filter((id) => !transport.isConnected(id)),
  );
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    signal.throwIfAborted();
    const parties = contract.holders
      .map((holder) => holder.id)
      .filter((id) => !missing.has(id))
      .toSorted();
    if (parties.length < contract.minimumParties) throw tooFew(missing, contract.minimumParties);
    const prepared = await prepareAll(transport, input, parties, attempt, signal);
    if (prepared.missing.size > 0) {
      missing = missing.union(prepared.missing);
      continue;
    }
    await hooks.prepared(attempt);
    const agreed = await agreeAll(transport, input, prepared.answers, attempt, signal);
    if (agreed.agreement !== undefined) return agreed.agreement;
    missing = missing.union(agreed.missing);
  }
  throw tooFew(missing, contract.minimumParties);
}

function tooFew(missing: ReadonlySet<PartyId>, minimum: number): AbortError {
  const names = [...missing].toSorted().join(', ');
  return new AbortError(
    'domain-unreachable',
    `Not reachable: ${names}. The contract needs at least ${minimum} holders; nothing was charged.`,
    { party: names, rule: 'minimumParties', remedy: 'Try again when they are connected.' },
  );
}

interface Prepares {
  readonly answers: ReadonlyMap<PartyId, SignedRunKey>;
  readonly missing: ReadonlySet<PartyId>;
}

async function prepareAll(
  transport: RunTransport,
  input: NegotiationInput,
  parties: readonly PartyId[],
  attempt: number,
  signal: AbortSignal,
): Promise<Prepares> {
  const body: Prepare = {
    runId: input.runId,
    attempt,
    parties: [...parties],
    contract: input.contract,
    request: input.request,
  };
  const { answers, missing } = await agreeing(
    askAll(transport, parties, RUN_METHODS.prepare, body, signal),
  );
  const parsed = new Map<PartyId, SignedRunKey>();
  for (const [party, answer] of answers) {
    const result = SignedRunKeySchema.safeParse(answer);
    if (!result.success || result.data.runKey.party.id !== party)
      throw malformed(party, RUN_METHODS.prepare);
    parsed.set(party, result.data);
  }
  return { answers: parsed, missing };
}

async function agreeAll(
  transport: RunTransport,
  input: NegotiationInput,
  prepared: ReadonlyMap<PartyId, SignedRunKey>,
  attempt: number,
  signal: AbortSignal,
): Promise<{ readonly agreement: Agreement | undefined; readonly missing: ReadonlySet<PartyId> }> {
  const { contract } = input.contract;
  const parties = [...prepared.keys()].toSorted();
  const descriptor = DescriptorSchema.parse({
    format: 'weir-descriptor/1',
    runId: input.runId,
    attempt,
    contractHash: input.contractHash,
    requestHash: input.requestHash,
    protocol: contract.protocol.name,
    arguments: input.request.request.arguments,
    parties: parties.map((party) => prepared.get(party)?.runKey.party),
    dictionariesHash: canonicalHash(contract.dictionaries),
    shape: { cells: input.estimate.cells, lanes: input.estimate.lanes },
    noise: noiseOf(contract),
    engine: input.estimate.engine,
  });
  const body: Agree = { descriptor, runKeys: [...prepared.values()] };
  const { answers, missing } = await agreeing(
    askAll(transport, parties, RUN_METHODS.agree, body, signal),
  );
  if (missing.size > 0) return { agreement: undefined, missing };
  const signatures: DescriptorSignature[] = [];
  for (const [party, answer] of answers) {
    const result = DescriptorSignatureSchema.safeParse(answer);
    if (!result.success || result.data.party !== party) throw malformed(party, RUN_METHODS.agree);
    signatures.push(result.data);
  }
  return {
    agreement: { descriptor, descriptorHash: canonicalHash(descriptor), signatures },
    missing,
  };
}

/** What asking all parties at once gave. */
export interface Asked {
  readonly answers: ReadonlyMap<PartyId, unknown>;
  readonly missing: ReadonlySet<PartyId>;
  /** The first refusal, as its party gave it. */
  readonly refusal: { readonly reason: unknown } | undefined;
}

/** @throws the refusal, where there is one: what the others answered serves nothing then */
async function agreeing(asking: Promise<Asked>): Promise<Asked> {
  const asked = await asking;
  if (asked.refusal !== undefined) throw asked.refusal.reason;
  return asked;
}

/** Asks all at once; parties that cannot be reached are named. */
export async function askAll(
  transport: RunTransport,
  parties: readonly PartyId[],
  method: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Asked> {
  const settled = await Promise.allSettled(
    parties.map((party) =>
      transport.request(party, method, body, { timeoutMs: NEGOTIATION_TIMEOUT_MS, signal }),
    ),
  );
  const answers = new Map<PartyId, unknown>();
  const missing = new Set<PartyId>();
  let refusal: Asked['refusal'] = signal.aborted ? { reason: signal.reason } : undefined;
  for (const [index, party] of parties.entries()) {
    const outcome = settled[index];
    if (outcome?.status === 'fulfilled') answers.set(party, outcome.value);
    else if (isGone(outcome?.reason)) missing.add(party);
    else refusal ??= { reason: outcome?.reason };
  }
  return { answers, missing, refusal };
}

function isGone(reason: unknown): boolean {
  if (!(reason instanceof AbortError)) return false;
  const gone: readonly WeirError['code'][] = ['domain-unreachable', 'domain-left', 'run-timed-out'];
  return gone.includes(reason.code);
}

function malformed(party: PartyId, method: string): AbortError {
  return new AbortError('domain-failed', `${party} answered ${method} with a malformed message.`, {
    party,
  });
}
