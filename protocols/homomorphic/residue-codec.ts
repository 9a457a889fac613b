/**
 * Integers to residues and back, without big integers in the loops. A plain modulus t has 36 bits,
 * so a product of a residue with 16 bits is exact in a double.
 */
import { ProtocolError } from '../common/protocol-error.ts';
import type { SealedVector } from './headroom.ts';
import { residueCount, sumBound } from './headroom.ts';
import { PLAIN_MODULI } from './params.ts';

const WORD32 = 0x1_0000_0000;
const STEP = 0x1_0000;
const INVERSE_WORD32 = 1 / WORD32;
const INVERSE_STEP = 1 / STEP;

/** Bounds of a lane as words, compared from the most significant (signed) word down. */
interface Clamp {
  readonly minimum: readonly number[];
  readonly maximum: readonly number[];
}

/**
 * Residues mod `plainModulus` of the lanes `from..from + count`, clamped to the vector's bounds:
 * planning proved that those fit, and a refusal here would tell whether an extreme exists.
 * @param words - the holder's lanes as 32-bit words.
 * @param residues - receives `count` integers in [0, t).
 */
export function encodeResidues(
  vector: SealedVector,
  words: Int32Array,
  from: number,
  count: number,
  plainModulus: number,
  residues: Float64Array,
): void {
  const laneWords = vector.laneBytes / 4;
  const clamp = {
    minimum: wordsOf(vector.minimum, laneWords),
    maximum: wordsOf(vector.maximum, laneWords),
  };
  const inverse = 1 / plainModulus;
  if (laneWords === 2) encodePairs(words, from, count, plainModulus, inverse, clamp, residues);
  else encodeQuads(words, from, count, plainModulus, inverse, clamp, residues);
}

function encodePairs(
  words: Int32Array,
  from: number,
  count: number,
  modulus: number,
  inverse: number,
  clamp: Clamp,
  residues: Float64Array,
): void {
  const [minimumLow = 0, minimumHigh = 0] = clamp.minimum;
  const [maximumLow = 0, maximumHigh = 0] = clamp.maximum;
  for (let index = 0; index < count; index++) {
    const at = (from + index) * 2;
    let low = (words[at] as number) >>> 0;
    let high = words[at + 1] as number;
    if (high >= maximumHigh) {
      if (high > maximumHigh || low > maximumLow) low = maximumLow;
      high = maximumHigh;
    }
    if (high <= minimumHigh) {
      if (high < minimumHigh || low < minimumLow) low = minimumLow;
      high = minimumHigh;
    }
    // high · 2^32 + low in two steps of 2^16: each product stays below 2^53.
    let rest = high * STEP;
    rest -= Math.floor(rest * inverse) * modulus;
    rest = rest * STEP + low;
    rest -= Math.floor(rest * inverse) * modulus;
    if (rest < 0) rest += modulus;
    else if (rest >= modulus) rest -= modulus;
    residues[index] = rest;
  }
}

function encodeQuads(
  words: Int32Array,
  from: number,
  count: number,
  modulus: number,
  inverse: number,
  clamp: Clamp,
  residues: Float64Array,
): void {
  for (let index = 0; index < count; index++) {
    const at = (from + index) * 4;
    const lane = [
      (words[at] as number) >>> 0,
      (words[at + 1] as number) >>> 0,
      (words[at + 2] as number) >>> 0,
      words[at + 3] as number,
    ];
    const fit =
      compareWords(lane, clamp.maximum) > 0
        ? clamp.maximum
        : compareWords(lane, clamp.minimum) < 0
          ? clamp.minimum
          : lane;
    let rest = fit[3] as number;
    for (let word = 2; word >= 0; word--) {
      const next = fit[word] as number;
      rest = rest * STEP + (next >>> 16);
      rest -= Math.floor(rest * inverse) * modulus;
      rest = rest * STEP + (next & 0xffff);
      rest -= Math.floor(rest * inverse) * modulus;
    }
    if (rest < 0) rest += modulus;
    else if (rest >= modulus) rest -= modulus;
    residues[index] = rest;
  }
}

/**
 * The lanes whose residues mod the first k moduli are given, as signed sums.
 * @param residues - one array per modulus, all of the same length.
 * @throws ProtocolError `decryption-failed` where a value lies outside what the bounds allow: a
 * wrong key, or ciphertexts that are not the sum they claim to be.
 */
export function decodeResidues(
  vector: SealedVector,
  residues: readonly Float64Array[],
  count: number,
): Uint8Array<ArrayBuffer> {
  const lanes = new Uint8Array(count * vector.laneBytes);
  if (residues.length !== residueCount(vector))
    throw new ProtocolError('length-wrong', 'residues of another number of moduli');
  const [first, second] = residues;
  if (first !== undefined && second === undefined) decodeOne(vector, first, count, lanes);
  else if (
    first !== undefined &&
    second !== undefined &&
    residues.length === 2 &&
    sumBound(vector) < 1n << 63n
  )
    decodeTwo(vector, first, second, count, lanes);
  else decodeMany(vector, residues, count, lanes);
  return lanes;
}

function decodeOne(
  vector: SealedVector,
  residues: Float64Array,
  count: number,
  lanes: Uint8Array<ArrayBuffer>,
): void {
  const modulus = Number(PLAIN_MODULI[0]);
  const bound = Number(sumBound(vector));
  const words = new Int32Array(lanes.buffer);
  const laneWords = vector.laneBytes / 4;
  for (let index = 0; index < count; index++) {
    const residue = residues[index] as number;
    const value = residue > modulus / 2 ? residue - modulus : residue;
    if (value > bound || value < -bound) throw outOfBounds(index);
    const at = index * laneWords;
    const high = Math.floor(value / WORD32);
    words[at] = value - high * WORD32;
    words[at + 1] = high;
    if (laneWords === 4) words.fill(high < 0 ? -1 : 0, at + 2, at + 4);
  }
}

/**
 * Garner's mixed radix with a digit of either sign: x = r0 + t0 · d, d = (r1 − r0) / t0 mod t1.
 * |x| is below 2^63, so |d| is below 2^28 and t0 times each half of it is exact. No branch depends
 * on a value.
 */
function decodeTwo(
  vector: SealedVector,
  first: Float64Array,
  second: Float64Array,
  count: number,
  lanes: Uint8Array<ArrayBuffer>,
): void {
  const modulus0 = Number(PLAIN_MODULI[0]);
  const modulus1 = Number(PLAIN_MODULI[1]);
  const inverse1 = 1 / modulus1;
  // 1 / t0 mod t1 in pieces of 12 bits: a product with a difference of residues stays exact.
  const factor = inverseMod(PLAIN_MODULI[0], PLAIN_MODULI[1]);
  const factorHigh = Number(factor >> 24n);
  const factorMiddle = Number((factor >> 12n) & 0xfffn);
  const factorLow = Number(factor & 0xfffn);
  // One more on either side, since r0 counts from 0: the tags are the exact check.
  const digitMax = Number(sumBound(vector) / PLAIN_MODULI[0]) + 1;
  const words = new Int32Array(lanes.buffer);
  const laneWords = vector.laneBytes / 4;
  for (let index = 0; index < count; index++) {
    const residue = first[index] as number;
    const difference = (second[index] as number) - residue;
    let rest = difference * factorHigh;
    rest = (rest - Math.floor(rest * inverse1) * modulus1) * 4096 + difference * factorMiddle;
    rest = (rest - Math.floor(rest * inverse1) * modulus1) * 4096 + difference * factorLow;
    const digit = rest - Math.floor(rest * inverse1 + 0.5) * modulus1;
    if (digit > digitMax || digit < -digitMax) throw outOfBounds(index);
    const upper = Math.floor(digit * INVERSE_STEP);
    const low = residue + modulus0 * (digit - upper * STEP);
    const middle = modulus0 * upper;
    const lowCarry = Math.floor(low * INVERSE_WORD32);
    const middleCarry = Math.floor(middle * INVERSE_STEP);
    const lowWord = low - lowCarry * WORD32 + (middle - middleCarry * STEP) * STEP;
    const at = index * laneWords;
    words[at] = lowWord;
    words[at + 1] = lowCarry + middleCarry + Math.floor(lowWord * INVERSE_WORD32);
    if (laneWords === 4) words.fill(digit < 0 ? -1 : 0, at + 2, at + 4);
  }
}

/** Sums of squares: few cells in practice, so plain big integers serve. */
function decodeMany(
  vector: SealedVector,
  residues: readonly Float64Array[],
  count: number,
  lanes: Uint8Array,
): void {
  const moduli = PLAIN_MODULI.slice(0, residues.length);
  const product = moduli.reduce((all, modulus) => all * modulus, 1n);
  const weights = moduli.map((modulus) => {
    const others = product / modulus;
    return others * inverseMod(others, modulus);
  });
  const bound = sumBound(vector);
  const view = new DataView(lanes.buffer, lanes.byteOffset, lanes.length);
  for (let index = 0; index < count; index++) {
    let value = 0n;
    residues.forEach((residue, modulus) => {
      value += BigInt(residue[index] as number) * (weights[modulus] ?? 0n);
    });
    value %= product;
    if (2n * value > product) value -= product;
    if (value > bound || value < -bound) throw outOfBounds(index);
    const at = index * vector.laneBytes;
    view.setBigInt64(at, BigInt.asIntN(64, value), true);
    if (vector.laneBytes === 16) view.setBigInt64(at + 8, BigInt.asIntN(64, value >> 64n), true);
  }
}

function inverseMod(value: bigint, prime: bigint): bigint {
  let [r0, r1] = [prime, value % prime];
  let [s0, s1] = [0n, 1n];
  while (r1 > 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [s0, s1] = [s1, s0 - quotient * s1];
  }
  return s0 < 0n ? s0 + prime : s0;
}

/** Two's complement words, least significant first: all unsigned but the last. */
function wordsOf(value: bigint, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => {
    const word = value >> BigInt(index * 32);
    return Number(index === count - 1 ? BigInt.asIntN(32, word) : BigInt.asUintN(32, word));
  });
}

function compareWords(left: readonly number[], right: readonly number[]): number {
  for (let word = left.length - 1; word >= 0; word--) {
    const difference = (left[word] as number) - (right[word] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function outOfBounds(index: number): ProtocolError {
  return new ProtocolError('decryption-failed', `cell ${index} is outside the agreed bounds`);
}
