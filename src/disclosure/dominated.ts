/** Disclosure stage: a sum that is mostly a few contributors' at some holder is not released. */
import type { DisclosureStage } from './stage.ts';

/** Suppresses cells that some domain objects to; how many do is in the domains alone. */
export const dominated: DisclosureStage = {
  name: 'dominated',
  // Noise hides each contributor, whatever it has.
  exactOnly: true,
  apply({ objections }, _rules, permitted) {
    if (objections === undefined) return;
    for (let cell = 0; cell < objections.length; cell++) {
      if (objections[cell] !== 0) permitted[cell] = 0;
    }
  },
};
