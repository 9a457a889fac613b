/**
 * Probes: points whose answer the receiver of a cardinality can work out by itself, so that a
 * hostile sender cannot answer for some of its points only.
 *
 * Without them a sender may leave most of the receiver's points unanswered and answer one of them
 * many times, under as many secrets, with as many of its own points to match: then one item counts
 * many times, and no noise of a fixed width hides it. A probe is β·P, P fixed by the run's context
 * and β the receiver's secret. The sender tells Q = s·P; the probe's answer must be β·Q. A sender
 * cannot tell probes from items (DDH), so where half of all points are probes, leaving out d points
 * goes unnoticed with probability at most 2^−d, and an item counts 1 + d times no more often.
 */
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { lengthPrefixed } from '../common/bytes.ts';
import { SECRET_BYTES } from './blind.ts';
import { ELEMENT_BYTES, probeBaseElement } from './element.ts';
import { HASH_TAG, POINT_BYTES } from './params.ts';

export const PROBE_SEED_BYTES = 32;

/** Where the scalars are applied: at the run's own base, or at what the sender made of it. */
export type ProbeOrigin =
  | { readonly kind: 'base'; readonly context: Uint8Array }
  | { readonly kind: 'raised'; readonly point: Uint8Array };

/** A stretch of a run's probes. */
export interface ProbeRange {
  readonly origin: ProbeOrigin;
  /** `PROBE_SEED_BYTES`, drawn for the run. Secret: whoever has it tells probes from items. */
  readonly seed: Uint8Array;
  readonly first: number;
  readonly count: number;
}

/** @see probePoints */
export type ProbeEngine = (range: ProbeRange) => Promise<Uint8Array>;

/**
 * Probes `first` to `first + count − 1`, or the answers due to them.
 * @returns count × `POINT_BYTES`.
 * @throws ProtocolError `point-invalid` where the raised base is not an acceptable point
 * Cost: one scalar multiplication each.
 */
export function probePoints(
  { curve, hash }: Pick<Primitives, 'curve' | 'hash'>,
  { origin, seed, first, count }: ProbeRange,
): Uint8Array {
  const base =
    origin.kind === 'raised'
      ? origin.point
      : curve.hashToCurve(HASH_TAG, probeBaseElement(origin.context), ELEMENT_BYTES, 1);
  if (base.length !== POINT_BYTES || seed.length !== PROBE_SEED_BYTES) {
    throw new ProtocolError('length-wrong', 'a probe’s base or seed does not have its length');
  }
  curve.requirePoints(base);
  const scalars = new Uint8Array(count * SECRET_BYTES);
  const index = new Uint8Array(4);
  for (let i = 0; i < count; i++) {
    new DataView(index.buffer).setUint32(0, first + i);
    const digest = hash.sha512(lengthPrefixed(['weir/psi/probe/v1', seed, index]));
    scalars.set(digest.subarray(0, SECRET_BYTES), i * SECRET_BYTES);
  }
  const probes = curve.multiplyOne(scalars, base);
  scalars.fill(0);
  return probes;
}
