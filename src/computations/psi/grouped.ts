/** The receiver's part of a match by its groups: how it groups its keys, and what it lets out. */
import { InvariantError } from '../../errors.ts';
import { slotOf } from '../../../protocols/psi/sum.ts';
import { sumByGroup } from '../../../protocols/psi/group-sum.ts';
import { groupBucket } from '../../../protocols/psi/groups.ts';
import type { GroupPlan } from '../../../protocols/psi/grouped-set.ts';
import type { PsiMachine } from '../../../protocols/psi/blinded-set.ts';
import type { PsiChannel } from '../../../protocols/psi/exchange.ts';
import type { SumEngine } from '../../../protocols/psi/sum-exchange.ts';
import type { GroupOutcome } from '../../../protocols/psi/receiver.ts';
import type { DomainRole, Release } from '../computation.ts';
import { foldedCounts, foldedGroups, permittedCells } from './group-release.ts';
import { groupReview } from './group-review.ts';
import { noisedNumbers, sizeNoise, sumNoise } from './noise.ts';
import type { RowCells } from './row-cells.ts';
import { cellSlotsOf, type MatchGroups, type MatchShape } from './shape.ts';

/** Digits of a half and of a number: each is written in as many, whatever it is. */
const HALF_DIGITS = 11;
const NUMBER_DIGITS = 10;
/** A row's bytes in a statement, rounded up. */
const ROW_BYTES = 48;
const FRAME_BYTES = 1024;

/**
 * How the own keys are grouped. In an exact match groups too small to be told apart go into the last
 * one, so that no number is of few of the own keys; noise takes care of that in the other.
 */
export async function groupPlanOf(
  role: DomainRole,
  shape: MatchShape,
  groups: MatchGroups,
  cells: RowCells,
): Promise<GroupPlan> {
  const { noise } = shape;
  const noised = await sizeNoise(role, shape);
  const own = role.contract.datasets.find(({ holder }) => holder === role.self);
  return {
    keysMax: own?.rowsMax ?? 0,
    cellOf: (row) => cells.at(row),
    arrange: (items) => {
      const counts = Float64Array.from(items);
      if (noise !== undefined) {
        const slots = cellSlotsOf(noise);
        const wire = Uint32Array.from(counts, (count, cell) => count + slots + (noised[cell] ?? 0));
        return { into: Uint8Array.from(items, (_, cell) => cell), wire };
      }
      const into = foldedGroups(counts, role.stages, role.contract.disclosure);
      const wire = Uint32Array.from(foldedCounts(counts, into), (count) =>
        groupBucket(groups.params, count),
      );
      return { into, wire };
    },
  };
}

/** The run's own parts: how many keys this domain brought, and where sums are computed. */
export interface GroupRun {
  readonly ownItems: number;
  readonly channel: PsiChannel;
  readonly engine: SumEngine;
  readonly machine: PsiMachine;
}

/**
 * Numbers, and where values are summed this domain's halves, of the groups that may be shown: a row
 * each, of one length whatever is in it, so that nobody tells by the size what was withheld.
 */
export async function releasedGroups(
  role: DomainRole,
  shape: MatchShape,
  outcome: GroupOutcome,
  run: GroupRun,
): Promise<Release> {
  const { stages } = role;
  const { disclosure } = role.contract;
  const isNoised = shape.noise !== undefined;
  const numbers = await noisedNumbers(role, shape, outcome.shared);
  const into = isNoised
    ? Uint8Array.from(numbers, (_, cell) => cell)
    : foldedGroups(numbers, stages, disclosure);
  const shown = foldedCounts(numbers, into);
  const permitted = permittedCells(shown, stages, disclosure, isNoised);
  const labels = shape.groups?.labels ?? [];
  role.review?.(groupReview(run.ownItems, { labels, numbers, into, permitted }));
  const halves = await halvesOf(role, shape, outcome, into, run);
  return {
    columns: halves === undefined ? ['shared'] : ['shared', 'half'],
    rows: [...shown].map((number, cell) => {
      const isShown = permitted[cell] === 1;
      const text = isShown
        ? number.toString().padStart(NUMBER_DIGITS, '0')
        : '-'.repeat(NUMBER_DIGITS);
      if (halves === undefined) return [text];
      const half = isShown ? (halves[cell] ?? 0n) : 0n;
      return [text, half.toString().padStart(HALF_DIGITS, '0')];
    }),
    suppressedCells: 0,
    releasedCells: 0,
  };
}

/** Answered for every group in any case: the sender is not to know which of them are shown. */
async function halvesOf(
  role: DomainRole,
  shape: MatchShape,
  { cellOfPlace }: GroupOutcome,
  into: Uint8Array,
  { channel, engine, machine }: GroupRun,
): Promise<readonly bigint[] | undefined> {
  if (shape.plan.ask !== 'sum') return undefined;
  if (cellOfPlace === undefined) throw new InvariantError('internal', 'a sum without its places');
  for (const [place, cell] of cellOfPlace.entries()) {
    if (cell > 0) cellOfPlace[place] = (into[cell - 1] ?? 0) + 1;
  }
  const noise = await sumNoise(role, shape);
  const masks = await sumByGroup(channel, engine, machine, cellOfPlace, shape.cells);
  return masks.map((mask, cell) => slotOf(mask - (noise[cell] ?? 0n)));
}

/** What a statement about so many groups is padded to: no content makes it longer. */
export function groupsSizeBytes(cells: number): number {
  let sizeBytes = FRAME_BYTES;
  // One number alone fits the frame.
  while (sizeBytes < FRAME_BYTES + (cells - 1) * ROW_BYTES) sizeBytes *= 2;
  return sizeBytes;
}
