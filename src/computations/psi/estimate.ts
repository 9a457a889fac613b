/**
 * What a match costs and shows, before any row is read. Compute units by formula, never by a
 * clock, over public buckets; 1000 milli-units are one second of one core:
 *
 *     read  = Σ over holders of rowsMax · key columns · 2 µs
 *     sum   = ⌈bucket(sender's rowsMax) / 8192⌉ · 60 ms, where values are summed
 *     match = Σ over holders of bucket(rowsMax) · (40 µs hash and blind + 34 µs evaluate + 6 µs sort)
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import type { Estimate } from '../computation.ts';
import { sumCiphertextCount } from '../../../protocols/psi/sum.ts';
import { matchError } from './expected-error.ts';
import { matchLearns } from './learns.ts';
import { ENGINE, matchShapeOf, type MatchShape } from './shape.ts';

const READ_NS = 2_000n;
const MATCH_NS = 80_000n;
const SUM_NS = 60_000_000n;
const NS_PER_MS = 1_000_000n;

/** @see Computation.estimate */
export function estimatePsi(contract: Contract, args: Arguments): Estimate {
  const shape = matchShapeOf(contract, args);
  return {
    protocol: 'psi',
    engine: ENGINE,
    exact: shape.noise === undefined,
    noise: matchError(shape),
    cells: 1,
    lanes: shape.itemsMaxTotal,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMaxTotal) as Units,
      'compute-milli-units': computeMilliUnits(shape) as Units,
      'micro-rho': BigInt(shape.noise?.terms.microRhoPerRun ?? 0) as Units,
    },
    learns: matchLearns(contract, shape),
  };
}

function computeMilliUnits(shape: MatchShape): bigint {
  const read = BigInt(shape.rowsMaxTotal) * BigInt(shape.plan.key.length) * READ_NS;
  const ciphertexts =
    shape.sumBounds === undefined ? 0 : sumCiphertextCount(shape.itemsMax.get(shape.sender) ?? 0);
  const ns = read + BigInt(shape.itemsMaxTotal) * MATCH_NS + BigInt(ciphertexts) * SUM_NS;
  return (ns + NS_PER_MS - 1n) / NS_PER_MS;
}
