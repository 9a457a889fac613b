/** The messages of the unbalanced match as bytes. All numbers little-endian. The README numbers them. */
import { equalBytes, viewOf } from '../../common/bytes.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiRole } from '../messages.ts';
import { bucketOf, CONTEXT_BYTES, type PsiParams } from '../params.ts';

/** Kinds under which the messages travel. */
export const OPRF_HELLO = 'oprf.hello';
export const OPRF_FILTER = 'oprf.filter';
export const OPRF_POINTS = 'oprf.points';
export const OPRF_EVALUATED = 'oprf.evaluated';

/** A filter travels and is kept in pieces of so many bytes, the last one shorter. */
export const FILTER_PIECE_BYTES = 1_048_576;
export const FILTER_DIGEST_BYTES = 32;
/** Said by a client that has kept no filter. */
export const NO_FILTER: Uint8Array = new Uint8Array(FILTER_DIGEST_BYTES);

const VERSION = 1;
const ROLES: Readonly<Record<PsiRole, number>> = { sender: 1, receiver: 2 };
const DUPLICATES: Readonly<Record<PsiParams['duplicates'], number>> = {
  multiplicity: 1,
  distinct: 2,
};
/** version, role, duplicates, 0, chunk items, items, context, filter. */
const DIGEST_AT = 12 + CONTEXT_BYTES;
const HELLO_BYTES = DIGEST_AT + FILTER_DIGEST_BYTES;

/** What each side says first: what it believes was agreed, its padded items, the filter it has. */
export interface OprfHello {
  readonly items: number;
  /** The sender's filter, or the one the receiver has kept. */
  readonly filterDigest: Uint8Array;
}

export function encodeOprfHello(params: PsiParams, role: PsiRole, hello: OprfHello): Uint8Array {
  const out = new Uint8Array(HELLO_BYTES);
  out.set([VERSION, ROLES[role], DUPLICATES[params.duplicates]]);
  const view = viewOf(out);
  view.setUint32(4, params.chunkItems, true);
  view.setUint32(8, hello.items, true);
  out.set(params.context, 12);
  out.set(hello.filterDigest, DIGEST_AT);
  return out;
}

/**
 * What the peer says of itself, once everything else in its hello is as agreed.
 * @throws ProtocolError `length-wrong`, `transcript-mismatch` or `set-too-large`
 */
export function parseOprfHello(params: PsiParams, role: PsiRole, message: Uint8Array): OprfHello {
  if (message.length !== HELLO_BYTES) {
    throw new ProtocolError('length-wrong', `a hello has ${HELLO_BYTES} bytes`);
  }
  const items = viewOf(message).getUint32(8, true);
  const hello = { items, filterDigest: message.slice(DIGEST_AT) };
  if (!equalBytes(message, encodeOprfHello(params, role, hello))) {
    throw new ProtocolError('transcript-mismatch', 'the peer runs with other parameters');
  }
  if (items > (params.peerSizeMax ?? params.setSizeMax)) {
    throw new ProtocolError('set-too-large', `the peer announces ${items} items`);
  }
  if (bucketOf(items) !== items) {
    throw new ProtocolError('length-wrong', 'the peer did not pad its set to a bucket');
  }
  return hello;
}
