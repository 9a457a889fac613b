/** Disclosure stage: a cell to which too few holders contribute is not released. */
import type { DisclosureStage } from './stage.ts';

/** Suppresses cells whose total would show what one holder, or too few of them, have. */
export const smallestContributors: DisclosureStage = {
  name: 'smallest-contributors',
  // Noise hides who has anything in a cell; every party of a noised run counts in every cell.
  exactOnly: true,
  apply(cells, rules, permitted) {
    const { contributors } = cells;
    for (let cell = 0; cell < contributors.length; cell++) {
      if ((contributors[cell] ?? 0) < rules.smallestContributors) permitted[cell] = 0;
    }
  },
};
