/** Every disclosure stage, in the order a release passes them. A new rule is a new entry. */
import { complementarySuppression } from './complementary-suppression.ts';
import { dominated } from './dominated.ts';
import { smallestCell } from './smallest-cell.ts';
import { smallestContributors } from './smallest-contributors.ts';
import type { DisclosureStage } from './stage.ts';

/** @see DisclosureStage */
export const DISCLOSURE_STAGES: readonly DisclosureStage[] = [
  smallestCell,
  smallestContributors,
  dominated,
  complementarySuppression,
];
