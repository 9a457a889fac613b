/** Uniform slots mod a 36-bit t by rejection, from a key stream: secret masks of secret weights. */
import type { KeyStream } from '../common/primitives.ts';
import { viewOf } from '../common/bytes.ts';
import { ProtocolError } from '../common/protocol-error.ts';

const BLOCK_BYTES = 4096;
const CANDIDATE_MASK = (1n << 36n) - 1n;

/** The next `count` integers of the stream, each uniform in [0, t). */
export function uniformSlots(
  stream: KeyStream,
  plainModulus: bigint,
  count: number,
): BigUint64Array<ArrayBuffer> {
  if (plainModulus > CANDIDATE_MASK || plainModulus <= CANDIDATE_MASK >> 1n)
    throw new ProtocolError('parameter-invalid', 'the sampler is made for 36-bit moduli');
  const slots = new BigUint64Array(count);
  let filled = 0;
  while (filled < count) {
    const view = viewOf(stream.next(BLOCK_BYTES));
    for (let at = 0; at < BLOCK_BYTES && filled < count; at += 8) {
      const candidate = view.getBigUint64(at, true) & CANDIDATE_MASK;
      if (candidate < plainModulus) slots[filled++] = candidate;
    }
  }
  return slots;
}
