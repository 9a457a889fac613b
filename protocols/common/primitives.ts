/**
 * Seam: native and WASM parts reach pure protocol code as this argument. Implemented in `workers/`
 * (native) and by @noble (the oracle in tests and the portable fallback). A protocol names just the
 * part it needs (`Pick<Primitives, 'hash'>`), so each is testable alone.
 */

export interface Primitives {
  readonly hash: HashPrimitive;
  readonly stream: StreamPrimitive;
  readonly x25519: X25519Primitive;
  readonly lanes: LanePrimitive;
}

export interface HashPrimitive {
  sha256(message: Uint8Array): Uint8Array;
  sha512(message: Uint8Array): Uint8Array;
  /** @see RFC 5869 */
  hkdfSha256(
    secret: Uint8Array,
    salt: Uint8Array,
    info: Uint8Array,
    lengthBytes: number,
  ): Uint8Array;
}

export interface StreamPrimitive {
  /** An AES-256-CTR key stream with a zero starting counter; a key is used for one stream only. */
  open(key: Uint8Array): KeyStream;
}

export interface KeyStream {
  /** The next bytes; `lengthBytes` a multiple of 16. The view is valid until the next call. */
  next(lengthBytes: number): Uint8Array;
}

export interface X25519Primitive {
  publicKey(secretKey: Uint8Array): Uint8Array;
  /** @throws ProtocolError `point-invalid` where the result is all zero (a low-order point). */
  sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

/** Bulk arithmetic on little-endian lanes; both arrays have the same length. */
export interface LanePrimitive {
  /** target += addend per 64-bit lane, mod 2^64. */
  add64(target: Uint8Array, addend: Uint8Array): void;
  /** target −= subtrahend per 64-bit lane, mod 2^64. */
  subtract64(target: Uint8Array, subtrahend: Uint8Array): void;
  /** target += addend per 128-bit lane, mod 2^128. */
  add128(target: Uint8Array, addend: Uint8Array): void;
  subtract128(target: Uint8Array, subtrahend: Uint8Array): void;
}
