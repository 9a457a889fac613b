// SHA-256 of many short messages (FIPS 180-4 §6.2), four at a time, one in each 32-bit lane.
// AssemblyScript; its TypeScript side is ../native-sha256.ts. All pointers are the caller's, from
// `heapStart` on.

const ROUND_CONSTANTS: usize = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

const INITIAL_STATE: usize = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]);

/** Eight state words and sixty-four of the schedule, four lanes each. */
const STATE: usize = memory.data(128, 16);
const SCHEDULE: usize = memory.data(1024, 16);
/** Blocks of each lane's message. */
const BLOCKS: usize = memory.data(16, 16);

/** Memory from here on is free. */
export function heapStart(): usize {
  return __heap_base;
}

/**
 * Digests, 32 bytes each, of the messages that end at `ends`, each behind the same prefix.
 * @param messages - one behind the other; up to 15 bytes behind the last are read.
 * @param lanes - room for four padded messages, `laneBytes` each: the longest, and 128 bytes.
 * @param out - up to three digests more than there are messages are written.
 */
export function hashEach(
  prefix: usize,
  prefixBytes: usize,
  messages: usize,
  ends: usize,
  count: usize,
  lanes: usize,
  laneBytes: usize,
  out: usize,
): void {
  for (let lane: usize = 0; lane < 4; lane++) {
    memory.copy(lanes + lane * laneBytes, prefix, prefixBytes);
  }
  for (let first: usize = 0; first < count; first += 4) {
    let most: u32 = 0;
    for (let lane: usize = 0; lane < 4; lane++) {
      // The last message stands in for those missing to four.
      const index = min<usize>(first + lane, count - 1);
      const start: usize = index === 0 ? 0 : load<u32>(ends + ((index - 1) << 2));
      const bytes = <usize>load<u32>(ends + (index << 2)) - start;
      const blocks = pad(lanes + lane * laneBytes, prefixBytes, messages + start, bytes);
      store<u32>(BLOCKS + (lane << 2), blocks);
      most = max<u32>(most, blocks);
    }
    for (let i: usize = 0; i < 8; i++) {
      v128.store(STATE + (i << 4), v128.splat<u32>(load<u32>(INITIAL_STATE + (i << 2))));
    }
    for (let block: u32 = 0; block < most; block++) {
      // A lane that is done goes on with what lies there; its digest was taken.
      compress(lanes + (<usize>block << 6), laneBytes);
      for (let lane: usize = 0; lane < 4; lane++) {
        if (load<u32>(BLOCKS + (lane << 2)) !== block + 1) continue;
        takeDigest(lane, out + ((first + lane) << 5));
      }
    }
  }
  // The last messages' words.
  memory.fill(STATE, 0, 128);
  memory.fill(SCHEDULE, 0, 1024);
  memory.fill(BLOCKS, 0, 16);
}

/** Puts a message behind the prefix and pads both; how many blocks that is. */
function pad(to: usize, prefixBytes: usize, message: usize, bytes: usize): u32 {
  const from = to + prefixBytes;
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(from + at, v128.load(message + at));
  }
  const end = from + bytes;
  const zero = v128.splat<u32>(0);
  v128.store(end, zero);
  v128.store(end + 16, zero);
  v128.store(end + 32, zero);
  v128.store(end + 48, zero);
  store<u8>(end, 0x80);
  const blocks = (prefixBytes + bytes + 72) >> 6;
  store<u64>(to + (blocks << 6) - 8, bswap<u64>(<u64>(prefixBytes + bytes) << 3));
  return <u32>blocks;
}

function takeDigest(lane: usize, out: usize): void {
  for (let i: usize = 0; i < 8; i++) {
    store<u32>(out + (i << 2), bswap<u32>(load<u32>(STATE + (i << 4) + (lane << 2))));
  }
}

// @ts-ignore: decorator
@inline
function bigEndian(at: usize): v128 {
  const x = v128.load(at);
  return v128.shuffle<u8>(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

/** Four words of each of four blocks become four words of four lanes. */
// @ts-ignore: decorator
@inline
function loadQuarter(block: usize, laneBytes: usize, quarter: usize): void {
  const at = block + (quarter << 4);
  const a = bigEndian(at);
  const b = bigEndian(at + laneBytes);
  const c = bigEndian(at + 2 * laneBytes);
  const d = bigEndian(at + 3 * laneBytes);
  const ab = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  const AB = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const CD = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  const to = SCHEDULE + (quarter << 6);
  v128.store(to, v128.shuffle<u64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<u64>(ab, cd, 1, 3), 16);
  v128.store(to, v128.shuffle<u64>(AB, CD, 0, 2), 32);
  v128.store(to, v128.shuffle<u64>(AB, CD, 1, 3), 48);
}

// @ts-ignore: decorator
@inline
function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shr_u(x, by), i32x4.shl(x, 32 - by));
}

/** What a round adds before its majority: h, the choice, the schedule's word and the constant. */
// @ts-ignore: decorator
@inline
function mix(e: v128, f: v128, g: v128, h: v128, i: usize): v128 {
  const sum = v128.xor(v128.xor(rotate(e, 6), rotate(e, 11)), rotate(e, 25));
  const word = v128.add<i32>(
    v128.load(SCHEDULE + (i << 4)),
    v128.splat<u32>(load<u32>(ROUND_CONSTANTS + (i << 2))),
  );
  return v128.add<i32>(v128.add<i32>(h, word), v128.add<i32>(sum, v128.bitselect(f, g, e)));
}

// @ts-ignore: decorator
@inline
function majority(a: v128, b: v128, c: v128): v128 {
  const sum = v128.xor(v128.xor(rotate(a, 2), rotate(a, 13)), rotate(a, 22));
  return v128.add<i32>(sum, v128.bitselect(c, b, v128.xor(a, b)));
}

// @ts-ignore: decorator
@inline
function addState(i: usize, x: v128): void {
  v128.store(STATE + (i << 4), v128.add<i32>(v128.load(STATE + (i << 4)), x));
}

/** Absorbs a block of each lane. */
function compress(block: usize, laneBytes: usize): void {
  loadQuarter(block, laneBytes, 0);
  loadQuarter(block, laneBytes, 1);
  loadQuarter(block, laneBytes, 2);
  loadQuarter(block, laneBytes, 3);
  for (let p: usize = SCHEDULE + 256; p < SCHEDULE + 1024; p += 16) {
    const w15 = v128.load(p - 240);
    const w2 = v128.load(p - 32);
    const s0 = v128.xor(v128.xor(rotate(w15, 7), rotate(w15, 18)), i32x4.shr_u(w15, 3));
    const s1 = v128.xor(v128.xor(rotate(w2, 17), rotate(w2, 19)), i32x4.shr_u(w2, 10));
    const sum = v128.add<i32>(v128.load(p - 256), v128.load(p - 112));
    v128.store(p, v128.add<i32>(v128.add<i32>(sum, s0), s1));
  }
  let a = v128.load(STATE);
  let b = v128.load(STATE, 16);
  let c = v128.load(STATE, 32);
  let d = v128.load(STATE, 48);
  let e = v128.load(STATE, 64);
  let f = v128.load(STATE, 80);
  let g = v128.load(STATE, 96);
  let h = v128.load(STATE, 112);
  // Eight rounds a turn: the roles of the words rotate, so no word has to move.
  for (let i: usize = 0; i < 64; i += 8) {
    h = mix(e, f, g, h, i);
    d = v128.add<i32>(d, h);
    h = v128.add<i32>(h, majority(a, b, c));
    g = mix(d, e, f, g, i + 1);
    c = v128.add<i32>(c, g);
    g = v128.add<i32>(g, majority(h, a, b));
    f = mix(c, d, e, f, i + 2);
    b = v128.add<i32>(b, f);
    f = v128.add<i32>(f, majority(g, h, a));
    e = mix(b, c, d, e, i + 3);
    a = v128.add<i32>(a, e);
    e = v128.add<i32>(e, majority(f, g, h));
    d = mix(a, b, c, d, i + 4);
    h = v128.add<i32>(h, d);
    d = v128.add<i32>(d, majority(e, f, g));
    c = mix(h, a, b, c, i + 5);
    g = v128.add<i32>(g, c);
    c = v128.add<i32>(c, majority(d, e, f));
    b = mix(g, h, a, b, i + 6);
    f = v128.add<i32>(f, b);
    b = v128.add<i32>(b, majority(c, d, e));
    a = mix(f, g, h, a, i + 7);
    e = v128.add<i32>(e, a);
    a = v128.add<i32>(a, majority(b, c, d));
  }
  addState(0, a);
  addState(1, b);
  addState(2, c);
  addState(3, d);
  addState(4, e);
  addState(5, f);
  addState(6, g);
  addState(7, h);
}
