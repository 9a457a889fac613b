/**
 * GF(p) for the Mersenne prime p = 2^61 − 1, without BigInt: an element is a pair of 32-bit words
 * (low, high < 2^29). The WASM kernel is the fast path; this is its oracle and the portable path.
 *
 * Products use limbs of 21, 21 and 19 bits: each sum of limb products stays below 2^53, where
 * doubles are exact, and 2^61 ≡ 1 folds the upper half.
 */
import { viewOf } from './bytes.ts';

/** The high word of p; the low one is all ones. */
export const FIELD_HIGH_MAX = 0x1fff_ffff;
const LIMB = 2 ** 21;
const TOP_LIMB = 2 ** 19;
const WORD = 2 ** 32;

/** Low and high word of an element, both unsigned. */
export interface Element {
  readonly low: number;
  readonly high: number;
}

/** True where every 8-byte lane is below p: the only form a message may carry. */
export function isCanonicalField(lanes: Uint8Array): boolean {
  const view = viewOf(lanes);
  for (let at = 0; at < lanes.length; at += 8) {
    const high = view.getUint32(at + 4, true);
    if (high > FIELD_HIGH_MAX) return false;
    if (high === FIELD_HIGH_MAX && view.getUint32(at, true) === 0xffff_ffff) return false;
  }
  return true;
}

/** a + b mod p. */
export function addField(a: Element, b: Element): Element {
  const low = a.low + b.low;
  return canonical(low % WORD, a.high + b.high + (low >= WORD ? 1 : 0));
}

/** −a mod p. */
export function negateField(a: Element): Element {
  if (a.low === 0 && a.high === 0) return a;
  return { low: 0xffff_ffff - a.low, high: FIELD_HIGH_MAX - a.high };
}

/** a · b mod p. */
export function multiplyField(a: Element, b: Element): Element {
  const [a0, a1, a2] = limbs(a);
  const [b0, b1, b2] = limbs(b);
  const p0 = a0 * b0;
  const p1 = a0 * b1 + a1 * b0;
  const p2 = a0 * b2 + a1 * b1 + a2 * b0;
  const p3 = a1 * b2 + a2 * b1;
  const p4 = a2 * b2;
  // 2^63 = 4 · 2^61 ≡ 4, and 2^84 ≡ 4 · 2^21.
  return fromLimbs(p0 + 4 * p3, p1 + 4 * p4, p2);
}

/** A 128-bit little-endian word mod p, from its four 32-bit words, low first. */
export function reduceWord(w0: number, w1: number, w2: number, w3: number): Element {
  // 2^64 ≡ 8: the upper half counts eight times; 2^128 bits fold into limbs of 21.
  const low = limbsOf64(w0, w1);
  const high = limbsOf64(w2, w3);
  return fromLimbs(low[0] + 8 * high[0], low[1] + 8 * high[1], low[2] + 8 * high[2]);
}

/** Brings a sum of two elements, below 2^62, under p. */
function canonical(low: number, high: number): Element {
  if (high < FIELD_HIGH_MAX || (high === FIELD_HIGH_MAX && low < 0xffff_ffff)) {
    return { low, high };
  }
  // Subtracting p is adding 1 and dropping bit 61.
  const next = low + 1;
  return { low: next % WORD, high: (high + (next >= WORD ? 1 : 0)) % (FIELD_HIGH_MAX + 1) };
}

function limbs(a: Element): [number, number, number] {
  return limbsOf64(a.low, a.high);
}

/** 21, 21 and up to 22 bits of a 64-bit word. */
function limbsOf64(low: number, high: number): [number, number, number] {
  return [low & 0x1f_ffff, ((low >>> 21) | ((high & 0x3ff) << 11)) >>> 0, high >>> 10];
}

/** Carries limbs (each below 2^52) into canonical form. */
function fromLimbs(r0: number, r1: number, r2: number): Element {
  let [l0, l1, l2] = [r0, r1, r2];
  // Three rounds: 2^52 limbs shrink to below 2^34 above the top, then to one bit, then to none.
  for (let round = 0; round < 3; round++) {
    const c0 = Math.floor(l0 / LIMB);
    l0 -= c0 * LIMB;
    l1 += c0;
    const c1 = Math.floor(l1 / LIMB);
    l1 -= c1 * LIMB;
    l2 += c1;
    const c2 = Math.floor(l2 / TOP_LIMB);
    l2 -= c2 * TOP_LIMB;
    l0 += c2;
  }
  const low = (l0 | ((l1 & 0x7ff) << 21)) >>> 0;
  const high = ((l1 >>> 11) | (l2 << 10)) >>> 0;
  return canonical(low, high);
}
