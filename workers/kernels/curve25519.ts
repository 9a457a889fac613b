// Kernel: hash to curve25519 and checks of received points, in batches. AssemblyScript; its
// TypeScript side is ../native-curve.ts; what each call promises stands in `CurvePrimitive`.
import {
  ELEMENT_BYTES,
  copy,
  multiply,
  scaleAdd,
  setLane,
  setSmall,
  square,
  storeLane,
} from './curve25519/field';
import { setPoint, stringsOf } from './curve25519/elligator-strings';
import { CURVE_A, double, initElligator2, mapAndAdd, mapEach } from './curve25519/elligator2';
import { hashToFields, reduceWide, setTag } from './curve25519/expand-message';
import {
  PAIR_BYTES,
  QUARTER_MINUS_ONE,
  QUARTER_ONE,
  multiplyPair,
  power58Pair,
  quarterOf,
  squarePair,
} from './curve25519/powers';

/** Items of one call at most; an even number. */
const BATCH: usize = 256;
const PAIRS: usize = BATCH / 2;

const INPUT: usize = memory.data(262144, 16); // BATCH messages of at most 1024 bytes
const OUTPUT: usize = memory.data(8192, 16); // BATCH · 32
const TAG_INPUT: usize = memory.data(256, 16);
const XS: usize = memory.data(24576, 16); // PAIRS · ELEMENT_BYTES
const ZS: usize = memory.data(24576, 16);
const PREFIXES: usize = memory.data(24576, 16);
const FIELDS: usize = memory.data(384, 16);
const HIGHS: usize = memory.data(384, 16);
const PRODUCT: usize = memory.data(384, 16);
const TERM: usize = memory.data(384, 16);
const ONE: usize = memory.data(192, 16);

setSmall(ONE, 1);
initElligator2();

const FOUND: usize = memory.data(256, 16);
const GROUP_TWEAKS: usize = memory.data(16, 16);
const GROUP_FOUND: usize = memory.data(16, 16);
const GROUP_STRINGS: usize = memory.data(128, 16);

export function batchMax(): usize {
  return BATCH;
}

export function inputOffset(): usize {
  return INPUT;
}

export function outputOffset(): usize {
  return OUTPUT;
}

export function foundOffset(): usize {
  return FOUND;
}

export function tagOffset(): usize {
  return TAG_INPUT;
}

/** Takes the `sizeBytes` at `tagOffset` as domain separation tag. */
export function useTag(sizeBytes: usize): void {
  setTag(TAG_INPUT, sizeBytes);
}

/**
 * hash_to_curve of `count` messages of `sizeBytes` at `inputOffset`: u-coordinates to
 * `outputOffset`. Returns 0 where a message of the batch has none this way (two equal maps, or the
 * identity): the caller then takes the whole batch through its reference path.
 */
export function hashToCurve(count: usize, sizeBytes: usize): i32 {
  const pairs = (count + 1) >> 1;
  for (let i: usize = 0; i < pairs; i++) {
    const second = min<usize>(i * 2 + 1, count - 1);
    hashToFields(FIELDS, HIGHS, 0, INPUT + i * 2 * sizeBytes, sizeBytes);
    hashToFields(FIELDS, HIGHS, 1, INPUT + second * sizeBytes, sizeBytes);
    reduceWide(FIELDS, HIGHS);
    const x = XS + i * ELEMENT_BYTES;
    const z = ZS + i * ELEMENT_BYTES;
    mapAndAdd(FIELDS, x, z);
    for (let doublings = 0; doublings < 3; doublings++) double(x, z);
  }
  return divideAll(pairs, count);
}

/**
 * The index of the first of `count` encodings at `inputOffset` that is not canonical, not on the
 * curve or of low order; −1 where all are good.
 */
export function firstBadPoint(count: usize): i32 {
  for (let i: usize = 0; i < count; i++) {
    if (!isCanonical(INPUT + (i << 5)) || isLowOrder(INPUT + (i << 5))) return <i32>i;
  }
  for (let i: usize = 0; i < count; i += 4) {
    for (let k: usize = 0; k < 4; k++) {
      const point = INPUT + (min<usize>(i + k, count - 1) << 5);
      setLane(
        FIELDS + (k >> 1) * ELEMENT_BYTES,
        k & 1,
        load<u64>(point, 0),
        load<u64>(point, 8),
        load<u64>(point, 16),
        load<u64>(point, 24),
      );
    }
    // v² = ((u + A) · u + 1) · u has a root exactly where its quarter power is ±1.
    for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
      scaleAdd(FIELDS + at, ONE, 0, FIELDS + at);
      scaleAdd(TERM + at, ONE, CURVE_A, FIELDS + at);
    }
    multiplyPair(TERM, TERM, FIELDS);
    scaleAdd(TERM, ONE, 1, TERM);
    scaleAdd(TERM + ELEMENT_BYTES, ONE, 1, TERM + ELEMENT_BYTES);
    multiplyPair(TERM, TERM, FIELDS);
    power58Pair(PRODUCT, TERM);
    squarePair(PRODUCT, PRODUCT);
    multiplyPair(PRODUCT, PRODUCT, TERM);
    for (let k: usize = 0; k < 4 && i + k < count; k++) {
      const quarter = quarterOf(PRODUCT + (k >> 1) * ELEMENT_BYTES, k & 1);
      if (quarter !== QUARTER_ONE && quarter !== QUARTER_MINUS_ONE) return <i32>(i + k);
    }
  }
  return -1;
}

/** The points whose strings stand at `inputOffset`: u-coordinates to `outputOffset`. */
export function mapStrings(count: usize): void {
  for (let i: usize = 0; i < count; i += 4) {
    for (let k: usize = 0; k < 4; k++) {
      const string = INPUT + (min<usize>(i + k, count - 1) << 5);
      setLane(
        FIELDS + (k >> 1) * ELEMENT_BYTES,
        k & 1,
        load<u64>(string, 0),
        load<u64>(string, 8),
        load<u64>(string, 16),
        load<u64>(string, 24) & 0x3fffffffffffffff,
      );
    }
    for (let at: usize = 0; at < PAIR_BYTES; at += ELEMENT_BYTES) {
      scaleAdd(FIELDS + at, ONE, 0, FIELDS + at);
    }
    const at = (i >> 1) * ELEMENT_BYTES;
    mapEach(FIELDS, XS + at, ZS + at);
  }
  divideAll((count + 1) >> 1, count);
}

/**
 * The strings of the points at `inputOffset`, whose tweaks stand one byte each behind all of them: to
 * `outputOffset`, and where there is one, 1 into the byte of the point from `foundOffset` on.
 */
export function findStrings(count: usize): void {
  const tweaks = INPUT + (count << 5);
  for (let i: usize = 0; i < count; i += 4) {
    for (let k: usize = 0; k < 4; k++) {
      const from = min<usize>(i + k, count - 1);
      const tweak = load<u8>(tweaks + from);
      store<u8>(GROUP_TWEAKS + k, tweak);
      setPoint(k, INPUT + (from << 5), tweak);
    }
    stringsOf(GROUP_TWEAKS, GROUP_STRINGS, GROUP_FOUND);
    const size = min<usize>(4, count - i);
    memory.copy(OUTPUT + (i << 5), GROUP_STRINGS, size << 5);
    memory.copy(FOUND + i, GROUP_FOUND, size);
  }
}

/** XS / ZS to OUTPUT with one inversion for the batch; 0 where a divisor is zero. */
function divideAll(pairs: usize, count: usize): i32 {
  setSmall(PRODUCT, 1);
  copy(PRODUCT + ELEMENT_BYTES, PRODUCT);
  for (let i: usize = 0; i < pairs; i++) {
    copy(PREFIXES + i * ELEMENT_BYTES, PRODUCT);
    multiply(PRODUCT, PRODUCT, ZS + i * ELEMENT_BYTES);
  }
  if (isZeroLane(0) || isZeroLane(1)) return 0;
  // z^(p − 2) = (z^(2^252 − 3))^8 · z³
  power58Pair(TERM, PRODUCT);
  for (let i = 0; i < 3; i++) square(TERM, TERM);
  multiply(TERM, TERM, PRODUCT);
  square(PRODUCT, PRODUCT);
  multiply(PRODUCT, TERM, PRODUCT);
  for (let i: usize = pairs; i-- > 0; ) {
    multiply(TERM, PRODUCT, PREFIXES + i * ELEMENT_BYTES);
    multiply(PRODUCT, PRODUCT, ZS + i * ELEMENT_BYTES);
    multiply(TERM, TERM, XS + i * ELEMENT_BYTES);
    storeLane(OUTPUT + (i << 6), TERM, 0);
    if (i * 2 + 1 < count) storeLane(OUTPUT + (i << 6) + 32, TERM, 1);
  }
  return 1;
}

function isZeroLane(lane: usize): bool {
  storeLane(OUTPUT, PRODUCT, lane);
  return (
    (load<u64>(OUTPUT, 0) |
      load<u64>(OUTPUT, 8) |
      load<u64>(OUTPUT, 16) |
      load<u64>(OUTPUT, 24)) ===
    0
  );
}

/** Below p, and with it the top bit clear. */
function isCanonical(point: usize): bool {
  const w3 = load<u64>(point, 24);
  if (w3 !== 0x7fffffffffffffff) return w3 < 0x7fffffffffffffff;
  if (load<u64>(point, 16) !== u64.MAX_VALUE || load<u64>(point, 8) !== u64.MAX_VALUE) return true;
  return load<u64>(point, 0) < 0xffffffffffffffed;
}

// The u-coordinates of the points of order 1, 2, 4 and 8 on the curve and its twist: 0, 1, −1 and two more.
const LOW_ORDER: usize = memory.data<u64>([
  0, 0, 0, 0, 1, 0, 0, 0, 0xffffffffffffffec, 0xffffffffffffffff, 0xffffffffffffffff,
  0x7fffffffffffffff, 0xaeb8413b7c7aebe0, 0x6ac49ff1fae35616, 0xfdb1329ceb8d09da,
  0x00b8495f16056286, 0x248c50a3bc959c5f, 0x5bef839c55b1d0b1, 0x868e1c58c45c4404,
  0x57119fd0dd4e22d8,
]);

function isLowOrder(point: usize): bool {
  for (let i: usize = 0; i < 5; i++) {
    const low = LOW_ORDER + (i << 5);
    const difference =
      (load<u64>(point, 0) ^ load<u64>(low, 0)) |
      (load<u64>(point, 8) ^ load<u64>(low, 8)) |
      (load<u64>(point, 16) ^ load<u64>(low, 16)) |
      (load<u64>(point, 24) ^ load<u64>(low, 24));
    if (difference === 0) return true;
  }
  return false;
}
