/**
 * Which groups of a match are shown by themselves. The others are added up in the last one, so that
 * the rows of an answer always add up to the whole, and what is withheld of it is what a total gives
 * back: complementary suppression is not the contract's to choose here.
 */
import { suppressComplements } from '../../disclosure/complementary.ts';
import type { DisclosureStage, StageRules } from '../../disclosure/stage.ts';

/** Both holders of a match contribute to whatever is shared. */
const CONTRIBUTORS = 2;

/**
 * 1 a number that the stages let out.
 * @param isNoised - then stages that are for exact answers do not apply.
 */
export function permittedCells(
  counts: Float64Array,
  stages: readonly DisclosureStage[],
  rules: StageRules,
  isNoised: boolean,
): Uint8Array<ArrayBuffer> {
  const permitted = new Uint8Array(counts.length).fill(1);
  const contributors = new Uint16Array(counts.length).fill(CONTRIBUTORS);
  for (const stage of stages) {
    if (!isNoised || stage.exactOnly !== true)
      stage.apply({ counts, contributors }, rules, permitted);
  }
  return permitted;
}

/**
 * For each group, the one that it is counted in: itself, or the last. Every group that is counted in
 * the last is too small, or hides one that is, with others that make it at least `smallestCell`
 * together; where all of them together are fewer, nothing of them is shown.
 * @param counts - exact; the last is of whatever has no group of its own.
 */
export function foldedGroups(
  counts: Float64Array,
  stages: readonly DisclosureStage[],
  rules: StageRules,
): Uint8Array {
  const apart = permittedCells(counts, stages, rules, false);
  const other = counts.length - 1;
  const isHiding = apart.some((one, cell) => one === 0 && cell < other && (counts[cell] ?? 0) > 0);
  // A small group goes into the last one, so that one is shown with it, and never by itself.
  if (isHiding) apart[other] = 0;
  if (isHiding || (counts[other] ?? 0) > 0) {
    const selected = new Uint8Array(counts.length).fill(1);
    suppressComplements({ radices: [counts.length], counts, selected }, rules.smallestCell, apart);
  }
  return apart.map((one, cell) => (one === 1 ? cell : other));
}

/** The counts once each group is counted where it goes. */
export function foldedCounts(counts: Float64Array, into: Uint8Array): Float64Array {
  const folded = new Float64Array(counts.length);
  for (const [cell, count] of counts.entries()) {
    const target = into[cell] ?? 0;
    folded[target] = (folded[target] ?? 0) + count;
  }
  return folded;
}
