/** The rings that lanes live in, all little-endian. */

/** Integers mod 2^64, mod 2^128, and the field of p = 2^61 − 1 elements. */
export type Ring = 'mod64' | 'mod128' | 'field61';

/** Bytes a lane takes in a message. */
export function laneBytes(ring: Ring): 8 | 16 {
  return ring === 'mod128' ? 16 : 8;
}

/** Bytes of key stream a lane's mask takes: twice its size in the field, against bias. */
export function maskBytes(ring: Ring): 8 | 16 {
  return ring === 'mod64' ? 8 : 16;
}
