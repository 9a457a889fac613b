/**
 * How well a dataset hides people behind its quasi-identifiers: k-anonymity, distinct l-diversity
 * and uniqueness. The figures are exact and stay in the domain, for its officer to decide on.
 * @see Sweeney, k-anonymity, 2002; Machanavajjhala et al., l-diversity, 2007
 */
import { z } from 'zod';
import { NameSchema } from '../system/ids.ts';

const QUASI_IDENTIFIERS_MAX = 16;
const SENSITIVE_COLUMNS_MAX = 8;

/** What to examine: columns an outsider may know, and columns that must not be learned from them. */
export const AnonymityQuestionSchema = z
  .strictObject({
    quasiIdentifiers: z.array(NameSchema).min(1).max(QUASI_IDENTIFIERS_MAX),
    sensitive: z.array(NameSchema).max(SENSITIVE_COLUMNS_MAX),
    /** Count people rather than rows, where a column names them. */
    privacyUnit: NameSchema.optional(),
  })
  .refine(
    ({ quasiIdentifiers, sensitive, privacyUnit }) => {
      const named = [...quasiIdentifiers, ...sensitive];
      if (privacyUnit !== undefined) named.push(privacyUnit);
      return new Set(named).size === named.length;
    },
    { message: 'a column has one role' },
  );
export type AnonymityQuestion = z.infer<typeof AnonymityQuestionSchema>;

const Count = z.int().min(0);

/** A class: all rows that agree on every quasi-identifier; missing values agree with each other. */
export const AnonymityFiguresSchema = z.strictObject({
  rows: Count,
  /** People where a privacy unit was given, else rows. A person is counted in each of their classes. */
  units: Count,
  classes: Count,
  /** The smallest class, in units; 0 for an empty dataset. */
  k: Count,
  /** Units in classes of one, of fewer than 5, and of fewer than 10. */
  unique: Count,
  below5: Count,
  below10: Count,
  /** For each sensitive column the fewest different values in any class; a missing value is one. */
  l: z.array(z.strictObject({ column: NameSchema, distinct: Count })),
});
export type AnonymityFigures = z.infer<typeof AnonymityFiguresSchema>;

/** A source that can be examined. */
export interface AnonymityExaminer {
  /** @throws InputError `column-unknown`; PolicyError `dataset-drifted`; what the source throws. */
  examine(question: AnonymityQuestion, signal?: AbortSignal): Promise<AnonymityFigures>;
}

/** The least an officer asks of figures before regrading a dataset. */
export const AnonymityDemandSchema = z.strictObject({
  k: z.int().min(2).max(1_000_000),
  l: z.int().min(1).max(1_000_000),
});
export type AnonymityDemand = z.infer<typeof AnonymityDemandSchema>;

/** True where every class is large and diverse enough. An empty dataset shows nothing and fails. */
export function meetsDemand(figures: AnonymityFigures, demand: AnonymityDemand): boolean {
  return figures.k >= demand.k && figures.l.every(({ distinct }) => distinct >= demand.l);
}
