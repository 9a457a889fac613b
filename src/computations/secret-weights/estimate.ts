/**
 * What a weighted sum costs and shows, before any row is read. Compute units by formula, never by a
 * clock; 1000 milli-units are one second of one core:
 *
 *     scan and count as in `counting-cost.ts`
 *     weigh = holders · (residues · 500 ms + ciphertexts · (50 ms + (holders − 1) · 2 ms))
 *     add   = holders · ciphertexts · 2 ms
 *
 * A thread that has not met a residue before works out its tables first: the 500 ms.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import { deviationOf } from '../../disclosure/noise-plan.ts';
import type { Estimate, NoiseEstimate } from '../computation.ts';
import { countingNs, milliUnitsOf } from '../counting-cost.ts';
import { expectedError, roundedUp } from '../secure-sum/expected-error.ts';
import { objectionsLearned } from '../secure-sum/objections.ts';
import { weightedShapeOf, type WeightedShape } from './shape.ts';

/** The engine a descriptor names: a change of the protocol's bytes changes it. */
export const ENGINE = 'secret-weights/1';

const TABLES_NS = 500_000_000n;
const WEIGH_NS = 50_000_000n;
const SHARE_NS = 2_000_000n;
const ADD_NS = 2_000_000n;
const LANE_BYTES = 8n;

const COUNTS = {
  zh: '数据方获知每个单元格的总行数、各列非空值总数和贡献方数目；不获知权重、任何合计值，也不获知其他方各自的数值。',
  en: "This holder learns every cell's total rows, total non-null values and number of contributing holders; it learns no weight, no sum and no other holder's own values.",
};
const COUNTS_NOISED = {
  zh: '数据方获知每个单元格加噪后的总行数和各列非空值总数；不获知权重、未加噪的值、任何合计值，也不获知其他方各自的数值。',
  en: "This holder learns every cell's noised total rows and non-null values; no weight, nothing without noise, no sum, and no other holder's own values.",
};

/** @see Computation.estimate */
export function estimateSecretWeights(contract: Contract, args: Arguments): Estimate {
  const shape = weightedShapeOf(contract, args);
  const noise = weightedError(contract, shape);
  const parties = BigInt(contract.holders.length);
  // What the domains send, and what each of them is sent before.
  const bytes = parties * (BigInt(shape.lanes) * LANE_BYTES + BigInt(shape.attachmentSizeBytes));
  return {
    protocol: 'secret-weights',
    engine: ENGINE,
    exact: noise === undefined,
    noise,
    cells: shape.base.cells,
    lanes: shape.lanes,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.base.rowsMaxTotal) as Units,
      bytes: bytes as Units,
      'compute-milli-units': computeMilliUnits(shape, parties) as Units,
      'micro-rho': BigInt(noise?.microRho ?? 0) as Units,
    },
    learns: [...learns(contract), ...objectionsLearned(contract)],
  };
}

/** Of the cells, as they are charged; and of each weighted sum, if every weight were the largest. */
function weightedError(contract: Contract, shape: WeightedShape): NoiseEstimate | undefined {
  const { base, weights, outputs, weightScale } = shape;
  const cells = expectedError(contract, base);
  if (cells === undefined || base.noise === undefined) return cells;
  const { rows, columns } = base.noise;
  const largest = Number(weights.weightMax) / 10 ** weightScale;
  const sums = outputs.map(({ as, map, scale }) => {
    const vector = map === 0 ? rows : (columns[map - 1]?.sum ?? rows);
    const perCell = deviationOf(vector, contract.holders.length) / 10 ** (scale - weightScale);
    const deviation = roundedUp(perCell * largest * Math.sqrt(weights.perOutput));
    return { of: `${as} weighted, if every weight were the largest`, deviation };
  });
  return { ...cells, deviations: [...cells.deviations, ...sums] };
}

function computeMilliUnits({ base, places, residues }: WeightedShape, parties: bigint): bigint {
  const ciphertexts = BigInt(places.length);
  const weighing =
    parties * BigInt(residues) * TABLES_NS +
    parties * ciphertexts * (WEIGH_NS + (parties - 1n) * SHARE_NS + ADD_NS);
  return milliUnitsOf(countingNs(base, parties) + weighing);
}

function learns(contract: Contract): Estimate['learns'] {
  const isNoised = contract.disclosure.noise !== undefined;
  return [
    {
      party: 'gateway',
      zh: '网关只转交密文权重并做密文相加，不持有任何密钥：它不获知权重、任何合计值，也不获知哪些单元格被抑制。',
      en: 'The gateway hands encrypted weights on and adds ciphertexts, and holds no key: it learns no weight, no total, and not which cells are suppressed.',
    },
    ...contract.holders.map(({ id }) => ({ party: id, ...(isNoised ? COUNTS_NOISED : COUNTS) })),
    {
      party: contract.recipient.id,
      zh: `接收方获知可发布单元格的${isNoised ? '加噪' : ''}加权合计，以及计入了哪些单元格；它可以选择权重取出任一可发布单元格，因此按公布全部可发布单元格计费和控制；它不获知被抑制的单元格，也不获知任何一方的数值。`,
      en: `The recipient learns ${isNoised ? 'noised ' : ''}weighted sums of cells that may be released, and which were counted; weights can single out any of them, so this is controlled and charged as releasing every cell that may be released; it learns no suppressed cell and no single holder’s values.`,
    },
  ];
}
