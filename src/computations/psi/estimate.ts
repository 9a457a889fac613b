/**
 * What a match costs and shows, before any row is read. Compute units by formula, never by a
 * clock, over public buckets; 1000 milli-units are one second of one core:
 *
 *     read  = Σ over holders of rowsMax · key columns · 2 µs
 *     sum   = ⌈bucket(sender's rowsMax) / 8192⌉ · 60 ms, where values are summed
 *     group = (⌈bucket(sender's rowsMax) / 8192⌉ · 4 ms + 36 ms) · groups, where by groups besides
 *     match = Σ over holders of bucket(rowsMax) · (40 µs hash and blind + 34 µs evaluate + 6 µs sort)
 *
 * Bytes are what both send: a point for every item of either, a comparable value for every item of
 * the receiver's, and the sum's ciphertexts; by groups a byte more either way for every item of the
 * receiver's, and a ciphertext back for each group.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import type { Estimate } from '../computation.ts';
import { EVALUATED_BYTES, POINT_BYTES } from '../../../protocols/psi/params.ts';
import { SUM_CIPHERTEXT_BYTES, sumCiphertextCount } from '../../../protocols/psi/sum.ts';
import { matchError } from './expected-error.ts';
import { matchLearns } from './learns.ts';
import { ENGINE, matchShapeOf, type MatchShape } from './shape.ts';

const READ_NS = 2_000n;
const MATCH_NS = 80_000n;
const SUM_NS = 60_000_000n;
const PRODUCT_NS = 4_000_000n;
const ANSWER_NS = 36_000_000n;
const NS_PER_MS = 1_000_000n;

/** @see Computation.estimate */
export function estimatePsi(contract: Contract, args: Arguments): Estimate {
  const shape = matchShapeOf(contract, args);
  return {
    protocol: 'psi',
    engine: ENGINE,
    exact: shape.noise === undefined,
    noise: matchError(shape),
    cells: shape.cells,
    lanes: shape.itemsMaxTotal,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMaxTotal) as Units,
      'padded-items': BigInt(shape.itemsMaxTotal) as Units,
      bytes: BigInt(sentBytes(shape)) as Units,
      'compute-milli-units': computeMilliUnits(shape) as Units,
      'micro-rho': BigInt(shape.noise?.terms.microRhoPerRun ?? 0) as Units,
    },
    learns: matchLearns(contract, shape),
  };
}

function computeMilliUnits(shape: MatchShape): bigint {
  const read = BigInt(shape.rowsMaxTotal) * BigInt(shape.plan.key.length) * READ_NS;
  const ciphertexts = ciphertextsOf(shape);
  const isGrouped = shape.groups !== undefined && ciphertexts > 0;
  const groups = isGrouped
    ? BigInt(shape.cells) * (BigInt(ciphertexts) * PRODUCT_NS + ANSWER_NS)
    : 0n;
  const ns = read + BigInt(shape.itemsMaxTotal) * MATCH_NS + BigInt(ciphertexts) * SUM_NS + groups;
  return (ns + NS_PER_MS - 1n) / NS_PER_MS;
}

function sentBytes(shape: MatchShape): number {
  const isGrouped = shape.groups !== undefined;
  const received = shape.itemsMax.get(shape.receiver) ?? 0;
  const compared = received * EVALUATED_BYTES;
  const points = shape.itemsMaxTotal * POINT_BYTES;
  const tags = isGrouped ? 2 * received : 0;
  const ciphertexts = ciphertextsOf(shape);
  const answers = isGrouped && ciphertexts > 0 ? shape.cells : 0;
  return points + compared + tags + (ciphertexts + answers) * SUM_CIPHERTEXT_BYTES;
}

function ciphertextsOf(shape: MatchShape): number {
  return shape.sumBounds === undefined
    ? 0
    : sumCiphertextCount(shape.itemsMax.get(shape.sender) ?? 0);
}
