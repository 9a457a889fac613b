/**
 * The bodies of the HTTP API, stated once: the gateway describes its routes with them, the SDK
 * parses answers with them. Amounts are decimal strings, times RFC 3339 in UTC.
 */
import { z } from 'zod';
import {
  ContractIdSchema,
  HashSchema,
  NameSchema,
  PartyIdSchema,
  RunIdSchema,
} from '../system/ids.ts';
import {
  ColumnBoundsSchema,
  ContractSchema,
  ContractSignatureSchema,
  DictionarySchema,
  InstantSchema,
  PartySchema,
  PublicKeySchema,
} from './contract.ts';
import { DominanceTermsSchema } from './dominance-terms.ts';
import { ArgumentsSchema, ParameterSchema, PlanSchema } from './plan.ts';
import { SignedReceiptSchema } from './receipt.ts';
import { ReleaseTermsSchema } from './release-terms.ts';
import { SignedRequestSchema } from './request.ts';
import { RoundingTermsSchema } from './rounding-terms.ts';

export const PAGE_DEFAULT = 100;
export const PAGE_MAX = 1000;
/** A token's longest life. */
export const TOKEN_TTL_MAX_S = 366 * 86_400;
/** An enrolment token is for now: a day at most. */
export const ENROLMENT_TTL_MAX_S = 86_400;
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

/** A whole amount of units or of millionths, as decimal digits. */
const Amount = z.string().regex(/^-?\d{1,39}$/);
const Units = z.record(z.string(), Amount);
const Label = z.string().min(1).max(200);

export const RunStateSchema = z.enum([
  'reserved',
  'preparing',
  'agreed',
  'computing',
  'awaiting-release',
  'releasing',
  'posted',
  'refused',
  'voided',
  'expired',
]);

/** Public keys and ciphertexts of 7 MiB in base64url: what planning allows is less. */
export const WEIGHTS_TEXT_MAX: number = Math.ceil((7 * 1024 * 1024 * 4) / 3);

/** Asks for a run: the signed request, and the encrypted weights that it names by their hash. */
export const StartRunRequestSchema = SignedRequestSchema.extend({
  weights: z
    .string()
    .max(WEIGHTS_TEXT_MAX)
    .regex(/^[A-Za-z0-9_-]+$/)
    .exactOptional(),
});

export const StartedRunSchema = z.object({
  runId: RunIdSchema,
  state: RunStateSchema,
  /** True where the same key and body came before: this is that call's run. */
  repeated: z.boolean(),
});
export type StartedRunBody = z.infer<typeof StartedRunSchema>;

/** The number of the frame that the gateway takes next. */
export const FramesDueSchema = z.object({ due: z.int().min(0) });
export type FramesDue = z.infer<typeof FramesDueSchema>;

export const RunBodySchema = z.object({
  runId: RunIdSchema,
  contractId: ContractIdSchema,
  analyst: PartyIdSchema,
  protocol: z.string(),
  state: RunStateSchema,
  code: z.string().optional(),
  note: z.string(),
  attempt: z.int(),
  createdAt: InstantSchema,
  updatedAt: InstantSchema,
  resultExpiresAt: InstantSchema.optional(),
});
export type RunBody = z.infer<typeof RunBodySchema>;

export const RunEventBodySchema = z.object({
  runId: RunIdSchema,
  seq: z.int(),
  at: InstantSchema,
  state: RunStateSchema,
  progress: z.number().optional(),
  code: z.string().optional(),
  note: z.string(),
});
export type RunEventBody = z.infer<typeof RunEventBodySchema>;

export const RunResultBodySchema = z.object({
  runId: RunIdSchema,
  /** Compact JWE to the contract's recipient. */
  sealed: z.string(),
  receipt: SignedReceiptSchema,
});
export type RunResultBody = z.infer<typeof RunResultBodySchema>;

export const QuotaLeftBodySchema = z.object({
  dimension: z.string(),
  window: z.enum(['lifetime', 'month', 'day']),
  limit: Amount,
  left: Amount,
  resetsAt: InstantSchema.optional(),
});
export type QuotaLeftBody = z.infer<typeof QuotaLeftBodySchema>;

/** SQL that is longer is refused before it is parsed; the parser's own bound is lower. */
const SQL_CHARS_MAX = 65_536;
const Sql = z.string().max(SQL_CHARS_MAX);

/** Asks what a run would cost and show: of a filed contract, of a draft, or of a query. */
export const ExplainRequestSchema = z.union([
  z.strictObject({ contractId: ContractIdSchema, arguments: ArgumentsSchema }),
  z.strictObject({ contract: ContractSchema, arguments: ArgumentsSchema }),
  /** At default terms; the most that its parameters allow where no arguments are given. */
  z.strictObject({
    sql: Sql,
    arguments: ArgumentsSchema.optional(),
    purposeCode: NameSchema.optional(),
  }),
]);
export type ExplainRequest = z.infer<typeof ExplainRequestSchema>;

export const ExplainBodySchema = z.object({
  protocol: z.string(),
  engine: z.string(),
  /** Where several engines could answer: what each would cost. */
  engines: z
    .array(z.object({ engine: z.string(), computeMilliUnits: Amount, bytes: Amount }))
    .exactOptional(),
  exact: z.boolean(),
  /** Of a noised answer: its cost in privacy, and standard deviations of what is added. */
  noise: z
    .object({
      mechanism: z.string(),
      microRho: z.int(),
      epsilon: z.number(),
      delta: z.string(),
      deviations: z.array(z.object({ of: z.string(), deviation: z.number() })),
    })
    .exactOptional(),
  /** What sums of few contributors are withheld by, and to what figures are rounded. */
  dominance: DominanceTermsSchema.exactOptional(),
  rounding: RoundingTermsSchema.exactOptional(),
  /** Where officers must release each result first. */
  release: ReleaseTermsSchema.exactOptional(),
  cells: z.int(),
  lanes: z.int(),
  units: Units,
  learns: z.array(z.object({ party: z.string(), zh: z.string(), en: z.string() })),
  quota: z.array(QuotaLeftBodySchema),
  currency: z.string(),
  priceMicros: Amount,
});
export type ExplainBody = z.infer<typeof ExplainBodySchema>;

/** A query to compile. */
export const PlanRequestSchema = z.strictObject({
  sql: Sql,
  arguments: ArgumentsSchema.optional(),
  purposeCode: NameSchema.optional(),
});
export type PlanRequest = z.infer<typeof PlanRequestSchema>;

/** Why a query may not run as things are: where in it, by which rule, and what would help. */
export const RefusalBodySchema = z.object({
  code: z.string(),
  detail: z.string(),
  /** `line 1, column 8`, where the refusal is about a part of the text. */
  path: z.string().optional(),
  column: z.string().optional(),
  rule: z.string().optional(),
  party: z.string().optional(),
  remedy: z.string().optional(),
});
export type RefusalBody = z.infer<typeof RefusalBodySchema>;

export const PlanBodySchema = z.object({
  /** Every refusal; empty where a contract over the plan could run. */
  refusals: z.array(RefusalBodySchema),
  /** What a contract would hold; absent where the query is no plan. */
  draft: z
    .object({
      plan: PlanSchema,
      parameters: z.record(NameSchema, ParameterSchema),
      datasets: ContractSchema.shape.datasets,
      disclosure: ContractSchema.shape.disclosure,
      protocol: z.string(),
      purposeCode: NameSchema.optional(),
    })
    .optional(),
  /** At default terms; absent where the plan cannot be computed. */
  explanation: ExplainBodySchema.optional(),
});
export type PlanBody = z.infer<typeof PlanBodySchema>;

export const ContractStateSchema = z.enum([
  'proposed',
  'refused',
  'signed',
  'active',
  'suspended',
  'revoked',
  'expired',
  'completed',
]);

export const ContractBodySchema = z.object({
  contract: ContractSchema,
  signatures: z.array(ContractSignatureSchema),
  /** SHA-256 of the contract's canonical form: what everyone signs. */
  hash: HashSchema,
  state: ContractStateSchema,
  proposedAt: InstantSchema,
});
export type ContractBody = z.infer<typeof ContractBodySchema>;

/** Why the operator suspends a contract; kept with it. */
export const SuspensionRequestSchema = z.strictObject({ reason: z.string().min(1).max(2000) });

export const ContractPageSchema = z.object({
  contracts: z.array(ContractBodySchema),
  /** The `after` of the next page, or null on the last. */
  next: ContractIdSchema.nullable(),
});
export type ContractPage = z.infer<typeof ContractPageSchema>;

export const DatasetBodySchema = z.object({
  holder: PartyIdSchema,
  /** The holder as a contract names it, key included. */
  party: PartySchema,
  dataset: NameSchema,
  title: z.object({ zh: z.string(), en: z.string() }),
  grade: z.enum(['general', 'important', 'core']),
  rowsMax: z.int(),
  columns: z.array(
    z.object({ name: z.string(), type: z.string(), usage: z.array(z.string()).readonly() }),
  ),
  /** Sets of group columns that a plan may group by. */
  partitions: z.array(z.array(z.string())),
  /** What exact sums over it must pass. */
  dominance: DominanceTermsSchema.exactOptional(),
  dictionaries: z.array(DictionarySchema),
  bounds: z.array(ColumnBoundsSchema),
  fingerprint: HashSchema,
  publishedAt: InstantSchema,
});
export type DatasetBody = z.infer<typeof DatasetBodySchema>;
export const DatasetListSchema = z.object({ datasets: z.array(DatasetBodySchema) });
export type DatasetList = z.infer<typeof DatasetListSchema>;

/** Publications as their holders signed them; what reads them parses and verifies each. */
export const PublicationListSchema = z.object({ publications: z.array(z.unknown()) });
export type PublicationList = z.infer<typeof PublicationListSchema>;

export const OutcomeSchema = z.enum(['posted', 'voided', 'expired', 'denied']);

export const MeteringRecordBodySchema = z.object({
  seq: Amount,
  id: z.string(),
  at: InstantSchema,
  analyst: PartyIdSchema,
  holders: z.array(PartyIdSchema),
  contractId: ContractIdSchema.optional(),
  runId: RunIdSchema.optional(),
  protocol: z.string().optional(),
  datasets: z.array(z.object({ name: z.string(), fingerprint: z.string().optional() })),
  outcome: OutcomeSchema,
  code: z.string().optional(),
  units: Units,
  chargeMicros: Amount,
  currency: z.string(),
  quotaLeft: Units,
  receiptHash: HashSchema.optional(),
  /** The number of the record this one takes the place of in sums. */
  supersedes: Amount.optional(),
});
export type MeteringRecordBody = z.infer<typeof MeteringRecordBodySchema>;

export const MeteringPageSchema = z.object({
  records: z.array(MeteringRecordBodySchema),
  /** The `after` of the next call: the last record's number, or the same again where none came. */
  next: Amount,
  /** True where a further page is known to be there. */
  more: z.boolean(),
});
export type MeteringPage = z.infer<typeof MeteringPageSchema>;

export const UsageBodySchema = z.object({
  lines: z.array(
    z.object({
      analyst: PartyIdSchema,
      contractId: ContractIdSchema.optional(),
      outcome: OutcomeSchema,
      records: Amount,
      units: Units,
      currency: z.string(),
      chargeMicros: Amount,
    }),
  ),
});
export type UsageBody = z.infer<typeof UsageBodySchema>;

export const RoleSchema = z.enum(['analyst', 'billing', 'operator']);
export type Role = z.infer<typeof RoleSchema>;

export const TokenRequestSchema = z.strictObject({
  role: RoleSchema,
  /** Whom the token speaks for: an analyst's own party id, or the billing or operating body. */
  party: PartyIdSchema,
  label: Label,
  ttlS: z.int().min(1).max(TOKEN_TTL_MAX_S),
});
export type TokenRequest = z.infer<typeof TokenRequestSchema>;

export const TokenBodySchema = z.object({
  id: z.string(),
  role: RoleSchema,
  party: PartyIdSchema,
  label: z.string(),
  createdAt: InstantSchema,
  expiresAt: InstantSchema,
  revokedAt: InstantSchema.optional(),
  /** Rounded down to the hour. */
  lastUsedAt: InstantSchema.optional(),
});
export type TokenBody = z.infer<typeof TokenBodySchema>;

export const CreatedTokenSchema = TokenBodySchema.extend({
  /** Shown this once: only its hash is kept. */
  token: z.string(),
});
export type CreatedTokenBody = z.infer<typeof CreatedTokenSchema>;

export const TokenListSchema = z.object({ tokens: z.array(TokenBodySchema) });
export type TokenList = z.infer<typeof TokenListSchema>;

export const EnrolmentTokenRequestSchema = z.strictObject({
  /** The one domain that may enrol with it. */
  party: PartyIdSchema,
  ttlS: z.int().min(1).max(ENROLMENT_TTL_MAX_S),
});
export type EnrolmentTokenRequest = z.infer<typeof EnrolmentTokenRequestSchema>;

export const EnrolmentTokenBodySchema = z.object({
  id: z.string(),
  party: PartyIdSchema,
  token: z.string(),
  expiresAt: InstantSchema,
});
export type EnrolmentTokenBody = z.infer<typeof EnrolmentTokenBodySchema>;

export const DomainListSchema = z.object({
  domains: z.array(
    z.object({
      party: PartyIdSchema,
      name: z.object({ zh: z.string(), en: z.string() }),
      signKey: PublicKeySchema,
      fingerprint: z.string(),
      enrolledAt: InstantSchema,
      /** Absent where its link is down. */
      connectedSince: InstantSchema.optional(),
    }),
  ),
  gatewayFingerprint: z.string(),
});
export type DomainList = z.infer<typeof DomainListSchema>;

/** RFC 9457, with the extension members Weir adds. */
export const ProblemBodySchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  titleZh: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  retryable: z.boolean(),
  instance: z.string().optional(),
});
export type ProblemBody = z.infer<typeof ProblemBodySchema>;
