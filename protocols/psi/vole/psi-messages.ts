/** The messages of the match as bytes. All numbers little-endian. The README numbers them. */
import { concatBytes, lengthPrefixed, viewOf } from '../../common/bytes.ts';
import type { HashPrimitive } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';
import { CONTEXT_BYTES, isWireSize } from '../params.ts';
import type { PsiRole } from '../messages.ts';
import type { VolePsiParams } from './psi-params.ts';

/** Kinds under which the messages travel. */
export const VOLE_HELLO = 'psi.vole-hello';
export const START = 'psi.vole-start';
export const MASKED = 'psi.vole-masked';
export const OUTPUTS = 'psi.vole-outputs';

const VERSION = 1;
const ROLES: Readonly<Record<PsiRole, number>> = { sender: 1, receiver: 2 };
const DUPLICATES: Readonly<Record<VolePsiParams['duplicates'], number>> = {
  multiplicity: 1,
  distinct: 2,
};
const PADDINGS: Readonly<Record<VolePsiParams['padding'], number>> = { bucket: 1, none: 2, cap: 3 };
export const NONCE_BYTES = 32;
/** version, role, duplicates, padding, chunk items, part items, own items, nonce, context */
const HELLO_BYTES = 4 + 4 + 4 + 4 + NONCE_BYTES + CONTEXT_BYTES;
const ITEMS_AT = 12;
const NONCE_AT = 16;
/** part, attempt */
const START_BYTES = 8;
/** Seeds tried at most: one fails with probability below 2^−40. */
export const ATTEMPTS_MAX = 4;

/** What both sides know once they have greeted each other. */
export interface VoleGreeting {
  readonly peerItems: number;
  /** Public keys of this run: both sides' nonces are in each. */
  readonly keyOf: (purpose: KeyPurpose, part: number, attempt?: number) => Uint8Array;
}

export type KeyPurpose = 'parts' | 'canaries' | 'correlation' | 'items' | 'outputs';

/**
 * Exchanges hellos.
 * @param nonce - 32 fresh bytes.
 * @throws ProtocolError `length-wrong`, `transcript-mismatch`, `set-too-large`
 */
export async function greetVole(
  hash: HashPrimitive,
  channel: PsiChannel,
  params: VolePsiParams,
  role: PsiRole,
  ownItems: number,
  nonce: Uint8Array,
): Promise<VoleGreeting> {
  const peerRole = role === 'sender' ? 'receiver' : 'sender';
  const own = encodeHello(params, role, ownItems, nonce);
  const [, theirs] = await Promise.all([
    channel.send(VOLE_HELLO, own),
    channel.receive(VOLE_HELLO),
  ]);
  const peerItems = parseHello(params, peerRole, theirs);
  const ordered = role === 'sender' ? [own, theirs] : [theirs, own];
  const root = hash.sha256(lengthPrefixed(['weir-psi-vole/1', ...ordered]));
  return {
    peerItems,
    keyOf: (purpose, part, attempt = 0) => {
      const numbers = new Uint8Array(8);
      viewOf(numbers).setUint32(0, part, true);
      viewOf(numbers).setUint32(4, attempt, true);
      return hash.sha256(lengthPrefixed([root, purpose, numbers]));
    },
  };
}

function encodeHello(
  params: VolePsiParams,
  role: PsiRole,
  items: number,
  nonce: Uint8Array,
): Uint8Array {
  const head = new Uint8Array(NONCE_AT);
  head.set([VERSION, ROLES[role], DUPLICATES[params.duplicates], PADDINGS[params.padding]]);
  viewOf(head).setUint32(4, params.chunkItems, true);
  viewOf(head).setUint32(8, params.partItemsMax, true);
  viewOf(head).setUint32(ITEMS_AT, items, true);
  return concatBytes([head, nonce, params.context]);
}

/** The peer's number of items, once everything else in its hello is as agreed. */
function parseHello(params: VolePsiParams, role: PsiRole, message: Uint8Array): number {
  if (message.length !== HELLO_BYTES) {
    throw new ProtocolError('length-wrong', `a hello has ${HELLO_BYTES} bytes`);
  }
  const items = viewOf(message).getUint32(ITEMS_AT, true);
  const nonce = message.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES);
  const expected = encodeHello(params, role, items, nonce);
  if (!message.every((byte, at) => byte === expected[at])) {
    throw new ProtocolError('transcript-mismatch', 'the peer runs with other parameters');
  }
  if (items > (params.peerSizeMax ?? params.setSizeMax)) {
    throw new ProtocolError('set-too-large', `the peer announces ${items} items`);
  }
  if (!isWireSize(params, items)) {
    throw new ProtocolError('length-wrong', 'the peer did not pad its set to a bucket');
  }
  return items;
}

/** Which attempt at a part's encoding succeeded. */
export function encodeStart(part: number, attempt: number): Uint8Array {
  const out = new Uint8Array(START_BYTES);
  viewOf(out).setUint32(0, part, true);
  viewOf(out).setUint32(4, attempt, true);
  return out;
}

/** @throws ProtocolError `length-wrong`, `message-unexpected`, `message-malformed` */
export function parseStart(part: number, message: Uint8Array): number {
  if (message.length !== START_BYTES) {
    throw new ProtocolError('length-wrong', `a start has ${START_BYTES} bytes`);
  }
  if (viewOf(message).getUint32(0, true) !== part) {
    throw new ProtocolError('message-unexpected', `part ${part} was due`);
  }
  const attempt = viewOf(message).getUint32(4, true);
  if (attempt < ATTEMPTS_MAX) return attempt;
  throw new ProtocolError('message-malformed', 'a start names no attempt');
}
