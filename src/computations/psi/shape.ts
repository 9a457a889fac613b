/** What a match looks like, from the contract alone: no row is read. */
import type { ColumnBounds, Contract } from '../../contracts/contract.ts';
import { dictionaryOf } from '../../contracts/plan-fits.ts';
import type { Arguments, MatchPlan } from '../../contracts/plan.ts';
import { noisePlan, type NoisePlan } from '../../disclosure/noise-plan.ts';
import { InputError } from '../../errors.ts';
import type { PartyId } from '../../system/ids.ts';
import { ProtocolError } from '../../../protocols/common/protocol-error.ts';
import { SUM_PRODUCTS_MAX, areProductsHidden, requireSumFits } from '../../../protocols/psi/sum.ts';
import type { KeyColumn } from '../../../protocols/psi/join-key.ts';
import {
  bucketOf,
  CHUNK_ITEMS,
  NOISE_SLOTS_MAX,
  SET_SIZE_MAX,
  type PsiGroups,
  type PsiParams,
} from '../../../protocols/psi/params.ts';
import { chosenEngine, engineCosts, type EngineCost, type MatchEngine } from './engine.ts';

/** Keys that an intersection may reveal in one run: more are not a result to read, but a data set. */
export const REVEALED_KEYS_MAX = 100_000;
/** Keys whose values may be summed in one run: 8 bytes each are held in memory. */
export const SUMMED_KEYS_MAX: number = 2 ** 22;

/** A group is never shown to be smaller than this by its padded size. */
const GROUP_ITEMS_MIN = 64;

/** Groups of the receiver's. */
export interface MatchGroups {
  readonly column: string;
  /** One group each, then one for everything else. */
  readonly labels: readonly string[];
  readonly params: PsiGroups;
}

export interface MatchShape {
  readonly plan: MatchPlan;
  readonly receiver: PartyId;
  readonly sender: PartyId;
  /** Items on the wire at most, of each holder: the bucket of its row cap. */
  readonly itemsMax: ReadonlyMap<PartyId, number>;
  readonly rowsMaxTotal: number;
  /** Noise on the number and the sum; absent where the answer is exact. */
  readonly noise: NoisePlan | undefined;
  /** What the summed column is clamped to; absent where nothing is summed. */
  readonly sumBounds: ColumnBounds | undefined;
  /** Absent where one number is asked for. */
  readonly groups: MatchGroups | undefined;
  /** Groups, or 1. */
  readonly cells: number;
  /** Both holders' buckets. */
  readonly itemsMaxTotal: number;
  /** The one that answers. */
  readonly engine: MatchEngine;
  /** What each that could would cost. */
  readonly engineCosts: readonly EngineCost[];
}

/**
 * Plans a run.
 * @throws InputError `query-not-supported`, `parameter-invalid`, `set-too-large`
 */
export function matchShapeOf(contract: Contract, args: Arguments): MatchShape {
  const { plan } = contract;
  if (plan.kind !== 'match') {
    throw new InputError('query-not-supported', 'The contract’s plan does not match sets.', {
      rule: `plan ${plan.kind}`,
      remedy: 'Choose the protocol that the plan is for.',
    });
  }
  if (Object.keys(args).length > 0) {
    throw new InputError('parameter-invalid', 'A plan that matches has no parameters.', {
      remedy: 'Send no arguments.',
    });
  }
  const sender = contract.holders.find((holder) => holder.id !== plan.receiver)?.id;
  if (sender === undefined || contract.holders.length !== 2) {
    throw new InputError('query-not-supported', 'A plan that matches has exactly two holders.', {
      rule: 'holders',
    });
  }
  const sumBounds = contract.bounds.find(({ column }) => column === plan.sum?.column);
  const groups = groupsOf(contract, plan);
  const cells = groups?.params.cells ?? 1;
  const noise = noiseOn(contract, sumBounds, cells);
  const slots = noiseSlotsOf(noise, cells);
  const itemsMax = new Map(
    contract.datasets.map(({ holder, rowsMax }) => {
      if (groups === undefined || holder === sender) return [holder, bucketOf(rowsMax + slots)];
      return [holder, groupedItemsMax(groups.params, rowsMax, slots)];
    }),
  );
  const sizes = [...itemsMax.values()];
  if (Math.max(...sizes) > SET_SIZE_MAX) {
    throw new InputError('set-too-large', 'A dataset has more rows than can be matched.', {
      rule: `at most ${SET_SIZE_MAX} rows`,
      remedy: 'Agree on lower row caps.',
    });
  }
  if (sumBounds !== undefined) {
    requireSummed(contract, sender);
    proveNoOverflow(sumBounds, itemsMax.get(sender) ?? 0, noise);
    proveHidden(itemsMax.get(sender) ?? 0, cells);
  }
  const matchSizes = {
    senderItems: itemsMax.get(sender) ?? 1,
    receiverItems: itemsMax.get(plan.receiver) ?? 1,
    runs: contract.limits.runsTotal,
  };
  const costs = engineCosts(plan, matchSizes);
  return {
    plan,
    engine: chosenEngine(plan, costs, matchSizes),
    engineCosts: costs,
    groups,
    cells,
    sender,
    noise,
    sumBounds,
    receiver: plan.receiver,
    itemsMax,
    rowsMaxTotal: contract.datasets.reduce((sum, { rowsMax }) => sum + rowsMax, 0),
    itemsMaxTotal: sizes.reduce((sum, size) => sum + size, 0),
  };
}

/**
 * A number that is noised has one unit a key: `checkMatch` sees to it, so that a unit changes the
 * number by one and the sum by its bound.
 */
function noiseOn(
  contract: Contract,
  sumBounds: ColumnBounds | undefined,
  cells: number,
): NoisePlan | undefined {
  const { noise } = contract.disclosure;
  if (noise === undefined) return undefined;
  const summed = sumBounds === undefined ? [] : [{ ...sumBounds, squares: false }];
  // By groups the receiver's sizes are one vector more, which the sender sees.
  const plan = noisePlan(noise, summed, cells, cells > 1 ? 1 : 0);
  if (noiseSlotsOf(plan, cells) <= NOISE_SLOTS_MAX) return plan;
  throw new InputError(
    'parameter-invalid',
    'The noise would need more dummies than a set may have.',
    {
      rule: `at most ${NOISE_SLOTS_MAX} dummies`,
      remedy: 'A larger budget a run.',
    },
  );
}

/**
 * Dummies by which the sender's noise reaches a number: as many as its share is at most, either
 * way. The receiver has all of them, the sender half of them and its noise.
 */
export function cellSlotsOf(noise: NoisePlan): number {
  return 2 * Number(noise.rows.tail);
}

/** Those of all groups. */
function noiseSlotsOf(noise: NoisePlan | undefined, cells: number): number {
  return noise === undefined ? 0 : cells * cellSlotsOf(noise);
}

function groupsOf(contract: Contract, plan: MatchPlan): MatchGroups | undefined {
  if (plan.group === undefined) return undefined;
  const { column } = plan.group;
  const { labels } = dictionaryOf(contract, column);
  const { smallestCell, noise } = contract.disclosure;
  const params: PsiGroups = {
    cells: labels.length + 1,
    sizes: noise === undefined ? 'bucket' : 'noised',
    // An empty group and the smallest that is told apart are to look alike.
    itemsMin: bucketOf(Math.max(GROUP_ITEMS_MIN, smallestCell)),
  };
  return { column, labels, params };
}

/** What the receiver's groups come to at most once each is padded. */
function groupedItemsMax(
  { cells, sizes, itemsMin }: PsiGroups,
  rows: number,
  slots: number,
): number {
  // Noise on a group's size is at most as much again as its slots.
  return sizes === 'noised' ? rows + 2 * slots : cells * itemsMin + 2 * rows;
}

function proveHidden(itemsMax: number, cells: number): void {
  if (areProductsHidden(itemsMax, cells)) return;
  throw new InputError('set-too-large', 'The groups make too many products of ciphertexts.', {
    rule: `⌈rows / 8192⌉ · groups ≤ ${SUM_PRODUCTS_MAX}`,
    remedy: 'Group by fewer labels, or agree on lower row caps.',
  });
}

/** Values are held in memory while keys are sorted: so many at most. */
function requireSummed(contract: Contract, sender: PartyId): void {
  const rowsMax = contract.datasets.find(({ holder }) => holder === sender)?.rowsMax ?? 0;
  if (rowsMax <= SUMMED_KEYS_MAX) return;
  throw new InputError('set-too-large', 'The summed dataset has more rows than can be summed.', {
    party: sender,
    rule: `at most ${SUMMED_KEYS_MAX} rows`,
    remedy: 'Agree on a lower row cap, or ask for the number alone.',
  });
}

/** Every sum of the sender's items is told apart from every other: nothing can wrap unseen. */
function proveNoOverflow(
  bounds: ColumnBounds,
  itemsMax: number,
  noise: NoisePlan | undefined,
): void {
  const [low, high] = [-BigInt(bounds.minimum), BigInt(bounds.maximum)];
  try {
    // Both holders add their share.
    const tails = 2n * (noise?.columns[0]?.sum.tail ?? 0n);
    requireSumFits(itemsMax, low > high ? low : high, tails);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new InputError('overflow-possible', `A sum of ${bounds.column} could exceed 36 bits.`, {
      column: bounds.column,
      rule: '2 · rows · bound < 2^36',
      remedy: 'Declare tighter bounds, a smaller scale or smaller row caps.',
    });
  }
}

/**
 * The protocol's parameters: always padded, since consent or a filter may have taken rows out. A
 * noised match is padded to the row cap: each key counts once in it, so a bucket of the exact number
 * would tell a crossing by one person that the noise hides.
 */
export function psiParams(shape: MatchShape, descriptorHash: Uint8Array, self: PartyId): PsiParams {
  // Each holder is held to its own row cap: a lower one bounds how much it can ask about.
  const peer = self === shape.sender ? shape.receiver : shape.sender;
  return {
    mode: shape.plan.ask,
    context: descriptorHash,
    padding: shape.noise === undefined ? 'bucket' : 'cap',
    duplicates: shape.plan.duplicates,
    noiseSlots: noiseSlotsOf(shape.noise, shape.cells),
    ...(shape.groups === undefined ? {} : { groups: shape.groups.params }),
    chunkItems: CHUNK_ITEMS,
    revealedMax: REVEALED_KEYS_MAX,
    setSizeMax: shape.itemsMax.get(self) ?? 1,
    peerSizeMax: shape.itemsMax.get(peer) ?? 1,
  };
}

/** One holder's columns of the key, and how each is read. */
export function keyColumnsOf(
  plan: MatchPlan,
  holder: PartyId,
): { readonly names: readonly string[]; readonly forms: readonly KeyColumn[] } {
  const own = plan.key.map(({ type, columns }) => {
    const entry = columns.find((column) => column.holder === holder);
    if (entry === undefined) {
      throw new InputError('query-not-supported', 'A key column is not named at this holder.', {
        party: holder,
      });
    }
    return { name: entry.column, form: keyForm(type, entry.dateFormat) };
  });
  return { names: own.map(({ name }) => name), forms: own.map(({ form }) => form) };
}

/** How a key column of a plan is read. */
export function keyForm(
  type: MatchPlan['key'][number]['type'],
  format: MatchPlan['key'][number]['columns'][number]['dateFormat'],
): KeyColumn {
  switch (type) {
    case 'text':
      return { type: 'text' };
    case 'text-exact':
      return { type: 'text', keepCase: true };
    case 'integer':
      return { type: 'integer' };
    case 'date':
      return { type: 'date', format: format ?? 'iso' };
  }
}
