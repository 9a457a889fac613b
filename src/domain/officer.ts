/** What the officer can do, carried out by the domain node: review, sign, refuse, revoke, trust. */
import type { z } from 'zod';
import { checkContract } from '../contracts/check-contract.ts';
import type { Contract } from '../contracts/contract.ts';
import {
  DOMAIN_ASKS,
  type FiledContract,
  FiledContractSchema,
  FiledContractsSchema,
  WitnessedSchema,
} from '../contracts/link-messages.ts';
import { signRefusal } from '../contracts/notices.ts';
import { describeContract, plainText } from '../contracts/plain-words.ts';
import {
  contractHash,
  signContract,
  verifyContractSignature,
} from '../contracts/signed-documents.ts';
import type { SignedSpend } from '../contracts/spend.ts';
import { AbortError, InputError, StateError, WeirError } from '../errors.ts';
import { canonicalBytes } from '../system/canonical-json.ts';
import { decodeBase64url, encodeBase64url } from '../system/base64url.ts';
import type { Log } from '../system/log.ts';
import type { Clock } from '../system/clock.ts';
import type { ContractId, PartyId } from '../system/ids.ts';
import { fingerprintOf } from '../system/signature-suite.ts';
import type { Decision, Proposal, Status } from './admin-messages.ts';
import type { OfficerActions } from './admin-server.ts';
import type { ArtifactStore } from './artifact-store.ts';
import type { DomainConfig } from './config.ts';
import type { DatasetRegistry } from './dataset-registry.ts';
import type { DomainState } from './domain-state.ts';
import type { GatewayLinks } from './gateway-links.ts';
import type { HeldBook } from './held-results.ts';
import type { GatewayLog } from './gateway-log.ts';
import { datasetActions } from './officer-datasets.ts';
import { noticeOf, pause, revoke } from './officer-notices.ts';
import { releaseActions } from './officer-releases.ts';
import { lostCharges } from './noise-book.ts';
import { lostReleases } from './release-book.ts';
import type { RunSessions } from './run-sessions.ts';
import {
  ACCEPT_STATEMENTS_MAX,
  acceptRollback,
  type AcceptOptions,
  unknownTo,
  viewRollback,
} from './rollback.ts';
import { evaluationsOf } from './run-precomputed.ts';
import { keepSigned, listSigned } from './signed-contracts.ts';
import { checkPins, ownTerms } from './verify-run.ts';

/** Answers that together list the contracts: more than a holder ever signs. */
const PAGES_MAX = 10_000;

export interface OfficerParts {
  readonly self: PartyId;
  readonly config: DomainConfig;
  readonly state: DomainState;
  readonly datasets: DatasetRegistry;
  readonly links: GatewayLinks;
  readonly sessions: RunSessions;
  readonly artifacts: ArtifactStore;
  readonly held: HeldBook;
  readonly log: Log;
  readonly clock: Clock;
  readonly gatewayLog: GatewayLog;
  readonly republish: () => void;
  /** What multiplies the points of matches. */
  readonly engine: string;
}

/** The officer's actions over the parts of a running domain. */
export function officerActions(parts: OfficerParts): OfficerActions {
  const { links, state, self } = parts;
  const filed = async (id: ContractId): Promise<FiledContract> => {
    const answer = await links.request(DOMAIN_ASKS.contract, { id });
    const found = parseAnswer(FiledContractSchema, answer);
    // The gateway's word for what the document's hash is counts for nothing.
    if (contractHash(found.contract) !== found.hash || found.contract.id !== id) throw garbled();
    return found;
  };
  const decided = async (id: ContractId, decision: Decision): Promise<FiledContract> => {
    const found = await filed(id);
    if (found.hash === decision.hash) return found;
    throw new StateError('descriptor-mismatch', 'The contract is not the one that was reviewed.', {
      rule: `reviewed ${decision.hash}, filed ${found.hash}`,
      remedy: 'Review it again before you sign.',
    });
  };
  return {
    status: () => statusOf(parts),
    proposals: () => proposalsOf(parts),
    review: async (id) => {
      const found = await filed(id);
      const words = describeContract(found.contract);
      return {
        proposal: await proposal(parts, found),
        zh: plainText(words, 'zh'),
        en: plainText(words, 'en'),
        canonical: new TextDecoder().decode(canonicalBytes(found.contract)),
      };
    },
    sign: async (id, decision) => {
      const found = await decided(id, decision);
      requireAlive(found);
      const [objection] = await objectionsTo(parts, found.contract);
      if (objection !== undefined) throw objection;
      const signature = signContract(found.contract, self, state.identity);
      await keepSigned(state.store, found.contract, signature.jws, parts.clock.now());
      const answer = await links.request(DOMAIN_ASKS.sign, { id, signature });
      return proposal(parts, parseAnswer(FiledContractSchema, answer));
    },
    refuse: async (id, decision) => {
      const found = await decided(id, decision);
      const signed = signRefusal(
        { format: 'weir-refusal/1', ...noticeOf(parts, found.contract, decision) },
        state.identity,
      );
      await links.request(DOMAIN_ASKS.refuse, { signed });
    },
    revoke: (id, decision) => revoke(parts, id, decision),
    suspend: (id, reason) => pause(parts, id, 'suspended', reason),
    resume: (id, reason) => pause(parts, id, 'resumed', reason),
    trust: ({ party, publicKey }) =>
      state.pins.trust('holders', party, decodeBase64url(publicKey, 32)),
    distrust: (party) => state.pins.distrust('holders', party),
    viewRollback: async () => {
      const view = await viewRollback(await rollbackOf(parts));
      return { storedSeq: view.head.seq, highestSeq: view.highestSeq, lostRuns: view.lostRuns };
    },
    acceptRollback: async (lostRuns) => {
      await acceptRollback(await rollbackOf(parts), lostRuns);
    },
    ...datasetActions(parts),
    ...releaseActions(parts),
    acceptGatewayHistory: () => parts.gatewayLog.forget(),
  };
}

/** A signature on what is over would look like one that counts. @throws StateError */
function requireAlive({ state }: FiledContract): void {
  if (!['revoked', 'refused', 'expired', 'completed'].includes(state)) return;
  throw new StateError(
    'contract-not-active',
    `The contract is ${state}: nothing is to be signed.`,
    {
      remedy: 'Agree on a new contract.',
    },
  );
}

/** Every contract that names this party, in the order of their making. */
async function proposalsOf(parts: OfficerParts): Promise<Proposal[]> {
  const proposals: Proposal[] = [];
  let after: ContractId | null = null;
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer: unknown = await parts.links.request(DOMAIN_ASKS.contracts, { after });
    const { contracts, next } = parseAnswer(FiledContractsSchema, answer);
    for (const one of contracts) proposals.push(await proposal(parts, one));
    if (next === null) break;
    after = next;
  }
  return proposals;
}

/** What the gateway witnessed of this domain's own statements restores the counts exactly. */
async function rollbackOf(parts: OfficerParts): Promise<AcceptOptions> {
  const { state, self, config, clock, links } = parts;
  const { store, anchor, identity } = state;
  // From the first on: one that contradicts the store shows where two histories part. Those that the
  // store has as they are tell nothing, and may be more than are taken at once.
  const statements: SignedSpend[] = [];
  for (let afterSeq = 0; statements.length < ACCEPT_STATEMENTS_MAX; ) {
    const answer = await links.request(DOMAIN_ASKS.witnessed, { afterSeq });
    const page = parseAnswer(WitnessedSchema, answer).statements;
    const news = await unknownTo(store, page);
    statements.push(...news.slice(0, ACCEPT_STATEMENTS_MAX - statements.length));
    const last = page.at(-1);
    if (last === undefined || last.spend.seq <= afterSeq) break;
    afterSeq = last.spend.seq;
  }
  const nowMs = clock.now();
  const ofLoss = [lostCharges(BigInt(config.noiseBudgetMicroRho))];
  const ofForgotten = [lostReleases(nowMs)];
  return { store, anchor, self, identity, statements, nowMs, ofLoss, ofForgotten };
}

async function proposal(parts: OfficerParts, filed: FiledContract): Promise<Proposal> {
  const objections = await objectionsTo(parts, filed.contract);
  return {
    contract: filed.contract,
    hash: filed.hash,
    // Only signatures that verify are shown as such.
    signatures: filed.signatures.filter((signature) => isValid(filed.contract, signature)),
    state: filed.state,
    objections: objections.map((error) => ({
      code: error.code,
      message: error.message,
      ...(error.facts.remedy === undefined ? {} : { remedy: error.facts.remedy }),
    })),
  };
}

function isValid(contract: Contract, signature: FiledContract['signatures'][number]): boolean {
  try {
    verifyContractSignature(contract, signature);
    return true;
  } catch {
    return false;
  }
}

/** What this domain would refuse a run of the contract for, before anybody signs it. */
async function objectionsTo(parts: OfficerParts, contract: Contract): Promise<WeirError[]> {
  const { state, self, datasets } = parts;
  const objections: WeirError[] = [];
  const ask = async (check: () => void | Promise<void>): Promise<void> => {
    try {
      await check();
    } catch (error) {
      if (!(error instanceof WeirError)) throw error;
      objections.push(error);
    }
  };
  await ask(() => checkContract(contract));
  await ask(() =>
    checkPins(contract, {
      self,
      publicKey: state.identity.publicKey,
      pinnedKey: (party) => state.pins.key('holders', party),
    }),
  );
  await ask(async () => {
    const terms = ownTerms(contract, self);
    const dataset = await datasets.current(terms.dataset);
    if (dataset === undefined) {
      throw new InputError('dataset-unknown', `No dataset ${terms.dataset} is registered here.`, {
        party: self,
        remedy: 'Register it, and restart the domain.',
      });
    }
    dataset.checkPlan(contract);
  });
  return objections;
}

async function statusOf(parts: OfficerParts): Promise<Status> {
  const { state, self, config, links, datasets, clock } = parts;
  const counters = await state.counters.state();
  const contracts = await listSigned(state.store);
  const gatewayKey = config.gateway.publicKey;
  return {
    party: self,
    publicKey: encodeBase64url(state.identity.publicKey),
    fingerprint: fingerprintOf(state.identity.publicKey),
    gateway: {
      url: config.gateway.url,
      fingerprint: gatewayKey === undefined ? null : fingerprintOf(decodeBase64url(gatewayKey, 32)),
      connected: links.up() > 0,
    },
    pins: state.pins.list('holders').map((pin) => ({
      party: pin.id,
      publicKey: encodeBase64url(pin.publicKey),
      fingerprint: pin.fingerprint,
    })),
    datasets: (await datasets.all()).map(({ published }) => ({
      name: published.name,
      rowsMax: published.rowsMax,
      grade: published.grade,
      fingerprint: published.fingerprint,
    })),
    counters: {
      spends: counters.head.seq,
      rolledBack: counters.kind === 'rolled-back',
      contracts: await Promise.all(
        contracts.map(async (contract) => {
          const used = await state.counters.usage(contract, contractHash(contract), clock.now());
          const evaluated = await evaluationsOf(state.store, contractHash(contract));
          return { contractId: contract.id, runs: used.total, evaluated };
        }),
      ),
    },
    engines: { match: parts.engine },
  };
}

function parseAnswer<Schema extends z.ZodType>(schema: Schema, answer: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw garbled();
}

function garbled(): AbortError {
  return new AbortError('domain-failed', 'The gateway answered with a malformed message.', {
    party: 'gateway',
  });
}
