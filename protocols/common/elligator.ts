/**
 * Elligator 2 on curve25519 by u-coordinates, both ways, in plain TypeScript: strings that look
 * random to points and back. The reference of the kernel, and what runs where it does not. Big integers:
 * not constant time, as all of noble is not.
 * @see Bernstein, Hamburg, Krasnova, Lange: Elligator, CCS 2013, §5
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import type { Representatives } from './primitives.ts';

const BYTES = 32;
const P = 2n ** 255n - 19n;
const A = 486662n;
const F = ed25519.Point.Fp;

/** (u, v) of the points of order 2, 4 and 8; the identity is index 0. */
const LOW_ORDER: readonly (readonly [bigint, bigint])[] = lowOrderPoints();

/** @see CurvePrimitive.fromRepresentatives */
export function fromRepresentatives(representatives: Uint8Array): Uint8Array {
  const out = new Uint8Array(representatives.length);
  for (let at = 0; at < out.length; at += BYTES) {
    const r = F.fromBytes(low254(representatives.subarray(at, at + BYTES)));
    // Never zero: −1/2 is no square.
    const first = F.div(F.neg(A), F.add(1n, F.mul(2n, F.sqr(r))));
    const u = isSquare(curve(first)) ? first : F.neg(F.add(first, A));
    out.set(F.toBytes(u), at);
  }
  return out;
}

/** @see CurvePrimitive.toRepresentatives */
export function toRepresentatives(points: Uint8Array, tweaks: Uint8Array): Representatives {
  const strings = new Uint8Array(points.length);
  const found = new Uint8Array(points.length / BYTES);
  for (let i = 0; i < found.length; i++) {
    const tweak = tweaks[i] ?? 0;
    const u = addLowOrder(F.fromBytes(points.subarray(i * BYTES, (i + 1) * BYTES)), tweak & 7);
    const sum = F.add(u, A);
    const [over, under] = (tweak & 8) === 0 ? [sum, u] : [u, sum];
    if (F.is0(over) || F.is0(under)) continue;
    const square = F.neg(F.div(over, F.mul(2n, under)));
    if (!isSquare(square)) continue;
    const root = F.sqrt(square);
    const smaller = root > P / 2n ? F.neg(root) : root;
    const string = F.toBytes(smaller);
    string[BYTES - 1] = (string[BYTES - 1] ?? 0) | (tweak & 0xc0);
    strings.set(string, i * BYTES);
    found[i] = 1;
  }
  return { strings, found };
}

/** The u-coordinate of a point with this one, of either sign, plus a point of low order. */
function addLowOrder(u: bigint, index: number): bigint {
  const low = LOW_ORDER[index - 1];
  if (low === undefined) return u;
  const slope = F.div(F.sub(evenRoot(curve(u)), low[1]), F.sub(u, low[0]));
  return F.sub(F.sub(F.sub(F.sqr(slope), A), u), low[0]);
}

/** u³ + A·u² + u: v² where u is on the curve, no square where it is on the twist. */
function curve(u: bigint): bigint {
  return F.mul(u, F.add(F.mul(u, F.add(u, A)), 1n));
}

/** Of the two roots the one that is even as a number. */
function evenRoot(square: bigint): bigint {
  const root = F.sqrt(square);
  return root % 2n === 0n ? root : F.neg(root);
}

function isSquare(value: bigint): boolean {
  return F.pow(value, (P - 1n) / 2n) !== P - 1n;
}

/** The number in the lower 254 bits. */
function low254(bytes: Uint8Array): Uint8Array {
  const part = bytes.slice();
  part[BYTES - 1] = (part[BYTES - 1] ?? 0) & 0x3f;
  return part;
}

function lowOrderPoints(): [bigint, bigint][] {
  const us = [
    325606250916557431795983626356110631294008115727848805560023387167927233504n,
    1n,
    39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  ];
  const points = us.map((u): [bigint, bigint] => [u, evenRoot(curve(u))]);
  return [...points, [0n, 0n], ...points.map(([u, v]): [bigint, bigint] => [u, F.neg(v)])];
}
