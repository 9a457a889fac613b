/** The digital contract (数字合约): what was agreed, by whom, within which bounds. */
import { z } from 'zod';
import { ContractIdSchema, HashSchema, NameSchema, PartyIdSchema } from '../system/ids.ts';
import { DominanceTermsSchema } from './dominance-terms.ts';
import { NoiseTermsSchema } from './noise.ts';
import { ReleaseTermsSchema } from './release-terms.ts';
import { ParameterSchema, PlanSchema, DICTIONARY_MAX, GROUPS_MAX, MEASURES_MAX } from './plan.ts';
import { RoundingTermsSchema } from './rounding-terms.ts';

export const HOLDERS_MAX = 256;
/**
 * JSON text of a contract. It travels in one message of the link (1 MiB) with its signatures and a
 * request, whose labels are some of the contract's own and so no longer than the contract: one that
 * did not fit could never run, and would keep its holders from listing any other.
 */
export const CONTRACT_BYTES_MAX = 491_520;

/** 32 bytes in base64url without padding, in its only spelling: the last character's idle bits are 0. */
export const Bytes32Schema = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** A raw 32-byte key. */
export const PublicKeySchema = Bytes32Schema;
/** A date and time in UTC, RFC 3339 with `Z`. */
export const InstantSchema = z.iso.datetime();
const Text = z.string().min(1).max(2000);
const Bilingual = z.strictObject({ zh: Text, en: Text });

export const PartySchema = z.strictObject({
  id: PartyIdSchema,
  name: Bilingual,
  /** Ed25519 identity key. */
  signKey: PublicKeySchema,
});
export type Party = z.infer<typeof PartySchema>;

/** One holder's dataset under the plan's table name, with the public facts the planner relies on. */
export const ContractDatasetSchema = z.strictObject({
  holder: PartyIdSchema,
  dataset: NameSchema,
  /** `any`, or the fingerprint the dataset must have: then drift needs new signatures. */
  version: z.union([z.literal('any'), HashSchema]),
  /** A power of two that the row count must not exceed: part of the overflow proof. */
  rowsMax: z
    .int()
    .min(1)
    .max(2 ** 40),
});

/**
 * The values a measured column is clamped to, in units of 10^−scale: integers as decimal strings.
 * Clamped at run time and never refused there: a refusal would tell whether an extreme exists.
 */
export const ColumnBoundsSchema = z.strictObject({
  column: NameSchema,
  minimum: z.string().regex(/^-?\d{1,18}$/),
  maximum: z.string().regex(/^-?\d{1,18}$/),
  scale: z.int().min(0).max(9),
});
export type ColumnBounds = z.infer<typeof ColumnBoundsSchema>;

/** The public labels of a group column, in the order of the cells; unlisted values go to `other`. */
export const DictionarySchema = z.strictObject({
  column: NameSchema,
  labels: z.array(z.string().max(256)).min(1).max(DICTIONARY_MAX),
});
export type Dictionary = z.infer<typeof DictionarySchema>;

const Count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export const LimitsSchema = z.strictObject({
  runsTotal: Count.min(1),
  runsPerDay: Count.min(1),
  runsPerMonth: Count.min(1),
  /** Row buckets summed over holders and runs. */
  rowsTotal: Count,
  /** Seconds of one core by the published cost formula, in thousandths. */
  computeMilliUnitsTotal: Count,
  microRhoTotal: Count,
  /** Items of matches, padded as they travel; not limited where absent. */
  paddedItemsTotal: Count.exactOptional(),
  /** Bytes that holders send, by the published cost formula; not limited where absent. */
  bytesTotal: Count.exactOptional(),
});

/** Four public keys of 64 KiB and their headers, in base64url. */
const SEALING_KEY_LENGTH_MAX = 349_718;

/** Which protocol, with what the parties must agree on besides the plan. */
export const ProtocolSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('secure-sum') }),
  z.strictObject({ name: z.literal('psi') }),
  z.strictObject({ name: z.literal('psi-own-set') }),
  z.strictObject({
    name: z.literal('sealed-sum'),
    /**
     * The recipient's public keys: whoever holds their secret opens the sums. In the contract
     * itself, so that every signature covers them and no other copy can be handed to a domain.
     */
    sealingKey: z
      .string()
      .max(SEALING_KEY_LENGTH_MAX)
      .regex(/^[A-Za-z0-9_-]+$/),
  }),
  z.strictObject({
    name: z.literal('secret-weights'),
    /**
     * SHA-256 of the recipient's public keys: whoever holds their secret opens the weighted sums. The
     * keys themselves come with each request, since they are longer than a contract may be.
     */
    weighingKeyHash: HashSchema,
    /** What the recipient's secret weights are bounded by; in units of 10^−scale. */
    weights: z.strictObject({
      /** Absolute value at most. */
      maximum: z.string().regex(/^[1-9]\d{0,17}$/),
      scale: z.int().min(0).max(9),
    }),
  }),
]);

export const PRICE_TIERS_MAX = 16;
export const PriceTierSchema = z.strictObject({
  /** The first run of the month, in the contract's time zone, that costs this. */
  fromRun: z.int().min(2).max(1_000_000_000),
  perRunMicros: z.int().min(0),
  perComputeUnitMicros: z.int().min(0),
});

export const ContractSchema = z.strictObject({
  format: z.literal('weir-contract/1'),
  id: ContractIdSchema,
  title: Bilingual,
  purpose: Bilingual,
  /** What people's consent is asked by, where a dataset has it per purpose. */
  purposeCode: NameSchema.exactOptional(),
  legalBasis: Text,
  analyst: PartySchema,
  holders: z.array(PartySchema).min(1).max(HOLDERS_MAX),
  datasets: z.array(ContractDatasetSchema).min(1).max(HOLDERS_MAX),
  plan: PlanSchema,
  parameters: z.record(NameSchema, ParameterSchema),
  dictionaries: z.array(DictionarySchema).max(GROUPS_MAX),
  bounds: z.array(ColumnBoundsSchema).max(MEASURES_MAX),
  protocol: ProtocolSchema,
  /** Who receives the result, encrypted to this X25519 key. */
  recipient: z.strictObject({ id: PartyIdSchema, encryptionKey: PublicKeySchema }),
  disclosure: z.strictObject({
    smallestCell: z.int().min(3).max(1_000_000),
    smallestContributors: z.int().min(1).max(HOLDERS_MAX),
    /** Withhold further cells, so that totals of a line do not give withheld ones back. */
    complementary: z.literal(true).exactOptional(),
    /** Withhold sums that are mostly a few contributors' at some holder. */
    dominance: DominanceTermsSchema.exactOptional(),
    /** Absent: the answer is exact. */
    noise: NoiseTermsSchema.exactOptional(),
    /** To which multiples released figures are rounded, by whoever opens the result. */
    rounding: RoundingTermsSchema.exactOptional(),
  }),
  /** Absent: results leave by themselves. */
  release: ReleaseTermsSchema.exactOptional(),
  limits: LimitsSchema,
  /** Days and months of the limits are calendar ones in this IANA time zone. */
  timeZone: z.string().max(64),
  validity: z.strictObject({ notBefore: InstantSchema, notAfter: InstantSchema }),
  resultRetentionS: z
    .int()
    .min(60)
    .max(10 * 366 * 86_400),
  price: z.strictObject({
    currency: z.string().regex(/^[A-Z]{3}$/),
    /** In millionths of the currency. */
    perRunMicros: z.int().min(0),
    perComputeUnitMicros: z.int().min(0),
    /** Lower prices from a certain run of the calendar month on, in ascending order. */
    tiers: z.array(PriceTierSchema).min(1).max(PRICE_TIERS_MAX).optional(),
  }),
  /** 2 at least, but where one holder matches a set of the analyst's own. */
  minimumParties: z.int().min(1).max(HOLDERS_MAX),
});
export type Contract = z.infer<typeof ContractSchema>;

/** A detached signature over the contract's canonical form. */
export const ContractSignatureSchema = z.strictObject({
  party: PartyIdSchema,
  /** Detached JWS, compact form with an empty payload part. */
  jws: z.string().max(2048),
});
export type ContractSignature = z.infer<typeof ContractSignatureSchema>;

export const SignedContractSchema = z.strictObject({
  contract: ContractSchema,
  signatures: z.array(ContractSignatureSchema).max(HOLDERS_MAX + 1),
});
export type SignedContract = z.infer<typeof SignedContractSchema>;
