/**
 * What a sealed sum costs and shows, before any row is read. Compute units by formula, never by a
 * clock; 1000 milli-units are one second of one core:
 *
 *     scan and count as in `counting-cost.ts`
 *     seal  = holders · ciphertexts · (1 ms + (holders − 1) · 30 µs)
 *     add   = holders · ciphertexts · 50 µs
 *
 * Bytes are what the holders send: holders · lanes · 8.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import type { Estimate } from '../computation.ts';
import { countingNs, milliUnitsOf } from '../counting-cost.ts';
import { expectedError } from '../secure-sum/expected-error.ts';
import { objectionsLearned } from '../secure-sum/objections.ts';
import { sealedShapeOf, type SealedShape } from './shape.ts';

/** The engine a descriptor names: a change of the protocol's bytes changes it. */
export const ENGINE = 'sealed-sum/2';

const SEAL_NS = 1_000_000n;
const MASK_NS = 30_000n;
const ADD_NS = 50_000n;
const LANE_BYTES = 8n;

const COUNTS = {
  zh: '数据方获知每个单元格的总行数、各列非空值总数和贡献方数目；不获知任何合计值，也不获知其他方各自的数值。',
  en: "This holder learns every cell's total rows, total non-null values and number of contributing holders; it learns no sum and no other holder's own values.",
};
const COUNTS_NOISED = {
  zh: '数据方获知每个单元格加噪后的总行数和各列非空值总数；不获知未加噪的值、任何合计值，也不获知其他方各自的数值。',
  en: "This holder learns every cell's noised total rows and non-null values; nothing without noise, no sum, and no other holder's own values.",
};

/** @see Computation.estimate */
export function estimateSealedSum(contract: Contract, args: Arguments): Estimate {
  const shape = sealedShapeOf(contract, args);
  const noise = expectedError(contract, shape.base);
  return {
    protocol: 'sealed-sum',
    engine: ENGINE,
    exact: noise === undefined,
    noise,
    cells: shape.base.cells,
    lanes: shape.lanes,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.base.rowsMaxTotal) as Units,
      bytes: (BigInt(contract.holders.length) * BigInt(shape.lanes) * LANE_BYTES) as Units,
      'compute-milli-units': computeMilliUnits(shape, contract.holders.length) as Units,
      'micro-rho': BigInt(noise?.microRho ?? 0) as Units,
    },
    learns: [...learns(contract), ...objectionsLearned(contract)],
  };
}

function computeMilliUnits(shape: SealedShape, holders: number): bigint {
  const parties = BigInt(holders);
  const ciphertexts = BigInt(shape.ciphertexts);
  const sealing = parties * ciphertexts * (SEAL_NS + (parties - 1n) * MASK_NS + ADD_NS);
  return milliUnitsOf(countingNs(shape.base, parties) + sealing);
}

function learns(contract: Contract): Estimate['learns'] {
  const isNoised = contract.disclosure.noise !== undefined;
  return [
    {
      party: 'gateway',
      zh: '网关只做密文相加，不持有任何密钥：它不获知任何合计值，也不获知哪些单元格被抑制。',
      en: 'The gateway adds ciphertexts and holds no key: it learns no total, and not which cells are suppressed.',
    },
    ...contract.holders.map(({ id }) => ({ party: id, ...(isNoised ? COUNTS_NOISED : COUNTS) })),
    {
      party: contract.recipient.id,
      zh: `只有接收方能用自己的私钥打开可发布单元格的${isNoised ? '加噪' : ''}合计值；它不获知被抑制的单元格，也不获知任何一方的数值。`,
      en: `Only the recipient opens the ${isNoised ? 'noised ' : ''}totals, with its own secret key, and only of cells that may be released; it learns no suppressed cell and no single holder’s values.`,
    },
  ];
}
