/**
 * What the two sides of a VOLE session end with, and what they bring. The layers above (OKVS, OPRF,
 * PSI) are written against this file alone.
 *
 * Elements of GF(2^128) are 16 bytes little-endian, bit i the coefficient of x^i, modulo
 * x^128 + x^7 + x^2 + x + 1. Vectors hold them one behind the other.
 *
 * Both engines give a GF(2)-linear map L, known to the sender alone, and words with
 *
 *     sender's word i = receiver's word i ⊕ L(P_i)
 *
 * for a vector P that only the receiver knows. The OKVS decodes with binary coefficients, so decoding
 * keeps the relation, and an OPRF follows from either engine in the same way:
 *
 * - `lpn` (`vole-sender.ts`, `vole-receiver.ts`): 16-byte words. Sender: (Δ, B), receiver: (A, C),
 *   C_i = Δ · A_i + B_i, A pseudo-random. The receiver then sends A + P, and with
 *   Q = B + Δ · (A + P) it holds that Q = C + Δ · P: L is multiplication with Δ.
 * - `ot` (`ot-sender.ts`, `ot-receiver.ts`), without LPN: 64-byte words, P is an input and nothing is
 *   to be sent after it. Q_i = T_i ⊕ (E(P_i) ∧ s) with a public linear code E of 512 bits:
 *   L is encoding, then choosing the bits of s.
 */
import type { Primitives } from '../../common/primitives.ts';

/** What a party brings to a session besides parameters. */
export interface VoleMachine {
  readonly primitives: Primitives;
  /** Fresh random bytes; fixed only in tests. */
  readonly randomBytes: (count: number) => Uint8Array;
}

/** Public and equal on both sides; a peer with others is found out at the first message. */
export interface VoleParams {
  /** Elements of the correlation, 1..`VOLE_SIZE_MAX`. */
  readonly size: number;
  /** Names the session: 32 bytes that no other session of these parties has. */
  readonly context: Uint8Array;
}

export const VOLE_SIZE_MAX = 6_000_000;

/** The side that holds Δ (the PSI sender). Secret, all of it; for one session only. */
export interface SenderCorrelation {
  /** 16 bytes, uniform, drawn for this session. */
  readonly delta: Uint8Array;
  /** size × 16 bytes. */
  readonly b: Uint8Array;
}

/** The other side (the PSI receiver). Secret, all of it; for one session only. */
export interface ReceiverCorrelation {
  /** size × 16 bytes, pseudo-random. */
  readonly a: Uint8Array;
  /** size × 16 bytes: `delta` · `a` + `b`. */
  readonly c: Uint8Array;
}

/** The sender's side without LPN. Secret, all of it; for one session only. */
export interface OtSenderCorrelation {
  /**
   * L: 128 rows of 64 bytes, row i what bit i of an element adds (the code's generator ∧ s).
   * `VolePrimitive.openMap` applies it.
   */
  readonly map: Uint8Array;
  /** size × 64 bytes: the receiver's word ⊕ L(P_i). */
  readonly q: Uint8Array;
}

/** The receiver's side without LPN. Secret; for one session only. */
export interface OtReceiverCorrelation {
  /** size × 64 bytes, pseudo-random. */
  readonly t: Uint8Array;
}
