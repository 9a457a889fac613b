/**
 * The typed plan: what a computation asks, with no analyst text that could be executed. A domain
 * renders its own SQL from it; SQL for analysts compiles to it.
 */
import { z } from 'zod';
import { NameSchema, PartyIdSchema } from '../system/ids.ts';

export const GROUPS_MAX = 4;
export const MEASURES_MAX = 16;
export const DICTIONARY_MAX = 4_000_000;
/** Cells of one run: the product of the dictionaries, each with its `other`. */
export const CELLS_MAX = 16_777_216;

/** The label of the cell that gathers what the dictionary does not list. */
export const OTHER_LABEL = '(other)';

/** `column` restricted to chosen dictionary labels: whole cells of the public partition. */
export const SelectionSchema = z.strictObject({
  column: NameSchema,
  in: z.union([
    z.strictObject({ values: z.array(z.string().max(256)).min(1).max(10_000) }),
    z.strictObject({ parameter: NameSchema }),
  ]),
});

export const MeasureSchema = z.discriminatedUnion('fn', [
  z.strictObject({ as: NameSchema, fn: z.literal('count') }),
  z.strictObject({ as: NameSchema, fn: z.literal('sum'), column: NameSchema }),
  z.strictObject({ as: NameSchema, fn: z.literal('avg'), column: NameSchema }),
  /** Sample variance, divisor n − 1. */
  z.strictObject({ as: NameSchema, fn: z.literal('var'), column: NameSchema }),
]);
export type Measure = z.infer<typeof MeasureSchema>;

/** `SELECT groups, measures FROM table WHERE selections GROUP BY groups` over every holder's part. */
export const AggregatePlanSchema = z.strictObject({
  kind: z.literal('aggregate'),
  table: NameSchema,
  groups: z.array(z.strictObject({ column: NameSchema })).max(GROUPS_MAX),
  measures: z.array(MeasureSchema).min(1).max(MEASURES_MAX),
  select: z.array(SelectionSchema).max(GROUPS_MAX),
});
export type AggregatePlan = z.infer<typeof AggregatePlanSchema>;

export const KEY_COLUMNS_MAX = 8;
/** Labels of a match by groups: each costs a product of ciphertexts more. */
export const MATCH_LABELS_MAX = 63;

/** How a holder writes dates; what each means stands in `protocols/psi/join-key.ts`. */
const DateFormatSchema = z.enum(['iso', 'compact', 'day-first', 'month-first', 'chinese']);

const KeyTypeSchema = z.enum(['text', 'text-exact', 'integer', 'date']);
export type KeyType = z.infer<typeof KeyTypeSchema>;

/** One column of a join key, at both holders. `text` folds case, `text-exact` keeps it. */
export const KeyColumnSchema = z.strictObject({
  as: NameSchema,
  type: KeyTypeSchema,
  columns: z
    .array(
      z.strictObject({
        holder: PartyIdSchema,
        column: NameSchema,
        /** Dates only; `iso` where absent. */
        dateFormat: DateFormatSchema.optional(),
      }),
    )
    .length(2),
});

/** How many join keys two holders share, or which ones, or what values sum to over them. */
export const MatchPlanSchema = z.strictObject({
  kind: z.literal('match'),
  ask: z.enum(['cardinality', 'intersection', 'sum']),
  /** The holder that matches: it learns the exact number, or the shared keys, before anyone. */
  receiver: PartyIdSchema,
  key: z.array(KeyColumnSchema).min(1).max(KEY_COLUMNS_MAX),
  /** Whether a key counts once, or as often as it occurs on both sides. */
  duplicates: z.enum(['multiplicity', 'distinct']),
  /** How it is computed; `auto` where absent: what takes less compute at the contract's sizes. */
  engine: z.enum(['auto', 'ecdh', 'vole', 'vole-without-lpn', 'unbalanced']).optional(),
  /** With `sum`: whole numbers of the holder that is not the receiver. */
  sum: z.strictObject({ as: NameSchema, column: NameSchema }).optional(),
  /** By groups of the receiver's: a column of its own with a published dictionary. */
  group: z.strictObject({ as: NameSchema, column: NameSchema }).optional(),
});
export type MatchPlan = z.infer<typeof MatchPlanSchema>;

export const OWN_SET_ITEMS_MIN = 16;
const OWN_SET_ITEMS_MAX = 2 ** 24;

/** How many ids of a set that the analyst brings one holder has: always noised. */
export const OwnSetPlanSchema = z.strictObject({
  kind: z.literal('own-set'),
  /** The holder's column, and how it is read; the analyst reads its own ids by the same type. */
  key: z.strictObject({
    as: NameSchema,
    type: KeyTypeSchema,
    column: NameSchema,
    /** Dates only; `iso` where absent. */
    dateFormat: DateFormatSchema.exactOptional(),
  }),
  /** Items of the analyst's set at most, dummies included: a power of two. */
  setSizeMax: z.int().min(OWN_SET_ITEMS_MIN).max(OWN_SET_ITEMS_MAX),
});
export type OwnSetPlan = z.infer<typeof OwnSetPlanSchema>;

/** Every kind of plan; a new computation adds its own. */
export const PlanSchema = z.discriminatedUnion('kind', [
  AggregatePlanSchema,
  MatchPlanSchema,
  OwnSetPlanSchema,
]);
export type Plan = z.infer<typeof PlanSchema>;

/** A parameter of a contract: which of a column's labels a request may choose, and how many. */
export const ParameterSchema = z.strictObject({
  kind: z.literal('labels'),
  column: NameSchema,
  labels: z.array(z.string().max(256)).min(1).max(10_000),
  most: z.int().min(1).max(10_000),
});
export type Parameter = z.infer<typeof ParameterSchema>;

/** What a request supplies for the contract's parameters. */
export const ArgumentsSchema = z.record(
  NameSchema,
  z.array(z.string().max(256)).min(1).max(10_000),
);
export type Arguments = z.infer<typeof ArgumentsSchema>;
