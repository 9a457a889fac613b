/** When a few contributors have too much of a cell, as a dataset demands it and a contract agrees on it. */
import { z } from 'zod';

/** Both rules at once; a cell must pass each. */
export const DominanceTermsSchema = z.strictObject({
  /** The p% rule: from the total less its own value, the second largest must not come nearer than p% of the largest. */
  percent: z.int().min(0).max(100),
  /** The (n, k) rule: the n largest may not have more than k% of the total. */
  largest: z.int().min(1).max(10),
  share: z.int().min(1).max(100),
});
export type DominanceTerms = z.infer<typeof DominanceTermsSchema>;

/** True where every cell that `terms` lets out passes `demanded` as well. */
export function isAsStrict(terms: DominanceTerms, demanded: DominanceTerms): boolean {
  return (
    terms.percent >= demanded.percent &&
    terms.largest >= demanded.largest &&
    terms.share <= demanded.share
  );
}

/** As a contract's field, the mildest terms as strict as what each demands; none where none does. */
export function strictestDominance(
  demands: readonly { readonly dominance?: DominanceTerms | undefined }[],
): { readonly dominance?: DominanceTerms } {
  const all = demands.flatMap(({ dominance }) => dominance ?? []);
  if (all.length === 0) return {};
  const dominance = {
    percent: Math.max(...all.map(({ percent }) => percent)),
    largest: Math.max(...all.map(({ largest }) => largest)),
    share: Math.min(...all.map(({ share }) => share)),
  };
  return { dominance };
}
