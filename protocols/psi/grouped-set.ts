/** The receiver's own set where numbers are asked for by its groups: each group padded by itself. */
import { viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import {
  ROW_BYTES,
  Settled,
  blindedSet,
  randomFill,
  sharedFill,
  slotsOfCell,
  type BlindedSet,
  type PsiMachine,
} from './blinded-set.ts';
import { ELEMENT_BYTES } from './element.ts';
import type { PsiGroups, PsiParams } from './params.ts';
import type { SortedList } from './sorted-list.ts';

/** Which of its rows the receiver puts in which group, and how large it makes each. */
export interface GroupPlan {
  /** More keys than this are refused, however they are grouped. */
  readonly keysMax: number;
  /** The group of the key of this number. Secret. */
  readonly cellOf: (row: number) => number;
  /** Told how many items each group has; where each group's items go, and how many items it sends. */
  readonly arrange: (items: Uint32Array) => Arrangement;
}

export interface Arrangement {
  /** For each group, the one that its items are counted in. */
  readonly into: Uint8Array;
  /** For each group, its items on the wire: its own, its noise slots, and padding. */
  readonly wire: Uint32Array;
}

/**
 * As `prepareSet`, each item with the group that it is counted in. All noise slots of each group hold
 * shared dummies: the sender's choice decides how many of them match.
 * @throws ProtocolError `set-too-large`, `parameter-invalid`
 * Cost: settling runs twice, since sizes decide where items go.
 */
export async function prepareGroupedSet(
  params: PsiParams,
  groups: PsiGroups,
  machine: PsiMachine,
  digests: AsyncIterable<Uint8Array>,
  plan: GroupPlan,
): Promise<BlindedSet> {
  const cellItems = new Uint32Array(groups.cells);
  const set = await blindedSet(
    params,
    machine,
    digests,
    (items) => items <= plan.keysMax,
    (settled, keys) => groupedElements({ params, machine, plan, cellItems }, settled, keys),
  );
  return { ...set, cellItems };
}

interface Grouping {
  readonly params: PsiParams;
  readonly machine: PsiMachine;
  readonly plan: GroupPlan;
  /** Filled with the items of each group on the wire. */
  readonly cellItems: Uint32Array;
}

async function* groupedElements(
  { params, machine, plan, cellItems }: Grouping,
  settled: Settled,
  keys: SortedList,
): AsyncGenerator<Uint8Array> {
  const items = new Uint32Array(cellItems.length);
  for await (const piece of new Settled(params).elements(keys.sorted())) {
    eachTail(piece, (view, at) => {
      const cell = plan.cellOf(view.getUint32(at, true));
      items[cell] = (items[cell] ?? 0) + 1;
    });
  }
  const { into, wire } = plan.arrange(items);
  requireSizes(params, wire);
  cellItems.set(wire);
  const left = wire.slice();
  for await (const piece of settled.elements(keys.sorted())) {
    eachTail(piece, (view, at) => {
      const cell = into[plan.cellOf(view.getUint32(at, true))] ?? 0;
      view.setUint32(at, cell, true);
      if (left[cell] === 0) throw tooSmall();
      left[cell] = (left[cell] ?? 0) - 1;
    });
    yield piece;
  }
  const slots = slotsOfCell(params);
  for (const [cell, missing] of left.entries()) {
    if (missing < slots) throw tooSmall();
    yield* sharedFill(params, cell, slots, cell);
    yield* randomFill(params, machine, missing - slots, cell);
  }
}

function requireSizes({ setSizeMax }: PsiParams, wire: Uint32Array): void {
  const total = wire.reduce((sum, size) => sum + size, 0);
  if (total <= setSizeMax) return;
  throw new ProtocolError('set-too-large', `the groups have more than ${setSizeMax} items`);
}

/** Tells the view and place of the number behind each element. */
function eachTail(piece: Uint8Array, take: (view: DataView, at: number) => void): void {
  const record = ELEMENT_BYTES + ROW_BYTES;
  const view = viewOf(piece);
  for (let at = ELEMENT_BYTES; at < piece.length; at += record) take(view, at);
}

function tooSmall(): ProtocolError {
  return new ProtocolError('parameter-invalid', 'a group was given fewer items than it has');
}
