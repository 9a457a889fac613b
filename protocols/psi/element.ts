/**
 * What is hashed to the curve: a real element is the digest of a join key with its occurrence, a
 * dummy is random, a shared dummy is the run's context with a number and matches the same one of the
 * peer. The first byte tells them apart, so that no dummy can ever equal an element.
 */
import { viewOf } from '../common/bytes.ts';

export const DIGEST_BYTES = 32;
/** kind, digest or randomness, occurrence */
export const ELEMENT_BYTES = 1 + DIGEST_BYTES + 4;

const REAL = 0;
const DUMMY = 1;
const SHARED_DUMMY = 2;
const PROBE_BASE = 3;

/** Writes the element of one occurrence (0, 1, 2 …) of a key at `at` of `out`. */
export function writeElement(
  out: Uint8Array,
  at: number,
  digest: Uint8Array,
  occurrence: number,
): void {
  out[at] = REAL;
  out.set(digest, at + 1);
  const behind = at + 1 + DIGEST_BYTES;
  // Little-endian; a view made for each of millions of elements would cost more than all of this.
  for (let i = 0; i < 4; i++) out[behind + i] = occurrence >>> (8 * i);
}

/**
 * Shared dummies `first` to `first + count − 1` of a run: the peer makes the same ones.
 * @param context - `DIGEST_BYTES` of the run.
 */
export function sharedDummyElements(context: Uint8Array, first: number, count: number): Uint8Array {
  const out = new Uint8Array(count * ELEMENT_BYTES);
  const view = viewOf(out);
  for (let i = 0; i < count; i++) {
    const at = i * ELEMENT_BYTES;
    out[at] = SHARED_DUMMY;
    out.set(context, at + 1);
    view.setUint32(at + 1 + DIGEST_BYTES, first + i, true);
  }
  return out;
}

/**
 * What every probe of a run is a multiple of: fixed by the context, so that neither side chooses it.
 * @param context - `DIGEST_BYTES` of the run.
 */
export function probeBaseElement(context: Uint8Array): Uint8Array {
  const out = new Uint8Array(ELEMENT_BYTES);
  out[0] = PROBE_BASE;
  out.set(context, 1);
  return out;
}

/** Dummies from `count` × `DIGEST_BYTES` random bytes: no two alike, none like any key's. */
export function dummyElements(random: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(count * ELEMENT_BYTES);
  for (let i = 0; i < count; i++) {
    out[i * ELEMENT_BYTES] = DUMMY;
    const part = random.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES);
    out.set(part, i * ELEMENT_BYTES + 1);
  }
  return out;
}
