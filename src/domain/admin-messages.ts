/** What the officer's commands and the domain node say to each other over the admin socket. */
import { z } from 'zod';
import {
  AnonymityDemandSchema,
  AnonymityFiguresSchema,
  AnonymityQuestionSchema,
} from '../catalog/anonymity.ts';
import {
  ContractSchema,
  ContractSignatureSchema,
  InstantSchema,
  PublicKeySchema,
} from '../contracts/contract.ts';
import { ArgumentsSchema } from '../contracts/plan.ts';
import {
  ContractIdSchema,
  HashSchema,
  NameSchema,
  PartyIdSchema,
  RunIdSchema,
} from '../system/ids.ts';
import { HeldReviewSchema } from './held-results.ts';

export const ADMIN_SOCKET = 'admin.sock';
/** Longest path a Unix socket can have on Linux and macOS alike. */
export const SOCKET_PATH_BYTES_MAX = 103;

export const ProposalSchema = z.object({
  contract: ContractSchema,
  hash: HashSchema,
  signatures: z.array(ContractSignatureSchema),
  state: z.string(),
  /** What this domain would refuse the contract for; empty where it could run. */
  objections: z.array(
    z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
  ),
});
export type Proposal = z.infer<typeof ProposalSchema>;
export const ProposalListSchema = z.object({ proposals: z.array(ProposalSchema) });

export const ReviewSchema = z.object({
  proposal: ProposalSchema,
  /** What is signed, in plain words. */
  zh: z.string(),
  en: z.string(),
  canonical: z.string(),
});
export type Review = z.infer<typeof ReviewSchema>;

export const DecisionSchema = z.strictObject({
  /** The hash the officer reviewed: a contract changed since is refused. */
  hash: HashSchema,
  reason: z.string().max(1000).optional(),
});
export type Decision = z.infer<typeof DecisionSchema>;

export const ReasonSchema = z.strictObject({ reason: z.string().max(1000) });

export const WaitingReleaseSchema = z.object({
  runId: RunIdSchema,
  contractId: ContractIdSchema,
  title: z.object({ zh: z.string(), en: z.string() }),
  analyst: PartyIdSchema,
  since: InstantSchema,
  until: InstantSchema,
  decision: z.enum(['approved', 'refused']).nullable(),
});
export type WaitingRelease = z.infer<typeof WaitingReleaseSchema>;
export const WaitingReleaseListSchema = z.object({ releases: z.array(WaitingReleaseSchema) });

/** What an officer sees of a result before deciding; no sum is in it. */
export const WaitingReleaseReviewSchema = z.object({
  waiting: WaitingReleaseSchema,
  hash: HashSchema,
  parties: z.array(PartyIdSchema),
  arguments: ArgumentsSchema,
  ...HeldReviewSchema.shape,
  /** The contract in plain words. */
  zh: z.string(),
  en: z.string(),
});
export type WaitingReleaseReview = z.infer<typeof WaitingReleaseReviewSchema>;

export const ReleaseDecisionRequestSchema = z.strictObject({
  decision: z.enum(['approved', 'refused']),
  /** Of the review that the officer saw. */
  hash: HashSchema,
});
export type ReleaseDecisionRequest = z.infer<typeof ReleaseDecisionRequestSchema>;

/** How well a dataset hides people behind its quasi-identifiers. */
export const ExaminationSchema = z.object({
  dataset: NameSchema,
  grade: z.string(),
  fingerprint: HashSchema,
  figures: AnonymityFiguresSchema,
});
export type Examination = z.infer<typeof ExaminationSchema>;

export const RegradeRequestSchema = z.strictObject({
  question: AnonymityQuestionSchema,
  demand: AnonymityDemandSchema,
  reason: z.string().min(1).max(2000),
  decidedBy: z.string().min(1).max(200),
});
export type RegradeRequest = z.infer<typeof RegradeRequestSchema>;

export const RegradedSchema = z.object({ hash: HashSchema, figures: AnonymityFiguresSchema });
export type Regraded = z.infer<typeof RegradedSchema>;

export const TrustSchema = z.strictObject({ party: PartyIdSchema, publicKey: PublicKeySchema });
export type Trust = z.infer<typeof TrustSchema>;

export const DistrustSchema = z.strictObject({ party: PartyIdSchema });

export const RollbackSchema = z.object({
  /** Where the domain's own history ends. */
  storedSeq: z.int(),
  highestSeq: z.int(),
  /** Runs of which nobody has the statement: they count against every contract. */
  lostRuns: z.int(),
});
export type Rollback = z.infer<typeof RollbackSchema>;
export const AcceptRollbackSchema = z.strictObject({ lostRuns: z.int().min(0) });

export const StatusSchema = z.object({
  party: PartyIdSchema,
  publicKey: PublicKeySchema,
  fingerprint: z.string(),
  gateway: z.object({
    url: z.string(),
    fingerprint: z.string().nullable(),
    connected: z.boolean(),
  }),
  pins: z.array(
    z.object({ party: PartyIdSchema, publicKey: PublicKeySchema, fingerprint: z.string() }),
  ),
  datasets: z.array(
    z.object({ name: NameSchema, rowsMax: z.int(), grade: z.string(), fingerprint: HashSchema }),
  ),
  counters: z.object({
    spends: z.int(),
    rolledBack: z.boolean(),
    contracts: z.array(
      z.object({
        contractId: ContractIdSchema,
        runs: z.int(),
        /** Padded items that a match over a kept filter asked this domain for. */
        evaluated: z.int(),
      }),
    ),
  }),
  /** What this machine has: the native library where it is installed, a portable one otherwise. */
  engines: z.object({ match: z.string() }),
});
export type Status = z.infer<typeof StatusSchema>;
