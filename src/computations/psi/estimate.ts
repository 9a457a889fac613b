/**
 * What a match costs and shows, before any row is read. Compute units by formula, never by a
 * clock, over public buckets; 1000 milli-units are one second of one core:
 *
 *     read  = Σ over holders of rowsMax · key columns · 2 µs
 *     sum   = ⌈bucket(sender's rowsMax) / 8192⌉ · 60 ms, where values are summed
 *     group = (⌈bucket(sender's rowsMax) / 8192⌉ · 4 ms + 36 ms) · groups, where by groups besides
 *     match = by the engine: see `engine.ts`
 *
 * Bytes are what both send: by the engine, and the sum's ciphertexts; by groups a byte more either
 * way for every item of the receiver's, and a ciphertext back for each group.
 */
import type { Contract } from '../../contracts/contract.ts';
import type { Arguments } from '../../contracts/plan.ts';
import type { Units } from '../../contracts/units.ts';
import { assertInvariant } from '../../errors.ts';
import type { Estimate } from '../computation.ts';
import { SUM_CIPHERTEXT_BYTES, sumCiphertextCount } from '../../../protocols/psi/sum.ts';
import { matchError } from './expected-error.ts';
import { matchLearns } from './learns.ts';
import { ENGINES, type EngineCost } from './engine.ts';
import { matchShapeOf, type MatchShape } from './shape.ts';

const READ_NS = 2_000n;
const SUM_NS = 60_000_000n;
const PRODUCT_NS = 4_000_000n;
const ANSWER_NS = 36_000_000n;
const NS_PER_MS = 1_000_000n;

/** @see Computation.estimate */
export function estimatePsi(contract: Contract, args: Arguments): Estimate {
  const shape = matchShapeOf(contract, args);
  const cost = shape.engineCosts.find(({ engine }) => engine === shape.engine);
  assertInvariant(cost !== undefined, 'an engine is chosen among those that have a cost');
  return {
    protocol: 'psi',
    engine: shape.engine,
    engines: shape.engineCosts.map((cost) => ({
      engine: cost.engine,
      computeMilliUnits: milliUnits(computeNs(shape, cost)),
      bytes: BigInt(sentBytes(shape, cost)),
    })),
    exact: shape.noise === undefined,
    noise: matchError(shape),
    cells: shape.cells,
    lanes: shape.itemsMaxTotal,
    units: {
      runs: 1n as Units,
      rows: BigInt(shape.rowsMaxTotal) as Units,
      'padded-items': BigInt(paddedItems(shape)) as Units,
      bytes: BigInt(sentBytes(shape, cost)) as Units,
      'compute-milli-units': milliUnits(computeNs(shape, cost)) as Units,
      'micro-rho': BigInt(shape.noise?.terms.microRhoPerRun ?? 0) as Units,
    },
    learns: matchLearns(contract, shape),
  };
}

/** What travels of both; over a kept filter what the sender evaluates: all that can be asked of it. */
function paddedItems(shape: MatchShape): number {
  if (shape.engine !== ENGINES.unbalanced) return shape.itemsMaxTotal;
  return shape.itemsMax.get(shape.receiver) ?? 0;
}

function computeNs(shape: MatchShape, cost: EngineCost): bigint {
  const read = BigInt(shape.rowsMaxTotal) * BigInt(shape.plan.key.length) * READ_NS;
  const ciphertexts = ciphertextsOf(shape);
  const isGrouped = shape.groups !== undefined && ciphertexts > 0;
  const groups = isGrouped
    ? BigInt(shape.cells) * (BigInt(ciphertexts) * PRODUCT_NS + ANSWER_NS)
    : 0n;
  return read + cost.computeNs + BigInt(ciphertexts) * SUM_NS + groups;
}

function milliUnits(ns: bigint): bigint {
  return (ns + NS_PER_MS - 1n) / NS_PER_MS;
}

function sentBytes(shape: MatchShape, cost: EngineCost): number {
  const isGrouped = shape.groups !== undefined;
  const tags = isGrouped ? 2 * (shape.itemsMax.get(shape.receiver) ?? 0) : 0;
  const ciphertexts = ciphertextsOf(shape);
  const answers = isGrouped && ciphertexts > 0 ? shape.cells : 0;
  return cost.bytes + tags + (ciphertexts + answers) * SUM_CIPHERTEXT_BYTES;
}

function ciphertextsOf(shape: MatchShape): number {
  return shape.sumBounds === undefined
    ? 0
    : sumCiphertextCount(shape.itemsMax.get(shape.sender) ?? 0);
}
