/**
 * Seam `Protocol`: one computation an analyst can ask for. A new one is a new folder here with
 * its planner (public facts only), its gateway role and its domain role; drivers are written
 * against `RunChannel`, so they run over sockets, in memory and in a simulation alike.
 */
import type { ColumnBounds, Contract, Dictionary } from '../contracts/contract.ts';
import type { Descriptor } from '../contracts/descriptor.ts';
import type { RoundingTerms } from '../contracts/rounding-terms.ts';
import type { GuestFrame } from '../contracts/guest-frames.ts';
import type { Arguments } from '../contracts/plan.ts';
import type { DataSource } from '../catalog/data-source.ts';
import type { WordStream } from '../disclosure/noise-stream.ts';
import type { DisclosureStage } from '../disclosure/stage.ts';
import type { Dimension, Units } from '../contracts/units.ts';
import type { GatewayChannel, RunChannel, SealedChannel } from '../link/channel.ts';
import type { Pool } from '../pool/pool.ts';
import type { Hash, PartyId } from '../system/ids.ts';
import type { Precomputed } from './psi/unbalanced/precomputed.ts';
import type { KeyPair } from '../system/signature-suite.ts';
import type { Random } from '../system/random.ts';

/** What a noised answer costs each privacy unit, and how far off it is to be expected. */
export interface NoiseEstimate {
  readonly mechanism: string;
  readonly microRho: number;
  /** The ε that ρ implies at δ, of this run alone. */
  readonly epsilon: number;
  readonly delta: string;
  /** Standard deviations, if every holder of the contract takes part. */
  readonly deviations: readonly { readonly of: string; readonly deviation: number }[];
}

/** What a computation costs and shows, from the plan, rules and published facts alone. */
export interface Estimate {
  readonly protocol: string;
  readonly engine: string;
  /** Where several engines could answer: what a run by each would cost, the chosen one among them. */
  readonly engines?: readonly {
    readonly engine: string;
    readonly computeMilliUnits: bigint;
    /** That parties send to each other. */
    readonly bytes: bigint;
  }[];
  readonly exact: boolean;
  /** Of a noised answer alone. */
  readonly noise?: NoiseEstimate | undefined;
  readonly cells: number;
  readonly lanes: number;
  readonly units: Readonly<Partial<Record<Dimension, Units>>>;
  /** Who learns what, a sentence a party, zh and en. */
  readonly learns: readonly {
    readonly party: string;
    readonly zh: string;
    readonly en: string;
  }[];
}

/** A result as released: plain JSON, decimals as strings where a double would round twice. */
export interface Release {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
  readonly suppressedCells: number;
  readonly releasedCells: number;
  /** To what the contract had figures rounded by whoever opened the result. */
  readonly rounding?: RoundingTerms;
}

/** The analyst's end of a run's frames, where it takes part in the run itself. */
export interface GuestEnd {
  /** @throws the WeirError the run ended with */
  put(frame: GuestFrame): Promise<void>;
  /** Undefined once `finish` was called. @throws as `put` */
  take(): Promise<GuestFrame | undefined>;
  finish(): void;
}

export interface GatewayRole {
  readonly contract: Contract;
  readonly descriptor: Descriptor;
  readonly channel: GatewayChannel;
  /** Present where the computation `hasGuest`. */
  readonly guest?: GuestEnd;
  readonly pool: Pool;
  /** What came with the request, of the length and hash that are due; where the computation has any. */
  readonly attachment?: Uint8Array | undefined;
  progress(fraction: number, note: string): void;
}

/** What an exact answer is about to show: where it differs too little from an earlier one, it may not. */
export interface ReleaseCells {
  readonly groups: readonly Dictionary[];
  readonly chosen: readonly (readonly string[] | undefined)[];
  readonly radices: readonly number[];
  readonly columns: readonly ColumnBounds[];
  readonly selected: Uint8Array;
  /** Opened counts of rows. */
  readonly counts: Float64Array;
  /** 1 a cell that may be released: for the rows, then for each measured column. */
  readonly maps: readonly Uint8Array[];
  /**
   * The cell counts keys shared with this holder: compared with matches with it alone. Between two
   * versions with the same persons their rows may differ, so these are refused as well.
   */
  readonly matchedWith?: PartyId;
}

/** What an officer is shown of a result before it goes: of this domain's own and what the domains opened. */
export interface ReleaseReview {
  readonly lines: readonly { readonly zh: string; readonly en: string }[];
  readonly table?: Pick<Release, 'columns' | 'rows'>;
}

export interface DomainRole {
  readonly self: PartyId;
  readonly identity: KeyPair;
  /** Secret half of this party's `ephemeralKey`, dropped when the run ends. */
  readonly ephemeralSecret: Uint8Array;
  readonly contract: Contract;
  readonly descriptor: Descriptor;
  readonly descriptorHash: Uint8Array;
  /** Hash of what came with the request, as the analyst signed it. */
  readonly attachmentHash?: Hash | undefined;
  readonly channel: RunChannel;
  sealedTo(peer: PartyId): SealedChannel;
  /** Present where the request has the analyst's key: it takes part in the run itself. */
  readonly sealedToAnalyst?: (() => SealedChannel) | undefined;
  readonly source: DataSource;
  readonly stages: readonly DisclosureStage[];
  /** This domain's noise for a named vector of the run's question; undefined where it is exact. */
  readonly noiseOf: ((label: string) => WordStream) | undefined;
  /**
   * Called before this domain signs what may be released; undefined where nothing is compared.
   * @throws PolicyError `cell-too-small`
   */
  readonly admit: ((release: ReleaseCells) => Promise<void>) | undefined;
  readonly pool: Pool;
  readonly random: Random;
  /**
   * Called before this domain's part of the result is sent, where an officer must release it first.
   * What is in it stays in the domain.
   */
  readonly review?: ((review: ReleaseReview) => void) | undefined;
  /** Counts for this domain's own log: they may depend on rows and go nowhere else. */
  note?(facts: Readonly<Record<string, number>>): void;
  /** What this domain keeps between runs of the contract; absent where nothing outlives the run. */
  readonly precomputed?: Precomputed;
  /** Reached before each message derived from data leaves: a place for crash tests. */
  step(name: string): Promise<void>;
}

export interface Computation {
  readonly name: Contract['protocol']['name'];
  /** The analyst takes part in the run itself, by frames of its own. */
  readonly hasGuest?: true;
  /** @throws InputError or PolicyError where plan and contract do not fit this computation. */
  estimate(contract: Contract, args: Arguments): Estimate;
  /** Bytes that come with each request; absent where none do. @throws as `estimate` */
  attachmentSizeBytes?(contract: Contract, args: Arguments): number;
  runGateway(role: GatewayRole): Promise<Release>;
  runDomain(role: DomainRole): Promise<void>;
  /**
   * `runGateway` in two parts, between which officers release the result, hours later and in another
   * process perhaps. A computation without it has no contract that asks for an officer.
   */
  readonly held?: HeldComputation;
}

/**
 * What a domain sends to the gateway by these message names is last and needs no answer. It is kept
 * in the domain until every holder's officer has released it: a gateway cannot open a sum of which it
 * lacks one part. (Of a match the receiver has the whole number: that it waits for the other
 * holder's officer is its own word, as everything it does with that number is.)
 */
export interface HeldComputation {
  readonly kinds: readonly string[];
  /** Everything before those messages. */
  relay(role: GatewayRole): Promise<void>;
  /** From those messages to the release. */
  finish(role: GatewayRole): Promise<Release>;
}
