/** The gateway's part: it adds what it cannot read. */
import { isCanonicalField } from '../common/field61.ts';
import type { Primitives } from '../common/primitives.ts';
import { ProtocolError } from '../common/protocol-error.ts';
import { bodyBytes, sections, type Layout } from './params.ts';

/**
 * Adds parties' masked bodies of one block into `total`; once every party's is in, the pairwise
 * masks are gone. Called again with the next parties' bodies, so memory does not grow with them.
 *
 * @param total - changed in place; zeros, or the first party's body, before the first call.
 * @throws ProtocolError `length-wrong`; `value-out-of-range` for a lane that is no field element.
 */
export function addBodies(
  primitives: Pick<Primitives, 'lanes'>,
  layout: Layout,
  block: number,
  total: Uint8Array,
  bodies: readonly Uint8Array[],
): void {
  const lengthBytes = bodyBytes(layout, block);
  for (const body of [total, ...bodies]) {
    if (body.length !== lengthBytes) {
      throw new ProtocolError('length-wrong', `${body.length} bytes where ${lengthBytes} belong`);
    }
  }
  for (const { ring, offset, length } of sections(layout, block)) {
    const part = (body: Uint8Array): Uint8Array => body.subarray(offset, offset + length);
    const addends = bodies.map(part);
    if (ring === 'field61' && ![part(total), ...addends].every(isCanonicalField)) {
      throw new ProtocolError('value-out-of-range', 'a masked lane is not a field element');
    }
    primitives.lanes.add(ring, part(total), addends);
  }
}
