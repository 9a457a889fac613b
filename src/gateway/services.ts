/**
 * What the routes need of the rest of the gateway: one small interface a route family. The routes
 * authenticate, parse and bound; a service decides. Every method may throw a WeirError, which the
 * problem table turns into an answer; anything else is answered as `internal`.
 */
import type { IncomingMessage } from 'node:http';
import type { SignedPublishedDataset } from '../catalog/published.ts';
import type { Estimate } from '../computations/computation.ts';
import type {
  ColumnBounds,
  Contract,
  ContractSignature,
  Dictionary,
  Party,
  SignedContract,
} from '../contracts/contract.ts';
import type { DominanceTerms } from '../contracts/dominance-terms.ts';
import type { GuestFrame } from '../contracts/guest-frames.ts';
import type { ContractState } from '../contracts/life-cycle.ts';
import type { Arguments } from '../contracts/plan.ts';
import type { ProvisionalPlan } from '../contracts/provisional.ts';
import type { ReleaseTerms } from '../contracts/release-terms.ts';
import type { RoundingTerms } from '../contracts/rounding-terms.ts';
import type { SignedRequest } from '../contracts/request.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import type { ErrorCode, WeirError } from '../errors.ts';
import type { MeteringRecord, RecordOutcome } from '../ledger/ledger-store.ts';
import type { RunEvent, RunState } from '../runs/run-events.ts';
import type { ContractId, Hash, PartyId, RunId } from '../system/ids.ts';

/** A quota dimension in one window, as the analyst is told: `limit`, what is left, when it resets. */
export interface QuotaLeft {
  readonly dimension: Dimension;
  readonly window: 'lifetime' | 'month' | 'day';
  readonly limit: Units;
  readonly left: Units;
  readonly resetsAtMs: number | undefined;
}

export interface StartCommand {
  readonly analyst: PartyId;
  /** 1..128 characters, printable ASCII; scoped to the analyst by the service. */
  readonly idempotencyKey: string;
  readonly request: SignedRequest;
  /** What came with the request, where the contract has secret weights. */
  readonly attachment?: Uint8Array | undefined;
}

export interface StartedRun {
  readonly runId: RunId;
  readonly state: RunState;
  /** True where the same key and body came before: this is the first call's run. */
  readonly repeated: boolean;
  /** Quota left after this reservation, for the RateLimit headers; empty where not known. */
  readonly quota: readonly QuotaLeft[];
}

export interface RunView {
  readonly runId: RunId;
  readonly contractId: ContractId;
  readonly analyst: PartyId;
  readonly protocol: string;
  readonly state: RunState;
  /** The refusal's or failure's code, where the run ended with one. */
  readonly code: ErrorCode | undefined;
  readonly note: string;
  readonly attempt: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** When the sealed result is deleted; known once posted. */
  readonly resultExpiresAtMs: number | undefined;
}

/** A JSON document that goes out as it was signed; its schema is its own module's affair. */
export type SignedDocument = Readonly<Record<string, unknown>>;

export interface RunResult {
  readonly runId: RunId;
  /** Compact JWE to the contract's recipient key. */
  readonly sealed: string;
  readonly receipt: SignedDocument;
}

/**
 * Runs of one analyst. A run of another analyst is `run-unknown`, as if it did not exist.
 */
export interface RunService {
  /**
   * Resolves once the reservation is durable; the run goes on by itself. A throw means that
   * nothing was reserved: the route then leaves the one `denied` record of this call.
   * @throws StateError `idempotency-conflict`, `result-expired` (a repeat
   *   after retention, with `facts.receipt`), `contract-unknown`, `contract-not-active`,
   *   `request-replayed`, `request-expired`; MeteringError `quota-exceeded` with dimension, left and
   *   resetsAt; IdentityError, PolicyError, CapacityError.
   */
  start(command: StartCommand): Promise<StartedRun>;
  /** @throws StateError `run-unknown` */
  get(runId: RunId, analyst: PartyId): Promise<RunView>;
  /** Asks a run to stop; one that has ended stays as it is. @throws StateError `run-unknown` */
  cancel(runId: RunId, analyst: PartyId): Promise<RunView>;
  /**
   * @throws StateError `run-unknown`, `result-not-ready`, `result-expired` (with `facts.receipt`),
   *   `run-cancelled`; AbortError, PolicyError … with the code the run ended with.
   */
  result(runId: RunId, analyst: PartyId): Promise<RunResult>;
  /**
   * Events after `afterSeq`, then live ones until the run ends or `signal` aborts.
   * @throws StateError `run-unknown`, before the first event.
   */
  follow(
    runId: RunId,
    analyst: PartyId,
    afterSeq: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<RunEvent>>;
}

/** A call about a run, to be handed on as it came. */
export interface RelayedCall {
  readonly runId: RunId;
  readonly analyst: PartyId;
  readonly incoming: IncomingMessage;
  /** What it sent, where it sends something. */
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

export interface RelayedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly mediaType: string } & (
    | { readonly bytes: Uint8Array<ArrayBuffer> }
    | { readonly stream: ReadableStream<Uint8Array> }
  );
}

/** Calls that only the process which is at work on the run can answer. */
export interface RelayService {
  /**
   * Undefined where the call is this process's own to answer.
   * @throws StateError `run-unknown`, `round-mismatch` where that process cannot be reached;
   *   CapacityError `queue-full` where it does not answer now; AbortError `gateway-restarted` where
   *   it is gone.
   */
  relay(call: RelayedCall): Promise<RelayedAnswer | undefined>;
}

/** Frames of a run that its analyst takes part in, numbered in each direction. */
export interface GuestService {
  /**
   * Frames from number `after` on; none where none came in time, undefined where none will.
   * @throws StateError `run-unknown`, `round-mismatch`; how the run ended
   */
  read(
    runId: RunId,
    analyst: PartyId,
    after: number,
    signal: AbortSignal,
  ): Promise<readonly GuestFrame[] | undefined>;
  /** The number of the frame that is due next. @throws as `read` */
  accept(
    runId: RunId,
    analyst: PartyId,
    first: number,
    frames: readonly GuestFrame[],
    signal: AbortSignal,
  ): Promise<number>;
}

export interface ContractView {
  readonly contract: Contract;
  readonly signatures: readonly ContractSignature[];
  /** SHA-256 of the canonical form: what everyone signs. */
  readonly hash: Hash;
  readonly state: ContractState;
  readonly proposedAtMs: number;
}

/** Contracts of one analyst; another's is `contract-unknown`. `viewer` undefined: the operator. */
export interface ContractService {
  /**
   * Files a contract whose analyst is `proposer`, with the signatures it already has.
   * The same contract again changes nothing and is answered alike.
   * @throws StateError `already-exists` (the id, with other content); IdentityError
   *   `party-not-in-contract`, `signature-invalid`; InputError.
   */
  propose(proposer: PartyId, signed: SignedContract): Promise<ContractView>;
  /** @throws StateError `contract-unknown` */
  get(id: ContractId, viewer: PartyId | undefined): Promise<ContractView>;
  /** In the order of ids (UUIDv7: oldest first), those after `after`, at most `most`. */
  list(
    viewer: PartyId | undefined,
    after: ContractId | undefined,
    most: number,
  ): Promise<readonly ContractView[]>;
  /**
   * Adds `signer`'s own signature; the last one makes the contract active.
   * @throws StateError `contract-unknown`, `contract-not-active`; IdentityError
   *   `party-not-in-contract`, `signature-invalid`.
   */
  sign(id: ContractId, signer: PartyId, signature: ContractSignature): Promise<ContractView>;
  /** The operator stops runs, those at work too. @throws StateError, PolicyError */
  suspend(id: ContractId, reason: string): Promise<ContractView>;
  /** Lifts the operator's own suspension; a holder's stays. @throws as `suspend`, IdentityError */
  resume(id: ContractId): Promise<ContractView>;
}

/** A dataset as its holder publishes it: metadata only, never rows. */
export interface PublishedDataset {
  readonly holder: PartyId;
  /** The holder as a contract names it, with its enrolled key. */
  readonly party: Party;
  readonly dataset: string;
  readonly title: { readonly zh: string; readonly en: string };
  readonly grade: 'general' | 'important' | 'core';
  /** A power of two that the row count does not exceed. */
  readonly rowsMax: number;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly usage: readonly string[];
  }[];
  readonly partitions: readonly (readonly string[])[];
  readonly dominance: DominanceTerms | undefined;
  readonly dictionaries: readonly Dictionary[];
  readonly bounds: readonly ColumnBounds[];
  /** Keyed fingerprint of the current version. */
  readonly fingerprint: Hash;
  readonly publishedAtMs: number;
}

export interface CatalogService {
  datasets(): Promise<readonly PublishedDataset[]>;
  /** The same datasets as their holders signed them. */
  publications(): Promise<readonly SignedPublishedDataset[]>;
}

export interface DeniedCall {
  readonly analyst: PartyId;
  /** Known once the body was parsed. */
  readonly contractId: ContractId | undefined;
  readonly code: ErrorCode;
}

export interface UsageQuery {
  readonly fromMs: number | undefined;
  /** Exclusive. */
  readonly toMs: number | undefined;
  readonly analyst: PartyId | undefined;
  readonly contractId: ContractId | undefined;
}

/** Sums over the records of one analyst, contract, currency and outcome. */
export interface UsageLine {
  readonly analyst: PartyId;
  readonly contractId: ContractId | undefined;
  readonly outcome: RecordOutcome;
  readonly records: bigint;
  readonly units: Readonly<Partial<Record<Dimension, Units>>>;
  readonly currency: string;
  readonly chargeMicros: bigint;
}

export interface MeteringService {
  /** Records with `seq` > `after`, in order, at most `most`. */
  records(after: bigint, most: number): Promise<readonly MeteringRecord[]>;
  usage(query: UsageQuery): Promise<readonly UsageLine[]>;
  /** One record of zero units for a computation call that was refused before it reserved. */
  recordDenied(call: DeniedCall): Promise<void>;
}

/** What billing systems take away besides records and sums. */
export interface BillingService {
  /** A CloudEvents JSON batch of the records with `seq` > `after`. */
  events(after: bigint, most: number): Promise<string>;
  /** @throws InputError `parameter-invalid` */
  statement(query: {
    readonly analyst: PartyId;
    readonly month: string;
    readonly timeZone: string;
  }): Promise<Readonly<Record<string, unknown>>>;
  /** @throws InputError `parameter-invalid`; StateError `already-exists` */
  correct(command: {
    readonly supersedes: bigint;
    readonly chargeMicros: bigint;
    readonly reason: string;
    readonly by: PartyId;
  }): Promise<MeteringRecord>;
}

export interface ExplainCommand {
  readonly analyst: PartyId;
  /** A filed contract, or a draft that nobody has signed yet. */
  readonly subject:
    | { readonly kind: 'filed'; readonly contractId: ContractId }
    | { readonly kind: 'draft'; readonly contract: Contract }
    | {
        readonly kind: 'sql';
        readonly sql: string;
        readonly purposeCode: string | undefined;
      };
  /** Undefined: the most that the parameters allow. */
  readonly arguments: Arguments | undefined;
}

/** What a run would cost and show, from public facts alone; nothing is reserved. */
export interface ExplainAnswer extends Estimate {
  readonly dominance: DominanceTerms | undefined;
  readonly rounding: RoundingTerms | undefined;
  readonly release: ReleaseTerms | undefined;
  readonly quota: readonly QuotaLeft[];
  readonly currency: string;
  readonly priceMicros: bigint;
}

export interface ExplainService {
  /** @throws StateError `contract-unknown`; InputError, PolicyError where the plan cannot run. */
  explain(command: ExplainCommand): Promise<ExplainAnswer>;
}

export interface PlanCommand {
  readonly analyst: PartyId;
  readonly sql: string;
  readonly arguments: Arguments | undefined;
  readonly purposeCode: string | undefined;
}

/** A query as judged: what it compiles to, what it would cost, and everything that refuses it. */
export interface JudgedPlan {
  readonly draft: ProvisionalPlan | undefined;
  readonly refusals: readonly WeirError[];
  readonly explanation: ExplainAnswer | undefined;
}

export interface PlanService {
  /** Reads published metadata only; spends nothing. @throws CapacityError `queue-full` */
  judge(command: PlanCommand): Promise<JudgedPlan>;
}

/** Which enrolled domains are connected now. */
export interface LinkStatusService {
  /** When the domain's link came up, or undefined where it is down. */
  connectedSinceMs(domain: PartyId): number | undefined;
}

export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
}

export interface ReadinessService {
  /** Cheap: asked by a probe every few seconds. A check that throws counts as failed. */
  checks(): Promise<readonly ReadinessCheck[]>;
}
