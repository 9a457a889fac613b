/**
 * One session between two parties: the greeting that fixes parameters and names the session, and the
 * digest of everything that was said, by which a message changed on its way is found out.
 */
import { concatBytes, equalBytes, lengthPrefixed, viewOf } from '../../common/bytes.ts';
import type { HashPrimitive } from '../../common/primitives.ts';
import { ProtocolError } from '../../common/protocol-error.ts';
import type { PsiChannel } from '../exchange.ts';

/** Kinds under which the messages travel. The README numbers them. */
export const HELLO = 'vole.hello';
export const CHOICES = 'vole.choices';
export const EXTENSION = 'vole.extension';
export const NOISE = 'vole.noise';
export const CHECK = 'vole.check';

export type VoleRole = 'sender' | 'receiver';
const ROLES: Readonly<Record<VoleRole, number>> = { sender: 1, receiver: 2 };
const VERSION = 1;
const NONCE_BYTES = 32;
const CONTEXT_BYTES = 32;
export const DIGEST_BYTES = 32;

/** What both sides must have alike. */
export interface SessionTerms {
  /** Engine and code, for example `lpn ec-21x24`. */
  readonly engine: string;
  /** Sizes that follow from the parameters. */
  readonly numbers: readonly number[];
  /** 32 bytes, no two sessions alike. */
  readonly context: Uint8Array;
}

/** A session under way. */
export interface VoleSession {
  /** 32 bytes, the same on both sides and in no other session: both parties' nonces are in it. */
  readonly id: Uint8Array;
  /** What the peer put behind its greeting. */
  readonly peerExtra: Uint8Array;
  send(kind: string, payload: Uint8Array): Promise<void>;
  /** @throws ProtocolError `length-wrong` */
  receive(kind: string, sizeBytes: number): Promise<Uint8Array>;
  /** Sends `payload` behind a digest of all that was sent and received, and of itself. */
  sendSealed(kind: string, payload: Uint8Array): Promise<void>;
  /** @throws ProtocolError `length-wrong`, `transcript-mismatch` */
  receiveSealed(kind: string, sizeBytes: number): Promise<Uint8Array>;
  /** A public key of this session for one purpose. */
  publicKey(purpose: string, sizeBytes: number): Uint8Array;
}

/**
 * Exchanges greetings.
 * @param nonce - 32 fresh bytes.
 * @param extra - goes along with the greeting.
 * @param peerExtraBytes - length of what the peer sends along.
 * @throws ProtocolError `length-wrong`, `transcript-mismatch` where the peer has other terms
 */
export async function openSession(
  hash: HashPrimitive,
  channel: PsiChannel,
  terms: SessionTerms,
  role: VoleRole,
  nonce: Uint8Array,
  extra: Uint8Array,
  peerExtraBytes: number,
): Promise<VoleSession> {
  if (terms.context.length !== CONTEXT_BYTES) {
    throw new ProtocolError('parameter-invalid', `a context has ${CONTEXT_BYTES} bytes`);
  }
  const peerRole = role === 'sender' ? 'receiver' : 'sender';
  const own = concatBytes([encodeTerms(hash, terms, role), nonce, extra]);
  const expected = encodeTerms(hash, terms, peerRole);
  // At the same time: a channel may hold a message back until the other side takes it.
  const [, peer] = await Promise.all([channel.send(HELLO, own), channel.receive(HELLO)]);
  requireLength(HELLO, peer, expected.length + NONCE_BYTES + peerExtraBytes);
  if (!equalBytes(peer.subarray(0, expected.length), expected)) {
    throw new ProtocolError('transcript-mismatch', 'the peer runs VOLE with other parameters');
  }
  const hellos = role === 'sender' ? [own, peer] : [peer, own];
  const id = hash.sha256(lengthPrefixed(['weir vole session', ...hellos]));
  return startSession(hash, channel, id, peer.subarray(expected.length + NONCE_BYTES));
}

function startSession(
  hash: HashPrimitive,
  channel: PsiChannel,
  id: Uint8Array,
  peerExtra: Uint8Array,
): VoleSession {
  let transcript = id;
  // Messages alternate, so both sides see one order.
  const note = (kind: string, payload: Uint8Array): Uint8Array => {
    transcript = hash.sha256(lengthPrefixed([transcript, kind, hash.sha256(payload)]));
    return transcript;
  };
  return {
    id,
    peerExtra,
    async send(kind, payload) {
      note(kind, payload);
      await channel.send(kind, payload);
    },
    async receive(kind, sizeBytes) {
      const payload = await channel.receive(kind);
      requireLength(kind, payload, sizeBytes);
      note(kind, payload);
      return payload;
    },
    async sendSealed(kind, payload) {
      await channel.send(kind, concatBytes([note(kind, payload), payload]));
    },
    async receiveSealed(kind, sizeBytes) {
      const message = await channel.receive(kind);
      requireLength(kind, message, DIGEST_BYTES + sizeBytes);
      const payload = message.subarray(DIGEST_BYTES);
      if (!equalBytes(message.subarray(0, DIGEST_BYTES), note(kind, payload))) {
        throw new ProtocolError('transcript-mismatch', `a message up to ${kind} was changed`);
      }
      return payload;
    },
    publicKey: (purpose, sizeBytes) =>
      hash.hkdfSha256(id, new Uint8Array(0), lengthPrefixed(['weir vole', purpose]), sizeBytes),
  };
}

function encodeTerms(hash: HashPrimitive, terms: SessionTerms, role: VoleRole): Uint8Array {
  const numbers = new Uint8Array(8 * terms.numbers.length);
  terms.numbers.forEach((number, i) => viewOf(numbers).setFloat64(8 * i, number));
  const agreed = hash.sha256(lengthPrefixed([terms.engine, numbers, terms.context]));
  return concatBytes([Uint8Array.of(VERSION, ROLES[role]), agreed]);
}

function requireLength(kind: string, payload: Uint8Array, sizeBytes: number): void {
  if (payload.length !== sizeBytes) {
    throw new ProtocolError(
      'length-wrong',
      `${kind} has ${payload.length} bytes, not ${sizeBytes}`,
    );
  }
}
