// Elligator 2 on curve25519 and the sum of two maps: `hash_to_curve` after `hash_to_field` (RFC 9380
// §6.7.1, §3). One exponentiation a map, in the manner of its appendix G.2.1, but the square test
// reads the fourth root of unity that the exponentiation yields. AssemblyScript, see ../curve25519.ts.
import {
  ELEMENT_BYTES,
  add,
  multiply,
  scaleAdd,
  setLane,
  setSmall,
  square,
  storeLane,
  subtract,
} from './field';
import {
  PAIR_BYTES,
  QUARTER_MINUS_ONE,
  QUARTER_MINUS_ROOT,
  QUARTER_ONE,
  QUARTER_ROOT,
  multiplyPair,
  power58Pair,
  quarterOf,
  squarePair,
} from './powers';

/** The Montgomery coefficient of curve25519. */
export const CURVE_A: f64 = 486662;

/** Elements of the pair: 0, 1 and √−1, once `initElligator2` was called. */
export const ZERO: usize = memory.data(192, 16);
export const ONE: usize = memory.data(192, 16);
export const ROOT: usize = memory.data(192, 16);
const DOUBLED: usize = memory.data(384, 16);
const DENOMINATOR: usize = memory.data(384, 16);
const CUBE: usize = memory.data(384, 16);
const CUBE_TO_3: usize = memory.data(384, 16);
const NUMERATOR_G: usize = memory.data(384, 16);
const RADICAND: usize = memory.data(384, 16);
const POWER: usize = memory.data(384, 16);
const QUARTER: usize = memory.data(384, 16);
const TURNED: usize = memory.data(384, 16);
const NUMERATOR: usize = memory.data(384, 16);
const Y: usize = memory.data(384, 16);
const SIGN_BYTES: usize = memory.data(32, 16);

/** Sets the constants; once, before anything else. */
export function initElligator2(): void {
  setSmall(ZERO, 0);
  setSmall(ONE, 1);
  for (let lane: usize = 0; lane < 2; lane++) {
    // √−1 = 2^((p − 1) / 4)
    setLane(
      ROOT,
      lane,
      0xc4ee1b274a0ea0b0,
      0x2f431806ad2fe478,
      0x2b4d00993dfbd7a7,
      0x2b8324804fc1df0b,
    );
  }
  scaleAdd(ROOT, ROOT, 1, ZERO);
}

/**
 * Maps both elements of the pair `fields` and adds the points: x = outX / outZ, the x-coordinate of
 * map(fields[0]) + map(fields[1]), not yet free of the cofactor. outZ is zero in the lane where the
 * x-coordinates of the two maps agree; callers treat that case elsewhere.
 */
export function mapAndAdd(fields: usize, outX: usize, outZ: usize): void {
  mapPair(fields);
  const n0 = NUMERATOR;
  const n1 = NUMERATOR + ELEMENT_BYTES;
  const d0 = DENOMINATOR;
  const d1 = DENOMINATOR + ELEMENT_BYTES;
  // λ = (y1 − y0) · d / e and x = λ² − A − s / d over the common denominator d · e², with
  // d = d0 · d1, e = n1 · d0 − n0 · d1, s = n0 · d1 + n1 · d0.
  const d = DOUBLED;
  const e = DOUBLED + ELEMENT_BYTES;
  const s = CUBE;
  const y = CUBE + ELEMENT_BYTES;
  const t = POWER;
  multiply(d, d0, d1);
  multiply(s, n0, d1);
  multiply(t, n1, d0);
  subtract(e, t, s);
  add(s, t, s);
  subtract(y, Y + ELEMENT_BYTES, Y);
  square(e, e);
  square(y, y);
  multiply(outZ, d, e);
  scaleAdd(s, d, CURVE_A, s);
  multiply(s, s, e);
  multiply(y, y, d);
  square(t, d);
  multiply(y, y, t);
  subtract(outX, y, s);
  scaleAdd(outX, outX, 1, ZERO);
}

/** Maps both elements of the pair `fields`, no points added: x = outX / outZ, pairs too. */
export function mapEach(fields: usize, outX: usize, outZ: usize): void {
  mapPair(fields);
  memory.copy(outX, NUMERATOR, PAIR_BYTES);
  memory.copy(outZ, DENOMINATOR, PAIR_BYTES);
}

/** (x : z) ← 2 · (x : z) on the Montgomery curve. @see RFC 7748 §5 */
export function double(x: usize, z: usize): void {
  const sum = POWER;
  const difference = POWER + ELEMENT_BYTES;
  const cross = QUARTER;
  add(sum, x, z);
  subtract(difference, x, z);
  square(sum, sum);
  square(difference, difference);
  multiply(x, sum, difference);
  subtract(cross, sum, difference);
  scaleAdd(z, cross, 121665, sum);
  multiply(z, z, cross);
}

/** For both elements u of the pair: x = NUMERATOR / DENOMINATOR and y = Y of their points. */
function mapPair(fields: usize): void {
  squarePair(DOUBLED, fields);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    // 2u², then 1 + 2u², never zero: −1/2 is no square.
    scaleAdd(DOUBLED + at, DOUBLED + at, 2, ZERO);
    scaleAdd(DENOMINATOR + at, DOUBLED + at, 1, ONE);
  }
  // g(x1) = n / d for x1 = −A / (1 + 2u²): n = −A · ((1 + 2u²)² − A² · 2u²), d = (1 + 2u²)³.
  squarePair(CUBE, DENOMINATOR);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
    scaleAdd(TURNED + at, DOUBLED + at, CURVE_A, ZERO);
    scaleAdd(TURNED + at, TURNED + at, -CURVE_A, CUBE + at);
    scaleAdd(NUMERATOR_G + at, TURNED + at, -CURVE_A, ZERO);
  }
  multiplyPair(CUBE, CUBE, DENOMINATOR);
  squarePair(CUBE_TO_3, CUBE);
  multiplyPair(CUBE_TO_3, CUBE_TO_3, CUBE);
  squarePair(RADICAND, CUBE_TO_3);
  multiplyPair(RADICAND, RADICAND, CUBE);
  multiplyPair(RADICAND, RADICAND, NUMERATOR_G);
  // With z = n · d⁷, s = z^((p−5)/8) and w = n · d³ · s: w² · d / n = s² · z, a fourth root of unity.
  power58Pair(POWER, RADICAND);
  squarePair(QUARTER, POWER);
  multiplyPair(QUARTER, QUARTER, RADICAND);
  multiplyPair(POWER, POWER, CUBE_TO_3);
  multiplyPair(POWER, POWER, NUMERATOR_G);
  for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) finishMap(fields + at, at);
}

/**
 * y from w, by the fourth root q of unity: q = 1 gives w, −1 gives √−1 · w. Otherwise x2 = x1 · 2u²
 * holds the square, and as (1 + √−1)² = 2 · √−1, y is u · (√−1 − 1) · w or u · (√−1 + 1) · w.
 * Without branches on the hashed element.
 */
function finishMap(u: usize, at: usize): void {
  const w = POWER + at;
  const y = Y + at;
  multiply(TURNED, w, ROOT);
  const q0 = quarterOf(QUARTER + at, 0);
  const q1 = quarterOf(QUARTER + at, 1);
  const straight = f64x2.replace_lane(v128.splat<f64>(straightOf(q0)), 1, straightOf(q1));
  const turned = f64x2.replace_lane(
    v128.splat<f64>(<f64>u32(q0 !== QUARTER_ONE)),
    1,
    <f64>u32(q1 !== QUARTER_ONE),
  );
  const s0 = isSquare(q0);
  const s1 = isSquare(q1);
  const squareMask = i64x2.replace_lane(v128.splat<i64>(0 - <i64>s0), 1, 0 - <i64>s1);
  for (let i: usize = 0; i < ELEMENT_BYTES; i += 16) {
    const combined = f64x2.add(
      f64x2.mul(straight, v128.load(w + i)),
      f64x2.mul(turned, v128.load(TURNED + i)),
    );
    v128.store(y + i, combined);
    v128.store(TURNED + i, v128.bitselect(v128.load(ONE + i), v128.load(u + i), squareMask));
    v128.store(
      NUMERATOR + at + i,
      v128.bitselect(v128.load(ONE + i), v128.load(DOUBLED + at + i), squareMask),
    );
  }
  multiply(y, y, TURNED);
  scaleAdd(NUMERATOR + at, NUMERATOR + at, -CURVE_A, ZERO);
  // The sign: odd where g(x1) was a square, even where not.
  storeLane(SIGN_BYTES, y, 0);
  const sign0 = signOf(<u32>load<u8>(SIGN_BYTES) & 1, s0);
  storeLane(SIGN_BYTES, y, 1);
  const sign1 = signOf(<u32>load<u8>(SIGN_BYTES) & 1, s1);
  const signs = f64x2.replace_lane(v128.splat<f64>(sign0), 1, sign1);
  for (let i: usize = 0; i < ELEMENT_BYTES; i += 16) {
    v128.store(y + i, f64x2.mul(signs, v128.load(y + i)));
  }
}

/** How often w itself counts in y. */
function straightOf(quarter: u32): f64 {
  return <f64>(
    (i32(quarter === QUARTER_ONE) +
      i32(quarter === QUARTER_MINUS_ROOT) -
      i32(quarter === QUARTER_ROOT))
  );
}

function isSquare(quarter: u32): u32 {
  return u32(quarter === QUARTER_ONE) | u32(quarter === QUARTER_MINUS_ONE);
}

function signOf(parity: u32, wanted: u32): f64 {
  return <f64>(1 - 2 * <i32>(parity ^ wanted));
}
