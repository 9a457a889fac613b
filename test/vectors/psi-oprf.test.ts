/**
 * Known answers of the oblivious function behind the unbalanced match, and the same worked out on
 * the Edwards form of the curve, by scalars mod the order: without X25519 and its clamping.
 */
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { ed25519, ed25519_hasher } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { nobleCurve } from '../../protocols/common/noble-curve.ts';
import { blindElements } from '../../protocols/psi/blind.ts';
import { HASH_TAG } from '../../protocols/psi/params.ts';
import {
  blindingPair,
  deriveOutputs,
  evaluateBlinded,
  finalizeOutputs,
} from '../../protocols/psi/unbalanced/oprf.ts';
import { curvesHere } from '../support/curves.ts';
import { nativePrimitives } from '../../workers/native-primitives.ts';

type Name = 'element' | 'key' | 'blind' | 'mask' | 'inverse' | 'blinded' | 'evaluated' | 'output';
const { vectors } = JSON.parse(readFileSync(new URL('psi-oprf.json', import.meta.url), 'utf8')) as {
  vectors: readonly Record<Name, string>[];
};
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe.each([nobleCurve, ...curvesHere])('by $engine', (curve) => {
  const primitives = { curve, hash: nativePrimitives.hash };

  it.each(vectors)('blinds, evaluates and finalizes to the known answer ($output)', (vector) => {
    const drawn = [unhex(vector.blind), unhex(vector.mask)];
    const pair = blindingPair(() => drawn.shift() ?? new Uint8Array(0));
    expect([hex(pair.secret), hex(pair.inverse)]).toEqual([vector.blind, vector.inverse]);
    const blinded = blindElements(curve, unhex(vector.element), pair.secret);
    expect(hex(blinded)).toBe(vector.blinded);
    const evaluated = evaluateBlinded(curve, blinded, unhex(vector.key));
    expect(hex(evaluated)).toBe(vector.evaluated);
    expect(hex(finalizeOutputs(primitives, evaluated, pair.inverse))).toBe(vector.output);
    expect(hex(deriveOutputs(primitives, unhex(vector.element), unhex(vector.key)))).toBe(
      vector.output,
    );
  });
});

describe('on the Edwards form', () => {
  const scalarOf = (text: string): bigint => BigInt(`0x${hex(unhex(text).toReversed())}`);
  const order = ed25519.Point.Fn.ORDER;

  it.each(vectors)('it is the same ($output)', (vector) => {
    const point = ed25519_hasher.hashToCurve(unhex(vector.element), { DST: HASH_TAG });
    const times = (scalar: bigint): string =>
      hex(ed25519.utils.toMontgomery(point.multiply(scalar % order).toBytes()));
    const [key, blind] = [scalarOf(vector.key), scalarOf(vector.blind)];
    expect(times(blind)).toBe(vector.blinded);
    expect(times(blind * key)).toBe(vector.evaluated);
    const product = (blind * scalarOf(vector.inverse)) % order;
    expect([1n, order - 1n]).toContain(product);
    const digest = createHash('sha256')
      .update('weir-psi-oprf-v1')
      .update(unhex(times(key)));
    expect(hex(digest.digest().subarray(0, 12))).toBe(vector.output);
  });
});
