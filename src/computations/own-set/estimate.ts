/**
 * What a match with an analyst's own set costs and shows, before any row is read. The holder's work
 * alone is charged, by formula over public sizes, never by a clock; L its room for items, M the
 * announced size of the analyst's set:
 *
 *     read  = rowsMax · 2 µs
 *     match = L · 40 µs (hash and blind) + 2 L · 34 µs (probes and their answers) + M · 34 µs (evaluate)
 *             + (3 L + M) · 6 µs (sort)
 *
 * Bytes are what both send: a point for every item of either list, a comparable value for every item
 * of the holder's, and the raised base of the probes.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import { deviationOf } from '../../disclosure/noise-plan.ts';
import { impliedEpsilon } from '../../disclosure/zcdp.ts';
import type { Estimate, NoiseEstimate } from '../computation.ts';
import { roundedUp } from '../secure-sum/expected-error.ts';
import { EVALUATED_BYTES, POINT_BYTES } from '../../../protocols/psi/params.ts';
import { ENGINE, ownSetShapeOf, type OwnSetShape } from './shape.ts';

const READ_NS = 2_000;
const BLIND_NS = 40_000;
const EVALUATE_NS = 34_000;
const SORT_NS = 6_000;
const NS_PER_MS = 1_000_000;

/** @see Computation.estimate */
export function estimateOwnSet(contract: Contract, args: Arguments): Estimate {
  const shape = ownSetShapeOf(contract, args);
  const noise = noiseOf(contract, shape);
  return {
    protocol: 'psi-own-set',
    engine: ENGINE,
    exact: false,
    noise,
    cells: 1,
    lanes: shape.itemsTotal,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMax) as Units,
      'padded-items': BigInt(shape.itemsTotal) as Units,
      bytes: BigInt(sentBytes(shape)) as Units,
      'compute-milli-units': computeMilliUnits(shape) as Units,
      'micro-rho': BigInt(noise?.microRho ?? 0) as Units,
    },
    learns: learnsOf(contract, shape),
  };
}

function computeMilliUnits({ rowsMax, sizes }: OwnSetShape): bigint {
  const { holderItems, analystItems } = sizes;
  const ns =
    rowsMax * READ_NS +
    holderItems * (BLIND_NS + 2 * EVALUATE_NS + 3 * SORT_NS) +
    analystItems * (EVALUATE_NS + SORT_NS);
  return BigInt(Math.ceil(ns / NS_PER_MS));
}

function sentBytes({ itemsTotal, sizes }: OwnSetShape): number {
  return (itemsTotal + 1) * POINT_BYTES + 2 * sizes.holderItems * EVALUATED_BYTES;
}

function noiseOf(contract: Contract, { noise }: OwnSetShape): NoiseEstimate | undefined {
  const terms = contract.disclosure.noise;
  if (terms === undefined) return undefined;
  const { mechanism, microRhoPerRun, deltaExponent } = terms;
  return {
    mechanism,
    microRho: microRhoPerRun,
    epsilon: roundedUp(impliedEpsilon(BigInt(microRhoPerRun), 10 ** -deltaExponent)),
    delta: `1e-${deltaExponent}`,
    deviations: [{ of: 'shared keys', deviation: roundedUp(deviationOf(noise, 1)) }],
  };
}

/** Who learns what. @see protocols/psi/README.md */
function learnsOf(contract: Contract, { holder, sizes }: OwnSetShape): Estimate['learns'] {
  const { analystItems } = sizes;
  const { smallestCell } = contract.disclosure;
  return [
    {
      party: 'gateway',
      zh: '网关只转发分析方与持有方之间端到端加密的消息：它得知两个公开的规模、时间、字节数和公布的加噪数目。',
      en: 'The gateway relays frames sealed between analyst and holder: it learns both public sizes, times, bytes, and the noised number that is released.',
    },
    {
      party: holder,
      zh: `持有方得知共有标识的确切数目（在加噪声与门限之前）以及分析方集合的公开规模 ${analystItems}；不得知是哪些标识。`,
      en: `The holder learns the exact number of shared ids, before noise and threshold, and the public size ${analystItems} of the analyst’s set; not which ids.`,
    },
    {
      party: contract.recipient.id,
      zh: `分析方得知加噪声后的数目，少于 ${smallestCell} 时不公布；不得知是哪些标识，也不得知持有方集合的规模（只知合约中的行数上限）。`,
      en: `The analyst learns the number with noise on it, unless that is below ${smallestCell}; not which ids, and of the size of the holder’s set only the contract’s row cap.`,
    },
  ];
}
