/**
 * What a secure sum costs and shows, before any row is read.
 *
 * Compute units by formula, never by a clock, so that a run costs the same on any machine:
 *
 *     scan  = Σ over holders of rowsMax · (1 + measured columns) · 20 ns
 *     mask  = holders · neighbours · lanes · 8 bytes · 0.5 ns
 *     add   = holders · lanes · 8 bytes · 0.25 ns
 *     milli-units = ⌈(scan + mask + add) / 1 ms⌉, at least 1
 *
 * where lanes are the 64-bit lanes a holder sends in both rounds, and neighbours how many holders each
 * one shares a mask with (all others up to 64 holders). 1000 milli-units are one second
 * of one core. Bytes are what the holders send: holders · lanes · 8.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import type { Estimate } from '../computation.ts';
import { degreeOf } from '../../../protocols/secure-sum/neighbours.ts';
import { expectedError } from './expected-error.ts';
import { objectionsLearned } from './objections.ts';
import { shapeOf, type Shape } from './shape.ts';

/** The engine a descriptor names: a change of the protocol's bytes changes it. */
export const ENGINE = 'secure-sum/1';

const SCAN_PS_PER_VALUE = 20_000n;
const MASK_PS_PER_BYTE = 500n;
const ADD_PS_PER_BYTE = 250n;
const PS_PER_MS = 1_000_000_000n;
const LANE_BYTES = 8n;

/** @see Computation.estimate */
export function estimateSecureSum(contract: Contract, args: Arguments): Estimate {
  const shape = shapeOf(contract, args);
  const noise = expectedError(contract, shape);
  return {
    protocol: 'secure-sum',
    engine: ENGINE,
    exact: noise === undefined,
    noise,
    cells: shape.cells,
    lanes: shape.lanes,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMaxTotal) as Units,
      bytes: (BigInt(contract.holders.length) * BigInt(shape.lanes) * LANE_BYTES) as Units,
      'compute-milli-units': computeMilliUnits(shape, contract.holders.length) as Units,
      'micro-rho': BigInt(noise?.microRho ?? 0) as Units,
    },
    learns: [...learns(contract), ...objectionsLearned(contract)],
  };
}

function computeMilliUnits(shape: Shape, holders: number): bigint {
  const parties = BigInt(holders);
  const bytes = BigInt(shape.lanes) * LANE_BYTES;
  const values = BigInt(shape.rowsMaxTotal) * BigInt(1 + shape.columns.length);
  const ps =
    values * SCAN_PS_PER_VALUE +
    parties * BigInt(degreeOf(holders)) * bytes * MASK_PS_PER_BYTE +
    parties * bytes * ADD_PS_PER_BYTE;
  const milli = (ps + PS_PER_MS - 1n) / PS_PER_MS;
  return milli > 0n ? milli : 1n;
}

/** Every count that anyone opens is noised by all domains together, and so is every sum. */
function learnsNoised(contract: Contract): Estimate['learns'] {
  const { smallestCell } = contract.disclosure;
  return [
    {
      party: 'gateway',
      zh: `网关获知可发布单元格的加噪合计值；加噪后少于 ${smallestCell} 行的单元格，它只知其被抑制。`,
      en: `The gateway learns noised totals of cells that may be released; of cells under ${smallestCell} rows after noise it learns only that they are suppressed.`,
    },
    ...contract.holders.map(({ id }) => ({
      party: id,
      zh: '数据方获知每个单元格加噪后的总行数和各列非空值总数；不获知未加噪的值，也不获知其他方各自的数值。',
      en: "This holder learns every cell's noised total rows and non-null values; nothing without noise, and no other holder's own values.",
    })),
    {
      party: contract.recipient.id,
      zh: '接收方获知可发布单元格的加噪结果和被抑制单元格的数目。',
      en: 'The recipient learns the noised results of the cells that may be released, and how many were suppressed.',
    },
  ];
}

function learns(contract: Contract): Estimate['learns'] {
  const { smallestCell, smallestContributors, noise } = contract.disclosure;
  if (noise !== undefined) return learnsNoised(contract);
  const recipient = contract.recipient.id;
  return [
    {
      party: 'gateway',
      zh: `网关获知可发布单元格的合计值；少于 ${smallestCell} 行或少于 ${smallestContributors} 方贡献的单元格，它只知其被抑制。`,
      en: `The gateway learns the totals of cells that may be released; of cells under ${smallestCell} rows or ${smallestContributors} contributing holders it learns only that they are suppressed.`,
    },
    ...contract.holders.map(({ id }) => ({
      party: id,
      zh: '数据方获知每个单元格的总行数、各列非空值总数和贡献方数目；不获知其他方各自的数值。',
      en: "This holder learns every cell's total rows, total non-null values and number of contributing holders; it learns no other holder's own values.",
    })),
    {
      party: recipient,
      zh: '接收方获知可发布单元格的结果和被抑制单元格的数目。',
      en: 'The recipient learns the results of the cells that may be released, and how many were suppressed.',
    },
  ];
}
