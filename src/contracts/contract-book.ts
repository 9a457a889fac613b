/**
 * The gateway's book of contracts: who proposed, signed, refused, suspended, revoked, each with its
 * evidence and an audit entry in the same transaction. What it says binds no domain: each verifies
 * the signatures itself.
 */
import {
  CapacityError,
  IdentityError,
  MeteringError,
  PolicyError,
  StateError,
  type WeirError,
} from '../errors.ts';
import type { MigrationList } from '../store/migrations.ts';
import { StoreConflict } from '../store/store.ts';
import type { Statement, Store } from '../store/store.ts';
import { GATEWAY } from '../system/ids.ts';
import type { ContractId, Hash, PartyId } from '../system/ids.ts';
import { checkContract } from './check-contract.ts';
import type { Contract, ContractSignature, SignedContract } from './contract.ts';
import {
  completeContract,
  countProposed,
  deleteSuspension,
  insertContract,
  insertNotice,
  insertSignature,
  insertSuspension,
  keepPause,
  nextRevision,
  readContract,
  readContracts,
  readPauses,
  readRevocations,
  readStops,
} from './contract-rows.ts';
import type { FiledFacts } from './contract-rows.ts';
import { checkAction, stateOf, stopReason } from './life-cycle.ts';
import type { ContractState } from './life-cycle.ts';
import { verifyPause, verifyRefusal, verifyRevocation } from './notices.ts';
import type { SignedPause, SignedRefusal, SignedRevocation } from './notices.ts';
import { contractHash, verifyContractSignature } from './signed-documents.ts';

export const CONTRACT_MIGRATIONS: MigrationList = {
  area: 'contracts',
  migrations: [
    {
      number: 1,
      sql: `CREATE TABLE contract (
  contract_id TEXT NOT NULL PRIMARY KEY, contract_hash TEXT NOT NULL UNIQUE,
  document TEXT NOT NULL, proposed_at_ms BIGINT NOT NULL, completed_at_ms BIGINT,
  revision BIGINT NOT NULL);
CREATE TABLE contract_party (
  party TEXT NOT NULL, contract_id TEXT NOT NULL, PRIMARY KEY (party, contract_id));
CREATE TABLE contract_signature (
  contract_id TEXT NOT NULL, party TEXT NOT NULL, jws TEXT NOT NULL, at_ms BIGINT NOT NULL,
  PRIMARY KEY (contract_id, party));
CREATE TABLE contract_notice (
  contract_id TEXT NOT NULL, party TEXT NOT NULL, kind TEXT NOT NULL, document TEXT NOT NULL,
  at_ms BIGINT NOT NULL, PRIMARY KEY (contract_id, party, kind));
CREATE TABLE contract_suspension (
  contract_id TEXT NOT NULL, party TEXT NOT NULL, reason TEXT NOT NULL, at_ms BIGINT NOT NULL,
  PRIMARY KEY (contract_id, party))`,
    },
    // The signed notice of a holder that suspends.
    { number: 2, sql: 'ALTER TABLE contract_suspension ADD COLUMN document TEXT' },
    // The latest of each holder, ends of suspensions too: what the other holders are to hear.
    {
      number: 3,
      sql: `CREATE TABLE contract_pause (
  contract_id TEXT NOT NULL, party TEXT NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (contract_id, party))`,
    },
    // Whose proposals of a day a contract counts among: a party may be named in others' contracts.
    {
      number: 4,
      sql: `ALTER TABLE contract ADD COLUMN analyst TEXT;
CREATE INDEX contract_by_analyst ON contract (analyst, proposed_at_ms)`,
    },
  ],
};

/**
 * Contracts an analyst may propose within a day: each takes up to half a megabyte here, and a place
 * in its holders' lists. Signed ones too, since an analyst could invent holders that sign.
 */
export const PROPOSALS_A_DAY_MAX = 500;
const DAY_MS = 86_400_000;
/** Contracts listed at once. */
export const CONTRACTS_PAGE_MAX = 1000;
const REASON_LENGTH_MAX = 2000;
/** Changes to one contract that may come at once: every party signs, and some more. */
const CHANGE_ATTEMPTS_MAX = 64;

/** Appends an audit entry and writes `alongside` in one transaction: the gateway's audit log. */
export interface AuditAppend {
  append(
    entry: {
      readonly kind: string;
      readonly atMs: number;
      readonly facts: Readonly<Record<string, unknown>>;
    },
    alongside: readonly Statement[],
  ): Promise<unknown>;
}

export interface FiledContract {
  readonly contract: Contract;
  readonly signatures: readonly ContractSignature[];
  readonly hash: Hash;
  readonly state: ContractState;
  readonly proposedAtMs: number;
}

interface Change {
  readonly kind: string;
  readonly party: PartyId;
  readonly statement: Statement;
  readonly alongside?: Statement;
}

/** The book itself; its store holds `CONTRACT_MIGRATIONS` and is the one that `audit` writes to. */
export class ContractBook {
  readonly #store: Store;
  readonly #audit: AuditAppend;

  constructor(store: Store, audit: AuditAppend) {
    this.#store = store;
    this.#audit = audit;
  }

  /**
   * Files a contract with the signatures it has, the analyst's among them. The same contract again
   * changes nothing but to add signatures.
   * @throws InputError from `checkContract`; IdentityError `signature-missing`,
   *   `signature-invalid`, `party-not-in-contract`; StateError `already-exists` where the id stands
   *   for another contract; PolicyError `contract-expired`; MeteringError `rate-limited`
   */
  async propose(signed: SignedContract, nowMs: number): Promise<FiledContract> {
    const { contract, signatures } = signed;
    checkContract(contract);
    const hash = contractHash(contract);
    const known = await readContract(this.#store, contract.id);
    if (known === undefined) await this.#file(signed, hash, nowMs);
    else if (known.hash !== hash) throw idTaken();
    for (const signature of signatures) await this.addSignature(contract.id, signature, nowMs);
    return viewOf(await this.#found(contract.id), nowMs);
  }

  /** The same signature again changes nothing. @throws StateError, IdentityError, PolicyError */
  addSignature(
    id: ContractId,
    signature: ContractSignature,
    nowMs: number,
  ): Promise<FiledContract> {
    const { party } = signature;
    return this.#change(id, nowMs, (facts) => {
      const known = facts.signatures.find((one) => one.party === party);
      if (known?.jws === signature.jws) return undefined;
      checkAction('sign', party, facts, nowMs, GATEWAY);
      verifyContractSignature(facts.contract, signature);
      return { kind: 'contract.signed', party, statement: insertSignature(id, signature, nowMs) };
    });
  }

  /** @throws StateError `contract-unknown`, also for whom the contract does not name */
  async get(id: ContractId, viewer: PartyId | undefined, nowMs: number): Promise<FiledContract> {
    const facts = await this.#found(id);
    if (viewer !== undefined && !isNamed(facts.contract, viewer)) throw unknown();
    return viewOf(facts, nowMs);
  }

  /** Contracts that name the viewer, or all, in the order of ids after `after`. */
  async list(
    viewer: PartyId | undefined,
    after: ContractId | undefined,
    most: number,
    nowMs: number,
  ): Promise<readonly FiledContract[]> {
    const limit = Math.min(most, CONTRACTS_PAGE_MAX);
    const all = await readContracts(this.#store, viewer, after, limit);
    return all.map((facts) => viewOf(facts, nowMs));
  }

  /** By a holder that has not signed. @throws IdentityError, StateError, PolicyError */
  refuse(signed: SignedRefusal, nowMs: number): Promise<FiledContract> {
    const { contractId: id, party } = signed.refusal;
    return this.#change(id, nowMs, (facts) => {
      verifyRefusal(signed, facts.contract);
      if (facts.refusedBy.has(party)) return undefined;
      checkAction('refuse', party, facts, nowMs, GATEWAY);
      const statement = insertNotice(id, party, 'refusal', JSON.stringify(signed), nowMs);
      return { kind: 'contract.refused', party, statement };
    });
  }

  /** By a holder that has signed. Final; runs in flight are for the caller to stop. */
  revoke(signed: SignedRevocation, nowMs: number): Promise<FiledContract> {
    const { contractId: id, party } = signed.revocation;
    return this.#change(id, nowMs, (facts) => {
      verifyRevocation(signed, facts.contract);
      if (facts.revokedBy.has(party)) return undefined;
      checkAction('revoke', party, facts, nowMs, GATEWAY);
      const statement = insertNotice(id, party, 'revocation', JSON.stringify(signed), nowMs);
      return { kind: 'contract.revoked', party, statement };
    });
  }

  /** One revocation of each revoked contract that names the party: what it should have heard of. */
  revocations(
    party: PartyId,
    after: ContractId | undefined,
    most: number,
  ): ReturnType<typeof readRevocations> {
    return readRevocations(this.#store, party, after, Math.min(most, CONTRACTS_PAGE_MAX));
  }

  /** The latest pause or resumption by each other holder of the party's contracts. */
  pauses(party: PartyId, after: string, most: number): ReturnType<typeof readPauses> {
    return readPauses(this.#store, party, after, Math.min(most, CONTRACTS_PAGE_MAX));
  }

  /**
   * A holder's signed pause or its end. Told on every new link: what stands already changes nothing.
   * @throws IdentityError, StateError, PolicyError
   */
  pause(signed: SignedPause, nowMs: number): Promise<FiledContract> {
    const { contractId: id, party, standing, reason } = signed.pause;
    return this.#change(id, nowMs, (facts) => {
      verifyPause(signed, facts.contract);
      if (facts.suspendedBy.has(party) === (standing === 'suspended')) return undefined;
      const document = JSON.stringify(signed);
      const alongside = keepPause(id, party, document);
      if (standing === 'resumed') {
        checkAction('resume', party, facts, nowMs, GATEWAY);
        const statement = deleteSuspension(id, party);
        return { kind: 'contract.resumed', party, statement, alongside };
      }
      checkAction('suspend', party, facts, nowMs, GATEWAY);
      const statement = insertSuspension(id, party, reason, document, nowMs);
      return { kind: 'contract.suspended', party, statement, alongside };
    });
  }

  /** @param actor - a holder, or `gateway` for its operator and rules. */
  suspend(id: ContractId, actor: PartyId, reason: string, nowMs: number): Promise<FiledContract> {
    return this.#change(id, nowMs, (facts) => {
      checkAction('suspend', actor, facts, nowMs, GATEWAY);
      if (facts.suspendedBy.has(actor)) return undefined;
      const text = reason.slice(0, REASON_LENGTH_MAX);
      const statement = insertSuspension(id, actor, text, null, nowMs);
      return { kind: 'contract.suspended', party: actor, statement };
    });
  }

  /** By who suspended it; another's suspension stays. */
  resume(id: ContractId, actor: PartyId, nowMs: number): Promise<FiledContract> {
    return this.#change(id, nowMs, (facts) => {
      checkAction('resume', actor, facts, nowMs, GATEWAY);
      return { kind: 'contract.resumed', party: actor, statement: deleteSuspension(id, actor) };
    });
  }

  /** The limits on runs are used up. */
  complete(id: ContractId, nowMs: number): Promise<FiledContract> {
    return this.#change(id, nowMs, (facts) => {
      if (facts.isCompleted) return undefined;
      checkAction('complete', GATEWAY, facts, nowMs, GATEWAY);
      const statement = completeContract(id, nowMs);
      return { kind: 'contract.completed', party: GATEWAY, statement };
    });
  }

  /**
   * The contract as signed by all, in force now, for its analyst to run.
   * @throws StateError `contract-unknown`, `contract-not-active`; PolicyError `contract-revoked`,
   *   `contract-expired`
   */
  async forRun(id: ContractId, analyst: PartyId, nowMs: number): Promise<SignedContract> {
    const facts = await this.#found(id);
    if (facts.contract.analyst.id !== analyst) throw unknown();
    checkAction('run', analyst, facts, nowMs, GATEWAY);
    return { contract: facts.contract, signatures: [...facts.signatures] };
  }

  /**
   * Why runs of the contract end, those at work too: revoked or suspended, by whomever and at whichever
   * process of the gateway.
   */
  async stopOf(id: ContractId): Promise<WeirError | undefined> {
    return stopReason(await readStops(this.#store, id));
  }

  async #file(signed: SignedContract, hash: Hash, nowMs: number): Promise<void> {
    const { contract, signatures } = signed;
    const own = signatures.find((one) => one.party === contract.analyst.id);
    if (own === undefined) {
      throw new IdentityError('signature-missing', 'The analyst has not signed the proposal.', {
        party: contract.analyst.id,
        remedy: 'The analyst signs the contract, then proposes it.',
      });
    }
    // All of them first: a proposal with one bad signature files nothing.
    for (const signature of signatures) verifyContractSignature(contract, signature);
    if (nowMs >= Date.parse(contract.validity.notAfter)) {
      throw new PolicyError('contract-expired', 'The contract has ended before it is proposed.', {
        rule: 'validity',
        remedy: 'Propose it with a later end.',
      });
    }
    if ((await countProposed(this.#store, own.party, nowMs - DAY_MS)) >= PROPOSALS_A_DAY_MAX) {
      throw new MeteringError('rate-limited', 'Too many contracts were proposed today.', {
        party: own.party,
        rule: `at most ${PROPOSALS_A_DAY_MAX} a day`,
        retryAfterS: 3600,
        remedy: 'Propose it tomorrow.',
      });
    }
    const entry = {
      kind: 'contract.proposed',
      atMs: nowMs,
      facts: factsOf(contract, hash, contract.analyst.id),
    };
    try {
      await this.#audit.append(entry, [
        ...insertContract(contract, hash, nowMs),
        insertSignature(contract.id, own, nowMs),
      ]);
    } catch (error) {
      if (!(error instanceof StoreConflict)) throw error;
      // Filed at the same moment, by a repetition of this call or by another contract of this id.
      if ((await this.#found(contract.id)).hash !== hash) throw idTaken();
    }
  }

  /** Decides on the facts of one revision; where they changed meanwhile, decides again. */
  async #change(
    id: ContractId,
    nowMs: number,
    decide: (facts: FiledFacts) => Change | undefined,
  ): Promise<FiledContract> {
    for (let attempt = 1; attempt <= CHANGE_ATTEMPTS_MAX; attempt += 1) {
      const facts = await this.#found(id);
      const change = decide(facts);
      if (change === undefined) return viewOf(facts, nowMs);
      const { kind, party, statement, alongside } = change;
      const entry = { kind, atMs: nowMs, facts: factsOf(facts.contract, facts.hash, party) };
      try {
        const further = alongside === undefined ? [] : [alongside];
        await this.#audit.append(entry, [nextRevision(facts), statement, ...further]);
        return viewOf(await this.#found(id), nowMs);
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
      }
    }
    throw new CapacityError('queue-full', 'Too many changes to one contract at once.', {
      retryAfterS: 1,
    });
  }

  async #found(id: ContractId): Promise<FiledFacts> {
    const facts = await readContract(this.#store, id);
    if (facts === undefined) throw unknown();
    return facts;
  }
}

function viewOf(facts: FiledFacts, nowMs: number): FiledContract {
  const { contract, signatures, hash, proposedAtMs } = facts;
  return { contract, signatures, hash, state: stateOf(facts, nowMs), proposedAtMs };
}

function factsOf(
  contract: Contract,
  hash: Hash,
  party: PartyId,
): Readonly<Record<string, unknown>> {
  return { contractId: contract.id, contractHash: hash, party };
}

function isNamed(contract: Contract, viewer: PartyId): boolean {
  return contract.analyst.id === viewer || contract.holders.some((holder) => holder.id === viewer);
}

function unknown(): StateError {
  return new StateError('contract-unknown', 'There is no such contract.', {
    remedy: 'List the contracts to see their ids.',
  });
}

function idTaken(): StateError {
  return new StateError('already-exists', 'This contract id stands for another contract.', {
    rule: 'a changed contract has a new id and new signatures',
    remedy: 'Propose it under a fresh id.',
  });
}
