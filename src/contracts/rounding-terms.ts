/** To which multiples a contract's released figures are rounded. */
import { z } from 'zod';
import { NameSchema } from '../system/ids.ts';
import { MEASURES_MAX } from './plan.ts';

/** A column of the result, and the decimal whose multiples it shows. */
const RoundedSchema = z.strictObject({
  as: NameSchema,
  base: z.string().regex(/^(?:[1-9]\d{0,17}(?:\.\d{0,8}[1-9])?|0\.\d{0,8}[1-9])$/),
});

export const RoundingTermsSchema = z.array(RoundedSchema).min(1).max(MEASURES_MAX);
export type RoundingTerms = z.infer<typeof RoundingTermsSchema>;
