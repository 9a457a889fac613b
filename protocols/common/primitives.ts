/**
 * Seam: native and WASM parts reach pure protocol code as this argument. Implemented in `workers/`
 * (native) and by @noble (the oracle in tests and the portable fallback). A protocol names just the
 * part it needs (`Pick<Primitives, 'hash'>`), so each is testable alone.
 */
import type { Ring } from './rings.ts';

export interface Primitives {
  readonly hash: HashPrimitive;
  readonly stream: StreamPrimitive;
  readonly x25519: X25519Primitive;
  readonly lanes: LanePrimitive;
  readonly curve: CurvePrimitive;
  readonly gf128: Gf128Primitive;
  readonly okvs: OkvsPrimitive;
  readonly vole: VolePrimitive;
}

export interface HashPrimitive {
  sha256(message: Uint8Array): Uint8Array;
  /**
   * SHA-256 of many messages, each behind the same prefix: 32 bytes each.
   * @param messages - one behind the other.
   * @param ends - where each of them ends.
   * @throws ProtocolError `length-wrong` unless they ascend to the end of the last message
   */
  sha256Each(prefix: Uint8Array, messages: Uint8Array, ends: Uint32Array): Uint8Array;
  sha512(message: Uint8Array): Uint8Array;
  /** @see RFC 5869 */
  hkdfSha256(
    secret: Uint8Array,
    salt: Uint8Array,
    info: Uint8Array,
    lengthBytes: number,
  ): Uint8Array;
}

/** Bytes of one segment: the 32-bit block counter of a segment starts at 2 and must not wrap. */
export const SEGMENT_BYTES_MAX = 2 ** 35;

export interface StreamPrimitive {
  /**
   * One segment of the AES-256 key stream in counter mode. The first counter block of segment s is
   * s as 96 big-endian bits, then the 32-bit number 2; only the last 32 bits count up. Segments of
   * a key never overlap, so work can start at any of them.
   *
   * Secret: `key`. A key with a segment is used for one purpose only.
   * @see NIST SP 800-38D §6.5 (GCTR from inc32 of a 96-bit IV's J0): the body of AES-GCM.
   */
  open(key: Uint8Array, segment: number): KeyStream;
}

export interface KeyStream {
  /** The next bytes; `lengthBytes` a multiple of 16. The view is valid until the next call. */
  next(lengthBytes: number): Uint8Array;
  /**
   * Gives the last view's memory back at once instead of when the collector comes by; the view must
   * not be read afterwards. Bulk work that does so stays in the processor's caches.
   */
  release?(): void;
}

export interface X25519Primitive {
  publicKey(secretKey: Uint8Array): Uint8Array;
  /** @throws ProtocolError `point-invalid` where the result is all zero (a low-order point). */
  sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

/** A key stream that is added (+1) or subtracted (−1). */
export interface SignedStream {
  readonly sign: 1 | -1;
  readonly stream: KeyStream;
}

/** Bulk arithmetic on the little-endian lanes of a ring. Lengths are whole lanes. */
export interface LanePrimitive {
  /**
   * target += Σ sign · word per lane, each stream giving `maskBytes(ring)` bytes a lane.
   * In `field61` a word is 128 bits reduced mod p, so a mask is within 2^−66 of uniform.
   */
  mask(ring: Ring, target: Uint8Array, streams: readonly SignedStream[]): void;
  /** target += Σ addends per lane, mod the ring. Field lanes must be canonical (below p). */
  add(ring: Ring, target: Uint8Array, addends: readonly Uint8Array[]): void;
  /** target *= factor per lane, in GF(2^61−1); `factor` is 8 little-endian bytes, below p. */
  multiplyField(target: Uint8Array, factor: Uint8Array): void;
}

/**
 * Batches of points of curve25519, each its canonical 32-byte u-coordinate (RFC 7748 §5), one
 * behind the other.
 */
export interface CurvePrimitive {
  /** What multiplies, for the log at start: `avx512ifma`, `sodium`, `openssl` or `noble`. */
  readonly engine: string;
  /**
   * `curve25519_XMD:SHA-512_ELL2_RO_` of each message, its u-coordinate, cofactor cleared.
   * @param tag - domain separation tag, 1..255 bytes.
   * @param messages - one behind the other, each `messageBytes` (0..1024) long.
   * @param count - how many there are.
   * @throws ProtocolError `point-invalid` where a message hashes to the identity (never in practice).
   * @see RFC 9380 §8.5
   */
  hashToCurve(
    tag: Uint8Array,
    messages: Uint8Array,
    messageBytes: number,
    count: number,
  ): Uint8Array;
  /**
   * X25519 of each point with one secret scalar (32 bytes, clamped as RFC 7748 says).
   *
   * Constant time in scalar and points. @throws ProtocolError `point-invalid` on a low-order point.
   */
  multiply(scalar: Uint8Array, points: Uint8Array): Uint8Array;
  /**
   * X25519 of one point with each of many secret scalars (32 bytes each, clamped as RFC 7748 says).
   *
   * Constant time in scalars and point. @throws ProtocolError `point-invalid` on a low-order point.
   */
  multiplyOne(scalars: Uint8Array, point: Uint8Array): Uint8Array;
  /**
   * Passes points that are canonical (top bit clear, below p), on the curve and not on its twist,
   * and not of low order; X25519 itself checks none of that.
   * @throws ProtocolError `point-invalid` naming the position of the first that is not.
   */
  requirePoints(points: Uint8Array): void;
  /**
   * The u-coordinate that Elligator 2 gives for each 32-byte string, of which the lower 254 bits
   * count: any string at all is a point of the curve, in all eight cosets of the prime subgroup.
   * @see RFC 9380 §6.7.1, without its choice of the other coordinate's sign
   */
  fromRepresentatives(representatives: Uint8Array): Uint8Array;
  /**
   * A string of which each point is the map, after a point of low order was added to it; half of
   * all points have none. For points of the prime subgroup made with a secret uniform scalar and
   * tweaks drawn uniformly, the strings found are uniform.
   *
   * Secret: which strings were made so and which were just drawn.
   * @param points - outputs of `multiply` of the prime subgroup.
   * @param tweaks - a byte a point: bits 0–2 the point of low order, bit 3 the one of two preimages,
   *   bits 6–7 the bits of the string that do not count.
   */
  toRepresentatives(points: Uint8Array, tweaks: Uint8Array): Representatives;
}

export interface Representatives {
  /** A byte a point: 1 where it has a representative. */
  readonly found: Uint8Array;
  /** 32 bytes a point. */
  readonly strings: Uint8Array;
}

/** Bulk work of VOLE: vectors of 16-byte blocks, AES-128 as a public permutation of them. */
export interface VolePrimitive {
  /** AES-128 of each block; the key is public, the blocks need not be. */
  permute(key: Uint8Array, blocks: Uint8Array): Uint8Array;
  /**
   * The bit matrix turned: bit i of row j is bit j of column i, bits counted from the lowest.
   * @param columns - `count` of them, a multiple of 16, one behind the other; rows a multiple of 8.
   * @returns the rows, count / 8 bytes each.
   */
  transpose(columns: Uint8Array, count: number): Uint8Array;
  /**
   * A GF(2)-linear map from 128 to 512 bits.
   * @param rows - 128 of 64 bytes: row i is what bit i of an element adds.
   */
  openMap(rows: Uint8Array): LinearMap;
  /** Room for the trees of one session. Owns memory: `close` it. */
  openLeaves(shape: LeafShape): LeafStore;
}

export interface LinearMap {
  /** target ⊕= the images of `elements`: 64 bytes for each 16. */
  addTo(target: Uint8Array, elements: Uint8Array): void;
}

/** `trees` binary trees with 2^`depth` leaves of 16 bytes each, compressed to `size` elements. */
export interface LeafShape {
  readonly trees: number;
  readonly depth: number;
  readonly size: number;
  /** Whether a vector of noise, all zero but for a place a tree, is compressed along. */
  readonly withNoise: boolean;
}

/** The two public AES keys under which a node has its left and its right child: π(x) ⊕ x. */
export type TreeKeys = readonly [Uint8Array, Uint8Array];

export interface LeafStore {
  /**
   * Grows all trees from their roots.
   * @param roots - 16 bytes a tree, secret.
   * @returns `levels`: for each tree and level the sums of the left and of the right nodes, 32
   *   bytes; `totals`: for each tree the sum of its leaves, 16 bytes.
   */
  grow(keys: TreeKeys, roots: Uint8Array): { levels: Uint8Array; totals: Uint8Array };
  /**
   * Grows all trees but for the way to one leaf each, which stays zero.
   * @param places - of the missing leaves, one a tree, secret.
   * @param sums - for each tree and level the sum of the nodes on the side that the way to the
   *   missing leaf does not take there, 16 bytes.
   * @returns for each tree the sum of its other leaves, 16 bytes.
   */
  growPunctured(keys: TreeKeys, places: Uint32Array, sums: Uint8Array): Uint8Array;
  /** Puts a leaf (16 bytes) at a place of a tree and `noise` (16 bytes) at the same place there. */
  place(tree: number, place: number, leaf: Uint8Array, noise: Uint8Array): void;
  /**
   * Compresses what is there with an expand-convolute code; the leaves are gone afterwards.
   * @param code - segments 0 and 1 of its stream give the convolutions, those from 2 on the passes of
   *   the expander.
   */
  compress(code: CodeStreams): { readonly leaves: Uint8Array; readonly noise: Uint8Array };
  close(): void;
}

/** A code as `compress` needs it. */
export interface CodeStreams {
  readonly taps: number;
  readonly regularTaps: number;
  open(segment: number): KeyStream;
}

/** Bulk arithmetic on vectors of GF(2^128). @see protocols/psi/vole/gf128.ts */
export interface Gf128Primitive {
  /**
   * target += scalar · vector, element by element. Constant time in all three.
   * @param scalar - one element.
   * @throws ProtocolError `length-wrong` unless both are whole elements, as many as the other.
   */
  accumulate(target: Uint8Array, scalar: Uint8Array, vector: Uint8Array): void;
  /** target += vector. @throws ProtocolError `length-wrong` */
  add(target: Uint8Array, vector: Uint8Array): void;
}

/** Sizes of a band OKVS. @see protocols/psi/vole/band.ts */
export interface BandShape {
  /** Items it holds at most. */
  readonly itemsMax: number;
  readonly elementBytes: number;
  /** Field elements of its vector, a multiple of 4. */
  readonly columns: number;
  /** Coefficients of a band, 1..256. */
  readonly width: number;
  /** Of an item's value: 16 where not said, 64 for `decodeWords`. */
  readonly valueBytes?: 16 | 64;
}

/** Sets under a band OKVS (Bienstock, Patel, Seo, Yeo, USENIX Security 2023) in one memory. */
export interface OkvsPrimitive {
  /** What works, for the log at start: `wasm` or `portable`. */
  readonly engine: string;
  /** Memory for sets of one shape, one set at a time. `close` it. */
  open(shape: BandShape): OkvsTable;
  /**
   * Shares elements out into parts by the first word of their keyed BLAKE3.
   * @param key - 32 bytes.
   * @param elements - `elementBytes` (1..64) each, 4 MiB at most.
   * @param parts - 1..1024.
   * @throws ProtocolError `length-wrong`, `parameter-invalid`
   */
  shareOut(key: Uint8Array, elements: Uint8Array, elementBytes: number, parts: number): Shares;
}

/** Elements part by part. */
export interface Shares {
  readonly elements: Uint8Array;
  /** Which element of the input each is. */
  readonly numbers: Uint32Array;
  /** Where each part starts, counted in elements, and where the last one ends. */
  readonly starts: Uint32Array;
}

/**
 * One set with what is computed on it: `load`, then `encode` or not, then `decode`, `addHashes` (or
 * `decodeWords`, `addImages`), `outputs`, `match`. Secret: all of it; `close` wipes it.
 */
export interface OkvsTable {
  /**
   * Takes a set in: each element's keyed BLAKE3, 64 bytes, gives a field element H, a place and a
   * band.
   * @param key - 32 bytes.
   * @param pieces - 0..`itemsMax` elements of `elementBytes` (1..64) each, in whole.
   * @throws ProtocolError `length-wrong`, `set-too-large`
   */
  load(key: Uint8Array, pieces: readonly Uint8Array[]): void;
  /**
   * Solves for a vector that decodes to H of every item.
   * @param vector - `columns` elements, uniform and fresh; those the system leaves free stay.
   * @returns `dependent` where the bands are: the vector is as it was, and another key may do.
   * @throws ProtocolError `point-repeated` where an element comes twice
   */
  encode(vector: Uint8Array): 'encoded' | 'dependent';
  /** Sets each item's value to the sum of the columns that its band chooses. */
  decode(vector: Uint8Array): void;
  /** Each value += scalar · H. */
  addHashes(scalar: Uint8Array): void;
  /** As `decode`, of words of 64 bytes, in a table whose values have as many. */
  decodeWords(words: Uint8Array): void;
  /** Each value of 64 bytes += the image of H. */
  addImages(map: LinearMap): void;
  /**
   * The keyed BLAKE3 of each value, those of 16 bytes with their H, cut to `outputBytes` (5..12), ascending.
   * @throws ProtocolError `point-repeated` where two are the same: an element that comes twice
   */
  outputs(key: Uint8Array, outputBytes: number): Uint8Array;
  /**
   * After `outputs`: takes the next piece of another strictly ascending list of such outputs.
   * @returns the numbers of the elements whose outputs are in it.
   * @throws ProtocolError `point-repeated`, `message-malformed` where the list does not ascend
   */
  match(piece: Uint8Array): Uint32Array;
  close(): void;
}
