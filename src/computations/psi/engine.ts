/**
 * Which of four engines answers a match, and what each would cost. Compute by formula over public
 * buckets, in nanoseconds of one core:
 *
 *     ecdh = Σ over holders of bucket(rowsMax) · (40 µs hash and blind + 34 µs evaluate + 6 µs sort)
 *     vole = 300 ms + Σ over holders of bucket(rowsMax) · 2 µs; without LPN 3 µs
 *     oprf = bucket(receiver's rowsMax) · (40 µs hash and blind + 34 µs evaluate + 36 µs finalize + 6 µs sort)
 *          + bucket(sender's rowsMax) / runs · (40 µs hash and multiply + 8 µs hash and sort)
 *
 * On libsodium: with the vector kernel of `workers/vector` a machine needs far less for the curve. The
 * estimate is part of what parties of unlike machines sign and are charged by, so it knows no machine.
 *
 * Numbers and sums are the ECDH engine's: the others tell their receiver which items are shared. The last
 * one makes a filter of the sender's set, which is spread over the contract's runs (100 at most). VOLE
 * without LPN answers, and is shown, only where the plan pins it.
 */
import type { MatchPlan } from '../../contracts/plan.ts';
import { InputError } from '../../errors.ts';
import { EVALUATED_BYTES, POINT_BYTES } from '../../../protocols/psi/params.ts';
import { bandShape } from '../../../protocols/psi/vole/band.ts';
import { GF128_BYTES } from '../../../protocols/psi/vole/gf128.ts';
import { WORD_BYTES } from '../../../protocols/psi/vole/okvs-checks.ts';
import { partPlan, PART_ITEMS_MAX } from '../../../protocols/psi/vole/parts.ts';
import { filterBytes, filterShape } from '../../../protocols/psi/unbalanced/filter.ts';

/** The engine a descriptor names: a change of the protocol's bytes changes it. */
export const ENGINES = {
  ecdh: 'psi-ecdh/4',
  vole: 'psi-vole/2',
  'vole-without-lpn': 'psi-vole-ot/1',
  unbalanced: 'psi-oprf/1',
} as const;
export type MatchEngine = (typeof ENGINES)[keyof typeof ENGINES];

/** Items of a holder at most: the VOLE engine has its elements in memory. */
const VOLE_ITEMS_MAX = 2 ** 24;
const ECDH_NS = 80_000n;
const VOLE_NS = 2_000n;
const VOLE_START_NS = 300_000_000n;
/** A part's correlation, both ways. */
const CORRELATION_BYTES = 1_600_000;
/** Without LPN it takes a word a column instead, in place of the masked vector too. */
const WORD_VOLE_NS = 3_000n;
const WORD_CORRELATION_BYTES = 40_000;

const LOOK_UP_NS = 116_000n;
const FILTER_NS = 48_000n;
const FORESEEN_RUNS_MAX = 100;
/**
 * The sender's items for each of the receiver's from which a filter is kept unasked. It would save work
 * from about one on; but a filter that stays with the peer, and a key that stays in the domain, are
 * worth their keeping only where a far larger set would otherwise travel in every run.
 */
const RATIO_MIN = 16;

/** What a match by one engine would take, without the reading of rows. */
export interface EngineCost {
  readonly engine: MatchEngine;
  readonly computeNs: bigint;
  /** Both ways. */
  readonly bytes: number;
}

/** The padded sizes at most. */
export interface MatchSizes {
  readonly senderItems: number;
  readonly receiverItems: number;
  /** Of the contract in all. */
  readonly runs: number;
}

/** Of the engines that can answer the plan, at such sizes. */
export function engineCosts(plan: MatchPlan, sizes: MatchSizes): readonly EngineCost[] {
  const { senderItems, receiverItems } = sizes;
  const items = senderItems + receiverItems;
  const ecdh: EngineCost = {
    engine: ENGINES.ecdh,
    computeNs: BigInt(items) * ECDH_NS,
    bytes: items * POINT_BYTES + receiverItems * EVALUATED_BYTES,
  };
  if (plan.ask !== 'intersection') return [ecdh];
  const unbalanced = unbalancedCost(sizes);
  if (Math.max(senderItems, receiverItems) > VOLE_ITEMS_MAX) return [ecdh, unbalanced];
  const parts = partPlan(senderItems, receiverItems, PART_ITEMS_MAX);
  const { columns } = bandShape(parts.receiverItems);
  const partBytes = parts.senderItems * parts.outputBytes;
  const vole: EngineCost = {
    engine: ENGINES.vole,
    computeNs: VOLE_START_NS + BigInt(items) * VOLE_NS,
    bytes: parts.parts * (columns * GF128_BYTES + partBytes + CORRELATION_BYTES),
  };
  const withoutLpn: EngineCost = {
    engine: ENGINES['vole-without-lpn'],
    computeNs: VOLE_START_NS + BigInt(items) * WORD_VOLE_NS,
    bytes: parts.parts * (columns * WORD_BYTES + partBytes + WORD_CORRELATION_BYTES),
  };
  const isPinned = plan.engine === 'vole-without-lpn';
  return [ecdh, vole, ...(isPinned ? [withoutLpn] : []), unbalanced];
}

function unbalancedCost({ senderItems, receiverItems, runs }: MatchSizes): EngineCost {
  const foreseen = Math.min(runs, FORESEEN_RUNS_MAX);
  const filter = filterBytes(filterShape(senderItems, receiverItems));
  return {
    engine: ENGINES.unbalanced,
    computeNs:
      BigInt(receiverItems) * LOOK_UP_NS + (BigInt(senderItems) * FILTER_NS) / BigInt(foreseen),
    bytes: receiverItems * 2 * POINT_BYTES + Math.ceil(filter / foreseen),
  };
}

/**
 * The engine that the plan pins, or the one of least compute; a filter only where sizes are far apart
 * and runs repeat.
 * @throws InputError `query-not-supported` where the pinned one cannot answer
 */
export function chosenEngine(
  plan: MatchPlan,
  costs: readonly EngineCost[],
  { senderItems, receiverItems, runs }: MatchSizes,
): MatchEngine {
  const { engine: pinned = 'auto' } = plan;
  const isFilterWorth = runs > 1 && senderItems >= RATIO_MIN * receiverItems;
  const able = costs.filter(({ engine }) =>
    pinned === 'auto' ? engine !== ENGINES.unbalanced || isFilterWorth : engine === ENGINES[pinned],
  );
  const [least] = able.toSorted((a, b) => Number(a.computeNs - b.computeNs));
  if (least !== undefined) return least.engine;
  throw new InputError('query-not-supported', 'The engine of the plan cannot answer it.', {
    rule: `the VOLE engine reveals shared keys of at most ${VOLE_ITEMS_MAX} rows a holder`,
    remedy: 'Leave the engine out, or choose ecdh.',
  });
}
