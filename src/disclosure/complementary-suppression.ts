/** Disclosure stage: what is withheld is not given back by the total of its line. */
import { suppressComplements } from './complementary.ts';
import type { DisclosureStage } from './stage.ts';

/** Where the contract asks for it, suppresses further cells of each line in which too little is withheld. */
export const complementarySuppression: DisclosureStage = {
  name: 'complementary-suppression',
  // A noised total gives back a noised remainder, which the budget has paid for.
  exactOnly: true,
  apply({ counts, partition, objections }, rules, permitted) {
    if (rules.complementary !== true || partition === undefined) return;
    suppressComplements({ counts, objections, ...partition }, rules.smallestCell, permitted);
  },
};
