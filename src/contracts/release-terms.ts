/** Whether a person at each holder must let each result go, as a contract agrees on it. */
import { z } from 'zod';

export const ReleaseTermsSchema = z.strictObject({
  /** An officer of every holder of the run, in its own domain. */
  by: z.literal('officer'),
  /** How long officers have; then the run ends without a result and without a charge. */
  withinS: z
    .int()
    .min(60)
    .max(30 * 86_400),
});
export type ReleaseTerms = z.infer<typeof ReleaseTermsSchema>;

/**
 * After the last decision a result may still be fetched for so long: gateway or a domain may be down.
 */
export const DELIVERY_GRACE_MS = 3_600_000;
