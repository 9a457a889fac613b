/** Disclosure stage: a cell of fewer units than the threshold is not released. */
import type { DisclosureStage } from './stage.ts';

/** Suppresses cells with fewer rows (or non-null values) than the contract's smallest cell. */
export const smallestCell: DisclosureStage = {
  name: 'smallest-cell',
  apply(cells, rules, permitted) {
    const { counts } = cells;
    for (let cell = 0; cell < counts.length; cell++) {
      if ((counts[cell] ?? 0) < rules.smallestCell) permitted[cell] = 0;
    }
  },
};
