// GF(2^255 − 19), two elements at once in the two lanes of f64x2. AssemblyScript, see ../curve25519.ts.
//
// An element is 12 vectors (192 bytes). Limb k holds a multiple of 2^⌈21.25·k⌉ as a double, so no
// limb ever needs a shift. Limbs are balanced: with widths of 22, 21, 21, 21 bits repeating, a
// carried limb is at most half its width, so at most 2^21 units (limbs 1 and 7 may exceed that by a
// single late carry). One sum or difference of two carried elements may go straight into
// `multiply` or `square`: 12 products of at most 2^22 · 2^22 units, the factor 19 of the wrap and one
// bit of slack in the exponents stay below 2^53, so every product and every sum is exact. Exactness
// is also why fused and unfused relaxed multiply-adds agree on every machine.

export const ELEMENT_BYTES: usize = 192;

/** 19 · 2^−255: what turns a limb of weight 2^255 or more back into the field. */
const WRAP: u64 = 0x3043000000000000;

const LOW_MASK_22: u64 = 0x3fffff;
const LOW_MASK_21: u64 = 0x1fffff;

/** target = left · right */
export function multiply(target: usize, left: usize, right: usize): void {
  const wrap = v128.splat<f64>(reinterpret<f64>(WRAP));
  const a0 = v128.load(left, 0);
  const a1 = v128.load(left, 16);
  const a2 = v128.load(left, 32);
  const a3 = v128.load(left, 48);
  const a4 = v128.load(left, 64);
  const a5 = v128.load(left, 80);
  const a6 = v128.load(left, 96);
  const a7 = v128.load(left, 112);
  const a8 = v128.load(left, 128);
  const a9 = v128.load(left, 144);
  const a10 = v128.load(left, 160);
  const a11 = v128.load(left, 176);
  const b0 = v128.load(right, 0);
  const b1 = v128.load(right, 16);
  const b2 = v128.load(right, 32);
  const b3 = v128.load(right, 48);
  const b4 = v128.load(right, 64);
  const b5 = v128.load(right, 80);
  const b6 = v128.load(right, 96);
  const b7 = v128.load(right, 112);
  const b8 = v128.load(right, 128);
  const b9 = v128.load(right, 144);
  const b10 = v128.load(right, 160);
  const b11 = v128.load(right, 176);
  const w1 = f64x2.mul(b1, wrap);
  const w2 = f64x2.mul(b2, wrap);
  const w3 = f64x2.mul(b3, wrap);
  const w4 = f64x2.mul(b4, wrap);
  const w5 = f64x2.mul(b5, wrap);
  const w6 = f64x2.mul(b6, wrap);
  const w7 = f64x2.mul(b7, wrap);
  const w8 = f64x2.mul(b8, wrap);
  const w9 = f64x2.mul(b9, wrap);
  const w10 = f64x2.mul(b10, wrap);
  const w11 = f64x2.mul(b11, wrap);
  let r0 = dot6(a0, b0, a1, w11, a2, w10, a3, w9, a4, w8, a5, w7);
  let r1 = dot6(a0, b1, a1, b0, a2, w11, a3, w10, a4, w9, a5, w8);
  let r2 = dot6(a0, b2, a1, b1, a2, b0, a3, w11, a4, w10, a5, w9);
  let r3 = dot6(a0, b3, a1, b2, a2, b1, a3, b0, a4, w11, a5, w10);
  let r4 = dot6(a0, b4, a1, b3, a2, b2, a3, b1, a4, b0, a5, w11);
  let r5 = dot6(a0, b5, a1, b4, a2, b3, a3, b2, a4, b1, a5, b0);
  let r6 = dot6(a0, b6, a1, b5, a2, b4, a3, b3, a4, b2, a5, b1);
  let r7 = dot6(a0, b7, a1, b6, a2, b5, a3, b4, a4, b3, a5, b2);
  let r8 = dot6(a0, b8, a1, b7, a2, b6, a3, b5, a4, b4, a5, b3);
  let r9 = dot6(a0, b9, a1, b8, a2, b7, a3, b6, a4, b5, a5, b4);
  let r10 = dot6(a0, b10, a1, b9, a2, b8, a3, b7, a4, b6, a5, b5);
  let r11 = dot6(a0, b11, a1, b10, a2, b9, a3, b8, a4, b7, a5, b6);
  r0 = dot6Add(r0, a6, w6, a7, w5, a8, w4, a9, w3, a10, w2, a11, w1);
  r1 = dot6Add(r1, a6, w7, a7, w6, a8, w5, a9, w4, a10, w3, a11, w2);
  r2 = dot6Add(r2, a6, w8, a7, w7, a8, w6, a9, w5, a10, w4, a11, w3);
  r3 = dot6Add(r3, a6, w9, a7, w8, a8, w7, a9, w6, a10, w5, a11, w4);
  r4 = dot6Add(r4, a6, w10, a7, w9, a8, w8, a9, w7, a10, w6, a11, w5);
  r5 = dot6Add(r5, a6, w11, a7, w10, a8, w9, a9, w8, a10, w7, a11, w6);
  r6 = dot6Add(r6, a6, b0, a7, w11, a8, w10, a9, w9, a10, w8, a11, w7);
  r7 = dot6Add(r7, a6, b1, a7, b0, a8, w11, a9, w10, a10, w9, a11, w8);
  r8 = dot6Add(r8, a6, b2, a7, b1, a8, b0, a9, w11, a10, w10, a11, w9);
  r9 = dot6Add(r9, a6, b3, a7, b2, a8, b1, a9, b0, a10, w11, a11, w10);
  r10 = dot6Add(r10, a6, b4, a7, b3, a8, b2, a9, b1, a10, b0, a11, w11);
  r11 = dot6Add(r11, a6, b5, a7, b4, a8, b3, a9, b2, a10, b1, a11, b0);
  carryStore(target, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11);
}

/** target = element² */
export function square(target: usize, element: usize): void {
  const wrap = v128.splat<f64>(reinterpret<f64>(WRAP));
  const a0 = v128.load(element, 0);
  const a1 = v128.load(element, 16);
  const a2 = v128.load(element, 32);
  const a3 = v128.load(element, 48);
  const a4 = v128.load(element, 64);
  const a5 = v128.load(element, 80);
  const a6 = v128.load(element, 96);
  const a7 = v128.load(element, 112);
  const a8 = v128.load(element, 128);
  const a9 = v128.load(element, 144);
  const a10 = v128.load(element, 160);
  const a11 = v128.load(element, 176);
  const d0 = f64x2.add(a0, a0);
  const d1 = f64x2.add(a1, a1);
  const d2 = f64x2.add(a2, a2);
  const d3 = f64x2.add(a3, a3);
  const d4 = f64x2.add(a4, a4);
  const d5 = f64x2.add(a5, a5);
  const d6 = f64x2.add(a6, a6);
  const d7 = f64x2.add(a7, a7);
  const d8 = f64x2.add(a8, a8);
  const d9 = f64x2.add(a9, a9);
  const d10 = f64x2.add(a10, a10);
  const w6 = f64x2.mul(a6, wrap);
  const w7 = f64x2.mul(a7, wrap);
  const w8 = f64x2.mul(a8, wrap);
  const w9 = f64x2.mul(a9, wrap);
  const w10 = f64x2.mul(a10, wrap);
  const w11 = f64x2.mul(a11, wrap);
  const e0 = dot6(a0, a0, d1, w11, d2, w10, d3, w9, d4, w8, d5, w7);
  const e2 = dot6(d0, a2, a1, a1, d3, w11, d4, w10, d5, w9, d6, w8);
  const e4 = dot6(d0, a4, d1, a3, a2, a2, d5, w11, d6, w10, d7, w9);
  const e6 = dot6(d0, a6, d1, a5, d2, a4, a3, a3, d7, w11, d8, w10);
  const e8 = dot6(d0, a8, d1, a7, d2, a6, d3, a5, a4, a4, d9, w11);
  const e10 = dot6(d0, a10, d1, a9, d2, a8, d3, a7, d4, a6, a5, a5);
  const r0 = v128.relaxed_madd<f64>(a6, w6, e0);
  const r1 = dot6(d0, a1, d2, w11, d3, w10, d4, w9, d5, w8, d6, w7);
  const r2 = v128.relaxed_madd<f64>(a7, w7, e2);
  const r3 = dot6(d0, a3, d1, a2, d4, w11, d5, w10, d6, w9, d7, w8);
  const r4 = v128.relaxed_madd<f64>(a8, w8, e4);
  const r5 = dot6(d0, a5, d1, a4, d2, a3, d6, w11, d7, w10, d8, w9);
  const r6 = v128.relaxed_madd<f64>(a9, w9, e6);
  const r7 = dot6(d0, a7, d1, a6, d2, a5, d3, a4, d8, w11, d9, w10);
  const r8 = v128.relaxed_madd<f64>(a10, w10, e8);
  const r9 = dot6(d0, a9, d1, a8, d2, a7, d3, a6, d4, a5, d10, w11);
  const r10 = v128.relaxed_madd<f64>(a11, w11, e10);
  const r11 = dot6(d0, a11, d1, a10, d2, a9, d3, a8, d4, a7, d5, a6);
  carryStore(target, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11);
}

/** target = left + right, not carried: see the head of this file for what may follow. */
export function add(target: usize, left: usize, right: usize): void {
  for (let i: usize = 0; i < ELEMENT_BYTES; i += 16) {
    v128.store(target + i, f64x2.add(v128.load(left + i), v128.load(right + i)));
  }
}

/** target = left − right, not carried. */
export function subtract(target: usize, left: usize, right: usize): void {
  for (let i: usize = 0; i < ELEMENT_BYTES; i += 16) {
    v128.store(target + i, f64x2.sub(v128.load(left + i), v128.load(right + i)));
  }
}

/** target = factor · element + addend, carried; |factor| < 2^24, addend at most once uncarried. */
export function scaleAdd(target: usize, element: usize, factor: f64, addend: usize): void {
  const f = v128.splat<f64>(factor);
  carryStore(
    target,
    v128.relaxed_madd<f64>(f, v128.load(element, 0), v128.load(addend, 0)),
    v128.relaxed_madd<f64>(f, v128.load(element, 16), v128.load(addend, 16)),
    v128.relaxed_madd<f64>(f, v128.load(element, 32), v128.load(addend, 32)),
    v128.relaxed_madd<f64>(f, v128.load(element, 48), v128.load(addend, 48)),
    v128.relaxed_madd<f64>(f, v128.load(element, 64), v128.load(addend, 64)),
    v128.relaxed_madd<f64>(f, v128.load(element, 80), v128.load(addend, 80)),
    v128.relaxed_madd<f64>(f, v128.load(element, 96), v128.load(addend, 96)),
    v128.relaxed_madd<f64>(f, v128.load(element, 112), v128.load(addend, 112)),
    v128.relaxed_madd<f64>(f, v128.load(element, 128), v128.load(addend, 128)),
    v128.relaxed_madd<f64>(f, v128.load(element, 144), v128.load(addend, 144)),
    v128.relaxed_madd<f64>(f, v128.load(element, 160), v128.load(addend, 160)),
    v128.relaxed_madd<f64>(f, v128.load(element, 176), v128.load(addend, 176)),
  );
}

/** target = lane by lane `yes` where the mask is all ones, else `no`. */
export function select(target: usize, yes: usize, no: usize, mask: v128): void {
  for (let i: usize = 0; i < ELEMENT_BYTES; i += 16) {
    v128.store(target + i, v128.bitselect(v128.load(yes + i), v128.load(no + i), mask));
  }
}

export function copy(target: usize, element: usize): void {
  memory.copy(target, element, ELEMENT_BYTES);
}

/** target = a small integer (|value| ≤ 2^20) in both lanes. */
export function setSmall(target: usize, value: f64): void {
  memory.fill(target, 0, ELEMENT_BYTES);
  v128.store(target, v128.splat<f64>(value));
}

/** One lane of target = the 255-bit number of four little-endian words; carry before use. */
export function setLane(target: usize, lane: usize, w0: u64, w1: u64, w2: u64, w3: u64): void {
  const q = target + (lane << 3);
  store<f64>(q, <f64>(w0 & LOW_MASK_22), 0);
  store<f64>(q, <f64>(w0 & (LOW_MASK_21 << 22)), 16);
  store<f64>(q, <f64>(w0 & (LOW_MASK_21 << 43)), 32);
  store<f64>(q, <f64>(w1 & LOW_MASK_21) * reinterpret<f64>(0x43f0000000000000), 48);
  store<f64>(q, <f64>(w1 & (LOW_MASK_22 << 21)) * reinterpret<f64>(0x43f0000000000000), 64);
  store<f64>(q, <f64>(w1 & (LOW_MASK_21 << 43)) * reinterpret<f64>(0x43f0000000000000), 80);
  store<f64>(q, <f64>(w2 & LOW_MASK_21) * reinterpret<f64>(0x47f0000000000000), 96);
  store<f64>(q, <f64>(w2 & (LOW_MASK_21 << 21)) * reinterpret<f64>(0x47f0000000000000), 112);
  store<f64>(q, <f64>(w2 & (LOW_MASK_22 << 42)) * reinterpret<f64>(0x47f0000000000000), 128);
  store<f64>(q, <f64>(w3 & LOW_MASK_21) * reinterpret<f64>(0x4bf0000000000000), 144);
  store<f64>(q, <f64>(w3 & (LOW_MASK_21 << 21)) * reinterpret<f64>(0x4bf0000000000000), 160);
  store<f64>(q, <f64>(w3 & (LOW_MASK_21 << 42)) * reinterpret<f64>(0x4bf0000000000000), 176);
}

/** Writes one lane of a carried element as 32 canonical little-endian bytes (0 ≤ value < p). */
export function storeLane(out: usize, element: usize, lane: usize): void {
  const q = element + (lane << 3);
  // Twice the modulus on top makes every limb positive: the value lies in (0, 2^257).
  let l0 = unit(load<f64>(q, 0), 0x3ff0000000000000) + 2 * (LOW_MASK_22 - 18);
  let l1 = unit(load<f64>(q, 16), 0x3e90000000000000) + 2 * LOW_MASK_21 + (l0 >> 22);
  let l2 = unit(load<f64>(q, 32), 0x3d40000000000000) + 2 * LOW_MASK_21 + (l1 >> 21);
  let l3 = unit(load<f64>(q, 48), 0x3bf0000000000000) + 2 * LOW_MASK_21 + (l2 >> 21);
  let l4 = unit(load<f64>(q, 64), 0x3aa0000000000000) + 2 * LOW_MASK_22 + (l3 >> 21);
  let l5 = unit(load<f64>(q, 80), 0x3940000000000000) + 2 * LOW_MASK_21 + (l4 >> 22);
  let l6 = unit(load<f64>(q, 96), 0x37f0000000000000) + 2 * LOW_MASK_21 + (l5 >> 21);
  let l7 = unit(load<f64>(q, 112), 0x36a0000000000000) + 2 * LOW_MASK_21 + (l6 >> 21);
  let l8 = unit(load<f64>(q, 128), 0x3550000000000000) + 2 * LOW_MASK_22 + (l7 >> 21);
  let l9 = unit(load<f64>(q, 144), 0x33f0000000000000) + 2 * LOW_MASK_21 + (l8 >> 22);
  let l10 = unit(load<f64>(q, 160), 0x32a0000000000000) + 2 * LOW_MASK_21 + (l9 >> 21);
  let l11 = unit(load<f64>(q, 176), 0x3150000000000000) + 2 * LOW_MASK_21 + (l10 >> 21);
  let w0 = (l0 & LOW_MASK_22) | ((l1 & LOW_MASK_21) << 22) | ((l2 & LOW_MASK_21) << 43);
  let w1 = (l3 & LOW_MASK_21) | ((l4 & LOW_MASK_22) << 21) | ((l5 & LOW_MASK_21) << 43);
  let w2 = (l6 & LOW_MASK_21) | ((l7 & LOW_MASK_21) << 21) | ((l8 & LOW_MASK_22) << 42);
  let w3 = (l9 & LOW_MASK_21) | ((l10 & LOW_MASK_21) << 21) | ((l11 & LOW_MASK_21) << 42);
  // What stands above 2^255 comes back nineteenfold; the sum stays below 2^255 + 76.
  const folded = addSmall(w0, w1, w2, w3, 19 * (l11 >> 21));
  // It is p or more exactly where adding 19 reaches 2^255.
  w0 = load<u64>(folded, 0);
  w1 = load<u64>(folded, 8);
  w2 = load<u64>(folded, 16);
  w3 = load<u64>(folded, 24);
  const reached = load<u64>(addSmall(w0, w1, w2, w3, 19), 24) >> 63;
  const reduced = addSmall(w0, w1, w2, w3, 19 * reached);
  store<u64>(out, load<u64>(reduced, 0), 0);
  store<u64>(out, load<u64>(reduced, 8), 8);
  store<u64>(out, load<u64>(reduced, 16), 16);
  store<u64>(out, load<u64>(reduced, 24) & 0x7fffffffffffffff, 24);
}

const SUM: usize = memory.data(32, 16);

function addSmall(w0: u64, w1: u64, w2: u64, w3: u64, small: u64): usize {
  const s0 = w0 + small;
  const s1 = w1 + u64(s0 < w0);
  const s2 = w2 + u64(s1 < w1);
  store<u64>(SUM, s0, 0);
  store<u64>(SUM, s1, 8);
  store<u64>(SUM, s2, 16);
  store<u64>(SUM, w3 + u64(s2 < w2), 24);
  return SUM;
}

/** A limb as a signed count of its own units. */
function unit(limb: f64, inverseWeight: u64): u64 {
  return <u64>(<i64>(limb * reinterpret<f64>(inverseWeight)));
}

function dot6(
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  e: v128,
  f: v128,
  g: v128,
  h: v128,
  i: v128,
  j: v128,
  k: v128,
  l: v128,
): v128 {
  return dot5Add(f64x2.mul(a, b), c, d, e, f, g, h, i, j, k, l);
}

function dot6Add(
  sum: v128,
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  e: v128,
  f: v128,
  g: v128,
  h: v128,
  i: v128,
  j: v128,
  k: v128,
  l: v128,
): v128 {
  return dot5Add(v128.relaxed_madd<f64>(a, b, sum), c, d, e, f, g, h, i, j, k, l);
}

function dot5Add(
  sum: v128,
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  e: v128,
  f: v128,
  g: v128,
  h: v128,
  i: v128,
  j: v128,
): v128 {
  let r = v128.relaxed_madd<f64>(a, b, sum);
  r = v128.relaxed_madd<f64>(c, d, r);
  r = v128.relaxed_madd<f64>(e, f, r);
  r = v128.relaxed_madd<f64>(g, h, r);
  return v128.relaxed_madd<f64>(i, j, r);
}

/** The part of a limb that is a multiple of the next limb's weight: 3 · 2^51 weights round it off. */
function excess(limb: v128, magic: u64): v128 {
  const m = v128.splat<f64>(reinterpret<f64>(magic));
  return f64x2.sub(f64x2.add(limb, m), m);
}

/** Carries in two interleaved chains (0…6 and 6…0) and stores. */
function carryStore(
  target: usize,
  r0: v128,
  r1: v128,
  r2: v128,
  r3: v128,
  r4: v128,
  r5: v128,
  r6: v128,
  r7: v128,
  r8: v128,
  r9: v128,
  r10: v128,
  r11: v128,
): void {
  let c = excess(r0, 0x4498000000000000);
  r0 = f64x2.sub(r0, c);
  r1 = f64x2.add(r1, c);
  let d = excess(r6, 0x4c88000000000000);
  r6 = f64x2.sub(r6, d);
  r7 = f64x2.add(r7, d);
  c = excess(r1, 0x45e8000000000000);
  r1 = f64x2.sub(r1, c);
  r2 = f64x2.add(r2, c);
  d = excess(r7, 0x4dd8000000000000);
  r7 = f64x2.sub(r7, d);
  r8 = f64x2.add(r8, d);
  c = excess(r2, 0x4738000000000000);
  r2 = f64x2.sub(r2, c);
  r3 = f64x2.add(r3, c);
  d = excess(r8, 0x4f38000000000000);
  r8 = f64x2.sub(r8, d);
  r9 = f64x2.add(r9, d);
  c = excess(r3, 0x4888000000000000);
  r3 = f64x2.sub(r3, c);
  r4 = f64x2.add(r4, c);
  d = excess(r9, 0x5088000000000000);
  r9 = f64x2.sub(r9, d);
  r10 = f64x2.add(r10, d);
  c = excess(r4, 0x49e8000000000000);
  r4 = f64x2.sub(r4, c);
  r5 = f64x2.add(r5, c);
  d = excess(r10, 0x51d8000000000000);
  r10 = f64x2.sub(r10, d);
  r11 = f64x2.add(r11, d);
  c = excess(r5, 0x4b38000000000000);
  r5 = f64x2.sub(r5, c);
  r6 = f64x2.add(r6, c);
  d = excess(r11, 0x5328000000000000);
  r11 = f64x2.sub(r11, d);
  r0 = v128.relaxed_madd<f64>(d, v128.splat<f64>(reinterpret<f64>(WRAP)), r0);
  c = excess(r6, 0x4c88000000000000);
  r6 = f64x2.sub(r6, c);
  r7 = f64x2.add(r7, c);
  d = excess(r0, 0x4498000000000000);
  r0 = f64x2.sub(r0, d);
  r1 = f64x2.add(r1, d);
  v128.store(target, r0, 0);
  v128.store(target, r1, 16);
  v128.store(target, r2, 32);
  v128.store(target, r3, 48);
  v128.store(target, r4, 64);
  v128.store(target, r5, 80);
  v128.store(target, r6, 96);
  v128.store(target, r7, 112);
  v128.store(target, r8, 128);
  v128.store(target, r9, 144);
  v128.store(target, r10, 160);
  v128.store(target, r11, 176);
}
